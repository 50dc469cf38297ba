"""Topics, and the subscriptions that ring, pull and write rows, as DESIGN section 4 wants them."""

import json
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files

from local.cloud_checkup.deployment import Deployment
from local.cloud_checkup.findings import Finding, verdict
from local.cloud_checkup.rest import Answer, listed
from shared.domain.recording import LANE_TOPIC, Topic

TICKETS = "/pubsub/tickets"
#: Platform policy.
MOST_DELIVERIES, LEAST_WAIT, LONGEST_WAIT = 100, "10s", "600s"
#: Seconds. A push is answered within its deadline, and that ends at 600.
PUSH_DEADLINE_S = 600
#: Seconds that `reconcile` looks at arrivals for (shared/adapters/gcp/pubsub_arrivals.py).
ARRIVALS_DEADLINE_S = 60


def expected_topics() -> list[str]:
    """Every topic that the code publishes to, and those that functions wait for."""
    listed = json.loads(files("functions").joinpath("functions.json").read_text(encoding="utf-8"))
    heard = {f["trigger"]["topic"] for f in listed.values() if "topic" in f["trigger"]}
    return sorted({*(t.value for t in Topic), *heard})


def topics(d: Deployment) -> list[Finding]:
    there = {t["name"] for t in listed(d.google, "pubsub", f"v1/{d.project}/topics", "topics")}
    wanted = expected_topics()
    gone = [d.named(noun) for noun in wanted if d.topic(noun) not in there]
    said = [f"the topic {name} is missing; `terraform apply` makes it" for name in gone]
    return verdict("topics", said, f"{len(wanted)} are there")


def subscriptions(d: Deployment) -> list[Finding]:
    there = d.subscriptions()
    said = [
        *(fault for topic in LANE_TOPIC.values() for fault in lane_faults(d, topic, there)),
        *arrivals_faults(d, there),
        *metrics_faults(d, there),
        *dead_faults(d, there),
        *(f"{_name(s)} {_EXPIRES}" for s in there if d.owns(s) and expires(s)),
    ]
    return verdict("subscriptions", said, f"{sum(d.owns(s) for s in there)} as they should be")


def lane_faults(d: Deployment, lane: Topic, there: Sequence[Answer]) -> Iterator[str]:
    """What is wrong with the push that rings for this lane."""
    found = [s for s in there if s["topic"] == d.topic(lane.value)]
    if not found:
        yield f"nothing is subscribed to {d.named(lane.value)}: tickets of that lane are lost"
    for one in found:
        wrong = [said for said, fits in RINGING if not fits(d, one)]
        yield from (f"{_name(one)} {said}" for said in wrong)


Fits = Callable[[Deployment, Answer], bool]


def _pushes_tickets(_: Deployment, s: Answer) -> bool:
    endpoint = str(s.get("pushConfig", {}).get("pushEndpoint", ""))
    return endpoint.startswith("https://") and endpoint.endswith(TICKETS)


def _signs(d: Deployment, s: Answer) -> bool:
    token = s.get("pushConfig", {}).get("oidcToken", {})
    said = (token.get("serviceAccountEmail"), token.get("audience"))
    return said == (d.identity("push"), d.settings.push_audience)


def _buries(_: Deployment, s: Answer) -> bool:
    letters = s.get("deadLetterPolicy", {})
    return bool(letters.get("deadLetterTopic")) and (
        letters.get("maxDeliveryAttempts") == MOST_DELIVERIES
    )


def _waits(_: Deployment, s: Answer) -> bool:
    waits = s.get("retryPolicy", {})
    return (waits.get("minimumBackoff"), waits.get("maximumBackoff")) == (LEAST_WAIT, LONGEST_WAIT)


def _has_time(_: Deployment, s: Answer) -> bool:
    return int(s.get("ackDeadlineSeconds", 0)) == PUSH_DEADLINE_S


#: What must hold of a push to a lane, and what to say where it does not.
RINGING: tuple[tuple[str, Fits], ...] = (
    (f"does not push to https://…{TICKETS}", _pushes_tickets),
    ("does not sign its pushes as the identity `push` for our audience", _signs),
    (f"has no dead letter after {MOST_DELIVERIES} deliveries", _buries),
    (f"does not wait {LEAST_WAIT} to {LONGEST_WAIT} between deliveries", _waits),
    (f"does not give a push {PUSH_DEADLINE_S} s", _has_time),
)
_EXPIRES = "expires when nothing comes for a month; its expiration must be never"


def expires(subscription: Answer) -> bool:
    """Source: Pub/Sub REST, ExpirationPolicy: none at all is 31 days, one without ttl is never."""
    policy = subscription.get("expirationPolicy")
    return policy is None or "ttl" in policy


def arrivals_faults(d: Deployment, there: Sequence[Answer]) -> Iterator[str]:
    """`reconcile` compares what arrived with what was recorded."""
    name = d.settings.arrivals_subscription
    one = next((s for s in there if _name(s) == name), None)
    if one is None:
        yield f"the subscription {name} is missing: a lost upload event would not be noticed"
    elif int(one.get("ackDeadlineSeconds", 0)) < ARRIVALS_DEADLINE_S:
        yield f"{name} gives less than {ARRIVALS_DEADLINE_S} s"


def metrics_faults(d: Deployment, there: Sequence[Answer]) -> Iterator[str]:
    """Measurements are rows in BigQuery because a subscription writes them there."""
    topic = d.topic(Topic.METRICS.value)
    rows = [s["bigqueryConfig"] for s in there if s["topic"] == topic and "bigqueryConfig" in s]
    if not rows:
        yield f"no subscription of {d.named(Topic.METRICS.value)} writes to BigQuery"
    # Source: Pub/Sub REST, BigQueryConfig.State; the emulator leaves it out.
    yield from (
        f"rows do not reach {row['table']}: {row['state']}"
        for row in rows
        if row.get("state", "ACTIVE") != "ACTIVE"
    )


def dead_faults(d: Deployment, there: Sequence[Answer]) -> Iterator[str]:
    """A dead letter that nobody is subscribed to is lost."""
    letters = {s["deadLetterPolicy"]["deadLetterTopic"] for s in there if _buries_at_all(d, s)}
    heard = {s["topic"] for s in there}
    for topic in sorted(letters - heard):
        yield f"nothing is subscribed to {topic.rpartition('/')[2]}: dead letters are lost"


def _buries_at_all(d: Deployment, s: Answer) -> bool:
    return d.owns(s) and bool(s.get("deadLetterPolicy", {}).get("deadLetterTopic"))


def _name(subscription: Answer) -> str:
    return str(subscription["name"]).rpartition("/")[2]
