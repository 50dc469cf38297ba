import json
from datetime import timedelta, timezone

import pytest

from shared.domain.webhooks import (
    ENTROPY_BYTES,
    GONE,
    JITTER,
    MOST_TYPES,
    SCHEDULE_S,
    Delivered,
    Fault,
    Reply,
    after,
    body,
    check_url,
    delivery,
    new,
    replayed,
)
from shared.errors import InvalidRequest
from tests.builders import NOW, happening, webhook

BROKEN = Reply(503)
SECOND = timedelta(seconds=1)


def made():
    return delivery(webhook(), happening(), NOW, 0.0)


def tried(reply, times=1, chance=0.0):
    """A delivery after so many attempts, each made when it was due."""
    one = made()
    for _ in range(times):
        one = after(one, reply, one.next_at, chance)
    return one


# --- the schedule ---------------------------------------------------------------------------------


def test_attempts_come_as_standard_webhooks_shows_it():
    """The table "Example retry schedule" of the specification, by the time since the start."""
    since = ["0:00:05", "0:05:05", "0:35:05", "2:35:05", "7:35:05", "17:35:05"]
    since += ["1 day, 7:35:05", "2 days, 3:35:05", "3 days, 3:35:05"]

    due = [tried(BROKEN, n).next_at - NOW for n in range(1, len(SCHEDULE_S))]

    assert [str(wait) for wait in due] == since


def test_after_the_last_attempt_it_is_failed_and_never_due_again():
    waiting, over = tried(BROKEN, len(SCHEDULE_S) - 1), tried(BROKEN, len(SCHEDULE_S))

    assert waiting.state is Delivered.WAITING
    assert (over.state, over.next_at) == (Delivered.FAILED, None)
    assert over.settled_at == waiting.next_at
    assert len(over.attempts) == len(SCHEDULE_S) == 10


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_no_attempt_is_early_and_none_much_later(chance):
    for n, wait_s in enumerate(SCHEDULE_S[1:], 1):
        one, known = tried(BROKEN, n, chance), tried(BROKEN, n - 1, chance)

        waited = (one.next_at - known.next_at).total_seconds()
        assert waited == pytest.approx(wait_s * (1 + JITTER * chance))


def test_no_attempt_changes_what_is_sent():
    states = [tried(BROKEN, n) for n in range(len(SCHEDULE_S))]
    states.append(replayed(tried(BROKEN, len(SCHEDULE_S)), NOW))

    assert len({(one.event_id, one.body) for one in states}) == 1


@pytest.mark.parametrize(
    ("asked_s", "wait_s"), [(4, 5), (60, 60), (86_400, 86_400), (10**8, 86_400)]
)
def test_an_endpoint_may_ask_for_more_time_up_to_a_day(asked_s, wait_s):
    one = after(made(), Reply(429, retry_after_s=asked_s), NOW, 0.0)

    assert one.next_at == NOW + wait_s * SECOND


@pytest.mark.parametrize(
    ("reply", "state"),
    [
        *[(Reply(status), Delivered.DELIVERED) for status in (200, 204, 299)],
        *[(Reply(status), Delivered.WAITING) for status in (100, 199, 300, 302, 404, 429, 500)],
        *[(Reply(fault=fault), Delivered.WAITING) for fault in Fault if fault != "disabled"],
        (Reply(GONE), Delivered.FAILED),
        (Reply(fault=Fault.DISABLED), Delivered.FAILED),
    ],
)
def test_two_hundreds_are_success_and_nothing_else(reply, state):
    assert after(made(), reply, NOW, 0.0).state is state


def test_a_replay_begins_the_schedule_anew_and_forgets_nothing():
    again = replayed(tried(BROKEN, len(SCHEDULE_S)), NOW)

    assert (again.state, again.next_at, again.tries) == (Delivered.WAITING, NOW, 0)
    assert again.settled_at is None
    assert len(again.attempts) == len(SCHEDULE_S)
    assert after(again, BROKEN, NOW, 0.0).next_at == NOW + SCHEDULE_S[1] * SECOND


# --- what is sent, and to whom --------------------------------------------------------------------


def test_the_body_holds_ids_and_no_more():
    told = json.loads(body(happening(at=NOW.astimezone(timezone(timedelta(hours=2))))))

    assert told == {
        "type": "recording.done",
        "timestamp": "2026-03-01T12:00:00Z",
        "data": {
            "recording_id": "rec00001",
            "tenant": "acme",
            "event_id": happening().event_id,
            "seq": 3,
        },
    }
    assert list(told) == ["type", "timestamp", "data"]


@pytest.mark.parametrize(
    ("changes", "kind", "at", "wanted"),
    [
        ({}, "recording.done", NOW, True),
        ({}, "recording.odd", NOW, True),
        ({"types": ("recording.done",)}, "recording.done", NOW, True),
        ({"types": ("recording.done",)}, "recording.dead", NOW, False),
        ({}, "recording.done", NOW - SECOND, False),
        ({"disabled_at": NOW}, "recording.done", NOW, False),
    ],
    ids=["all", "a new kind", "asked for", "not asked for", "before it was made", "disabled"],
)
def test_whom_an_event_is_told(changes, kind, at, wanted):
    assert webhook(**changes).wants(kind, at) is wanted


def test_no_secret_stands_where_a_webhook_is_printed():
    hook = webhook(old_secret="whsec_b2xk", old_until=NOW)

    assert "whsec_" not in f"{hook!r} {hook}"


def test_the_old_secret_signs_until_its_time_is_over():
    hook = webhook(secret="new", old_secret="old", old_until=NOW)

    assert hook.secrets(NOW - SECOND) == ("new", "old")
    assert hook.secrets(NOW) == ("new",)
    assert webhook(secret="new").secrets(NOW) == ("new",)


def test_each_webhook_has_an_id_and_a_secret_of_its_own():
    hook = new("acme", "https://example.com/h", ["recording.done"], NOW, bytes(range(40)))

    assert hook.id == "wh_0001020304050607"
    assert hook.secret == "whsec_CAkKCwwNDg8QERITFBUWFxgZGhscHR4fICEiIyQlJic="
    assert (hook.types, hook.made_at) == (("recording.done",), NOW)
    assert ENTROPY_BYTES == 40


@pytest.mark.parametrize(
    "types", [["done"], ["recording."], ["recording.Done"], [f"recording.{n}a" for n in range(9)]]
)
def test_a_type_that_is_none_is_refused(types):
    with pytest.raises(InvalidRequest, match=r"recording\.done"):
        new("acme", "https://example.com/h", types, NOW, bytes(40))


def test_so_many_types_and_no_more():
    types = [f"recording.{chr(97 + n)}" for n in range(MOST_TYPES + 1)]

    assert len(new("acme", "https://a.example", types[1:], NOW, bytes(40)).types) == MOST_TYPES
    with pytest.raises(InvalidRequest):
        new("acme", "https://a.example", types, NOW, bytes(40))


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com:8443/hooks?of=me",
        "https://EXAMPLE.com/",
        "https://xn--bcher-kva.example/",
        "https://8.8.8.8/",
        "https://[2606:4700:4700::1111]/",
        "https://a_b.example.com/" + "x" * 1_900,
    ],
)
def test_a_url_that_may_be_posted_to(url):
    assert check_url(url).geturl().lower() == url.lower()


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.com", "//example.com/", "ftp://example.com/", "file:///etc/passwd"),
        *("http://example.com/", "javascript:alert(1)", "https://", "https:///path"),
        *("https://user@example.com/", "https://:word@example.com/", "https://@example.com/"),
        *("https://example.com/#part", "https://example.com:0/", "https://example.com:99999/"),
        *("https://example.com:x/", "https://exa mple.com/", "https://example.com\\@evil/"),
        *("https://example.com/\n", "https://bücher.example/", "https://[::1/", "https://.com/"),
        *("https://-a.example/", "https://a..example/", f"https://{'a' * 64}.example/"),
        *("https://127.0.0.1/", "https://[::1]/", "https://[::ffff:10.0.0.1]/"),
        *("https://169.254.169.254/latest", "https://100.64.0.1/", "https://[fe80::1%25eth0]/"),
        *("https://[2606:4700::1%25eth0]/", "https://2130706433/", "https://0x7f.0.0.1/"),
        *("https://127.1/", "https://0177.0.0.1/", "https://0x7f000001/", "https://1.2.3.4.5/"),
        "https://example.com/" + "x" * 2_000,
    ],
)
def test_a_url_that_may_not(url):
    with pytest.raises(InvalidRequest):
        check_url(url)


def test_in_ones_own_house_http_and_private_addresses_pass_and_no_others():
    for url in ("http://127.0.0.1:8000/", "http://localhost/", "https://192.168.1.2/"):
        check_url(url, private=True)

    for url in ("http://169.254.169.254/", "http://[fe80::1]/", "ftp://127.0.0.1/"):
        with pytest.raises(InvalidRequest):
            check_url(url, private=True)


def test_a_delivery_is_its_makers_for_a_while():
    one = delivery(webhook(), happening(), NOW, 60.0)

    assert one.next_at == NOW + 60 * SECOND
    assert (one.state, one.tries, one.attempts) == (Delivered.WAITING, 0, ())
