"""What is published arrives, again and again until it is settled, and is never lost in silence."""

import pytest

from tests.terraform.grants import NUMBER, Grant, granted
from tests.terraform.topologies import Entity, Topology

KIND = "google_pubsub_subscription"
AGENT = "agent gcp-sa-pubsub"
#: Where messages end that nobody could take; nothing is behind it.
LAST = "undelivered"
ATTEMPTS = 100
#: What the service expects in a token (EARWITNESS_PUSH_AUDIENCE).
AUDIENCE = "earwitness"
BACKOFF = {"minimum_backoff": "10s", "maximum_backoff": "600s"}
#: 7 days; the longest that Pub/Sub keeps what was not acknowledged is 31.
KEPT_S = 7 * 24 * 3600


def faults(topology: Topology) -> list[str]:
    return [f"{e.address}: {what}" for e in topology.all(KIND) for what in _faults(e, topology)]


def _faults(one: Entity, topology: Topology) -> list[str]:
    wrong = {
        "expires": one["expiration_policy"] != {"ttl": ""},
        "tries at once": one["retry_policy"] != BACKOFF,
    }
    if one.values["push_config"]:
        wrong |= _pushed(one, topology)
    if (name := _noun(one, str(one["name"]))) != LAST:
        wrong |= {
            "has no dead letter": _dead(one) != (LAST, ATTEMPTS),
            "its dead letters cannot be moved": not _moves(name) <= granted(topology, one.stack),
        }
    return [what for what, so in wrong.items() if so]


def _noun(one: Entity, name: str) -> str:
    return name.rpartition("/")[2].removeprefix("ew-").removeprefix(f"{one.stack}-")


def _dead(one: Entity) -> tuple[str, int] | None:
    for policy in one.values["dead_letter_policy"]:
        return _noun(one, policy["dead_letter_topic"]), policy["max_delivery_attempts"]
    return None


def _moves(name: str) -> set[Grant]:
    """Publish it there, acknowledge it here."""
    return {
        Grant(AGENT, f"topic {LAST}", "pubsub.publisher"),
        Grant(AGENT, f"subscription {name}", "pubsub.subscriber"),
    }


def _pushed(one: Entity, topology: Topology) -> dict[str, bool]:
    """To a service of this stack, with the token of the identity that it takes tickets from."""
    push = one["push_config"]
    [token] = push["oidc_token"] or [{}]
    pusher = topology.one(f'module.stack["{one.stack}"].google_service_account.push')
    services = topology.all("google_cloud_run_v2_service")
    doors = [f"{_address(s)}/pubsub/tickets" for s in services if s.stack == one.stack]
    return {
        "pushes to nobody": push["push_endpoint"] not in doors,
        "pushes as somebody else": token.get("service_account_email") != pusher["email"],
        "pushes for somebody else": token.get("audience") != AUDIENCE,
    }


def _address(service: Entity) -> str:
    """Source: Cloud Run, "Deterministic URLs"."""
    return f"https://{service['name']}-{NUMBER}.{service['location']}.run.app"


def unheard(topology: Topology) -> list[str]:
    """Topics of dead letters that nobody keeps, or not for seven days."""
    kept = {
        str(s["topic"]): int(str(s["message_retention_duration"]).rstrip("s"))
        for s in topology.all(KIND)
    }
    dead = [t for t in topology.all("google_pubsub_topic") if _noun(t, str(t["name"])) in DEAD]
    return [t.address for t in dead if kept.get(str(t["id"]), 0) < KEPT_S]


#: Of jobs that used up their attempts, and of messages that used up theirs.
DEAD = ("jobs-dead", LAST)


def test_every_subscription_retries_and_keeps_what_it_could_not_deliver(every):
    assert every.all(KIND) != []
    assert faults(every) == []


def test_lanes_are_pushed_where_there_is_a_service(topology):
    pushed = [e for e in topology("images").all(KIND) if e.values["push_config"]]

    assert sorted(str(e["name"]) for e in pushed) == ["ew-lane-high", "ew-lane-low"]


def test_dead_letters_are_kept_for_seven_days(every):
    assert unheard(every) == []


LANE = 'module.stack["home"].module.lane["high"].google_pubsub_subscription.queue[0]'
BROKEN = {
    "expires": {"expiration_policy": [{"ttl": "2678400s"}]},
    "tries at once": {"retry_policy": []},
    "has no dead letter": {"dead_letter_policy": []},
    "pushes as somebody else": {"push_config": [{"push_endpoint": "", "oidc_token": []}]},
}


@pytest.mark.parametrize(("what", "arguments"), BROKEN.items(), ids=BROKEN)
def test_a_broken_subscription_is_noticed(topology, what, arguments):
    assert f"{LANE}: {what}" in faults(topology("images").with_change(LANE, **arguments))


def test_fewer_attempts_are_noticed(topology):
    [policy] = topology("images").one(LANE).values["dead_letter_policy"]
    fewer = topology("images").with_change(
        LANE, dead_letter_policy=[{**policy, "max_delivery_attempts": 5}]
    )

    assert faults(fewer) == [f"{LANE}: has no dead letter"]


@pytest.mark.parametrize(
    ("part", "value", "what"),
    [
        ("push_endpoint", "https://example.com/pubsub/tickets", "pushes to nobody"),
        ("oidc_token", [{"audience": AUDIENCE}], "pushes as somebody else"),
    ],
)
def test_a_push_that_would_be_refused_is_noticed(topology, part, value, what):
    [push] = topology("images").one(LANE).values["push_config"]

    changed = topology("images").with_change(LANE, push_config=[{**push, part: value}])

    assert faults(changed) == [f"{LANE}: {what}"]


@pytest.mark.parametrize(
    "address",
    [
        'module.stack["home"].google_pubsub_topic_iam_member.pubsub_agent',
        'module.stack["home"].module.lane["high"].google_pubsub_subscription_iam_member.agent[0]',
    ],
)
def test_a_dead_letter_that_cannot_be_moved_is_noticed(topology, address):
    found = faults(topology("images").without(address))

    assert f"{LANE}: its dead letters cannot be moved" in found


@pytest.mark.parametrize("name", ["jobs_dead", "undelivered"])
def test_dead_letters_that_nobody_keeps_are_noticed(topology, name):
    less = topology("images").without(f'module.stack["home"].google_pubsub_subscription.{name}')

    assert unheard(less) != []
