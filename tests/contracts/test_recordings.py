from dataclasses import replace
from datetime import timedelta

import pytest

from shared.adapters.embedded.sqlite_recordings import MOST_RANKED
from shared.domain.lanes import Lane
from shared.domain.recording import Failure, Hold, Ledger, Outcome, Passage, Topic
from shared.domain.states import State
from shared.domain.tenants import Tier
from tests.builders import NOW, placed, recording
from tests.contracts.patience import at_once

REFUSAL = Failure("not_audio", "The file holds no audio.")


def test_creating_records_recording_job_ledger_history_and_ticket(store):
    made = store.recordings.create_or_get(recording(1), lambda _: placed(Lane.HIGH, 5.0))

    assert store.recordings.get(made.id) == made
    assert (made.state, made.lane, made.rule) == (State.RECEIVED, Lane.HIGH, "everything_else")
    assert store.jobs.waiting(NOW) == {Lane.HIGH: 1, Lane.LOW: 0}
    assert [m.state for m in store.recordings.history(made.id)] == [State.RECEIVED]
    [ticket] = store.outbox.pending()
    assert (ticket.topic, ticket.body) == (Topic.LANE_HIGH, {"v": 1, "lane": "high"})


def test_creating_twice_returns_the_first_and_adds_nothing(store):
    first = store.recordings.create_or_get(recording(1), lambda _: placed())
    changed = recording(1, size_bytes=9)

    again = store.recordings.create_or_get(changed, lambda _: placed(Lane.HIGH))

    assert again == first
    assert len(store.outbox.pending()) == 1
    assert len(store.recordings.history(first.id)) == 1


def test_of_concurrent_creators_exactly_one_creates(store):
    def create(n):
        return store.recordings.create_or_get(
            recording(1, size_bytes=n), lambda ledger: placed(start_tag=ledger.next_tag + 1)
        )

    made = at_once(8, create, range(1, 17))

    assert len(set(made)) == 1
    assert len(store.outbox.pending()) == 1
    after = []
    store.recordings.create_or_get(recording(2), lambda ledger: after.append(ledger) or placed())
    assert after == [Ledger(next_tag=1.0)]


def test_place_is_given_the_ledger_the_last_placement_left(store):
    seen = []
    for n in range(3):
        store.recordings.create_or_get(
            recording(n), lambda ledger, n=n: seen.append(ledger) or placed(start_tag=n + 1.0)
        )

    assert seen == [Ledger(), Ledger(next_tag=1.0), Ledger(next_tag=2.0)]


def test_a_failing_place_records_nothing(store):
    with pytest.raises(ZeroDivisionError):
        store.recordings.create_or_get(recording(1), lambda _: 1 / 0)

    assert store.recordings.get(recording(1).id) is None
    assert store.outbox.pending() == []


def test_a_deferred_placement_has_no_ticket_but_an_announcement(store):
    until = NOW + timedelta(hours=12)

    made = store.recordings.create_or_get(recording(1), lambda _: placed(until=until))

    assert (made.state, made.deferred_until) == (State.DEFERRED, until)
    assert store.recordings.get(made.id).deferred_until == until
    assert [m.topic for m in store.outbox.pending()] == [Topic.EVENTS]
    assert store.jobs.waiting(NOW) == {Lane.HIGH: 0, Lane.LOW: 0}


def test_a_refusal_is_recorded_and_announced_without_a_job(store):
    made = store.recordings.refuse(recording(1), REFUSAL)

    assert (made.state, made.error) == (State.REJECTED, REFUSAL)
    assert store.recordings.get(made.id) == made
    assert [m.body["type"] for m in store.outbox.pending()] == ["recording.rejected"]
    assert store.jobs.waiting(NOW)[Lane.LOW] == 0


def test_refusing_what_is_there_changes_nothing(store):
    made = store.recordings.create_or_get(recording(1), lambda _: placed())

    assert store.recordings.refuse(recording(1), REFUSAL) == made


def test_get_and_history_of_an_unknown_id(store):
    assert store.recordings.get("nothing") is None
    assert store.recordings.history("nothing") == []


def test_pages_run_newest_first_without_gaps_or_doubles(store):
    at = [NOW, NOW, NOW + timedelta(seconds=1), NOW + timedelta(microseconds=1), NOW]
    for n, when in enumerate(at):
        store.recordings.create_or_get(recording(n, received_at=when), lambda _: placed())

    ids, before = [], None
    while page := store.recordings.page(before=before, limit=2):
        ids += [r.id for r in page]
        before = (page[-1].received_at, page[-1].id)

    assert ids == [recording(n).id for n in (2, 3, 4, 1, 0)]


def test_pages_of_one_tenant_and_of_some_states(store):
    store.recordings.create_or_get(recording(1), lambda _: placed())
    store.recordings.create_or_get(recording(2, tenant="other"), lambda _: placed())
    store.recordings.refuse(recording(3), REFUSAL)

    assert [r.id for r in store.recordings.page("other")] == ["rec00002"]
    rejected = store.recordings.page("acme", states=[State.REJECTED, State.DEAD])
    assert [r.id for r in rejected] == ["rec00003"]


def test_counts_have_every_state(store):
    store.recordings.create_or_get(recording(1), lambda _: placed())
    store.recordings.refuse(recording(2), REFUSAL)

    counts = store.recordings.counts()

    assert counts == dict.fromkeys(State, 0) | {State.RECEIVED: 1, State.REJECTED: 1}


@pytest.fixture
def heard(store):
    """Two finished recordings of two tenants."""
    texts = {1: ["Guten Morgen, Frau Müller.", "the quick brown fox"], 2: ["Good morning fox"]}
    for n, passages in texts.items():
        owner = "acme" if n == 1 else "other"
        store.recordings.create_or_get(recording(n, tenant=owner), lambda _: placed())
        lease = store.jobs.lease_next([Lane.LOW], "w", NOW, 60)
        said = tuple(Passage(float(i), i + 1.0, t) for i, t in enumerate(passages))
        store.jobs.complete(lease, Outcome("r", 2.0, "en", None, False, said), [], NOW)
    return store


@pytest.mark.parametrize(
    ("tenant", "text", "found"),
    [
        pytest.param("acme", "fox", [("rec00001", 1.0)], id="one tenant"),
        pytest.param(None, "fox", [("rec00001", 1.0), ("rec00002", 0.0)], id="all tenants"),
        pytest.param("acme", "QUICK fox", [("rec00001", 1.0)], id="every word, any case"),
        pytest.param("acme", "quick morning", [], id="words of different passages"),
        pytest.param("acme", "muller", [("rec00001", 0.0)], id="accents do not matter"),
        pytest.param("acme", '"brown fox"', [("rec00001", 1.0)], id="phrase"),
        pytest.param("acme", '"fox brown"', [], id="phrase in the wrong order"),
        pytest.param("acme", "quick OR nothing", [], id="OR is a word"),
        pytest.param("acme", "fo*", [], id="a star is no operator"),
        pytest.param("acme", '"', [], id="a lone quote"),
        pytest.param("acme", "text:fox", [], id="a column is no operator"),
    ],
)
def test_find(heard, tenant, text, found):
    hits = heard.recordings.find(tenant, text)

    assert sorted((h.recording.id, h.passage.start_s) for h in hits) == found


def test_a_snippet_marks_its_hits(heard):
    [hit] = heard.recordings.find("acme", "brown")

    assert "\x02brown\x03" in hit.snippet


def test_find_stops_at_its_limit(heard):
    assert len(heard.recordings.find(None, "fox", limit=1)) == 1


def test_passages_that_say_it_more_often_come_first(store):
    store.recordings.create_or_get(recording(1), lambda _: placed())
    lease = store.jobs.lease_next([Lane.LOW], "w", NOW, 60)
    texts = ["a fox and a hound", "fox and fox and fox", "fox, then a fox again", "no such thing"]
    said = tuple(Passage(float(i), i + 1.0, t) for i, t in enumerate(texts))
    store.jobs.complete(lease, Outcome("r", 4.0, "en", None, False, said), [], NOW)

    hits = store.recordings.find("acme", "fox")

    assert [h.passage.start_s for h in hits] == [1.0, 2.0, 0.0]


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_a_limit_cuts_off_the_least_and_changes_nothing_else(store, limit):
    """SQLite looks in another way where all that is found is also shown."""
    store.recordings.create_or_get(recording(1), lambda _: placed())
    lease = store.jobs.lease_next([Lane.LOW], "w", NOW, 60)
    texts = ["a fox and a hound", "fox and fox and fox", "fox, then a fox again"]
    said = tuple(Passage(float(i), i + 1.0, t) for i, t in enumerate(texts))
    store.jobs.complete(lease, Outcome("r", 4.0, "en", None, False, said), [], NOW)

    hits = store.recordings.find("acme", "fox", limit=limit)

    assert [h.passage.start_s for h in hits] == [1.0, 2.0, 0.0][:limit]
    assert all(h.snippet.count("\x02fox\x03") == h.passage.text.count("fox") for h in hits)


def test_of_very_many_passages_two_hundred_are_found(store):
    """Ranking all that hold a common word took SQLite seconds; now it ranks the newest."""
    store.recordings.create_or_get(recording(1), lambda _: placed())
    lease = store.jobs.lease_next([Lane.LOW], "w", NOW, 60)
    said = tuple(Passage(float(i), i + 1.0, f"fox number {i}") for i in range(MOST_RANKED + 50))
    store.jobs.complete(lease, Outcome("r", 4.0, "en", None, False, said), [], NOW)

    hits = store.recordings.find("acme", "fox", limit=MOST_RANKED + 50)

    assert len(hits) >= MOST_RANKED


def test_wishes_and_times_survive_the_store(store):
    made = store.recordings.create_or_get(
        replace(recording(1), wishes=replace(recording(1).wishes, language="de", separate=True)),
        lambda _: placed(),
    )

    assert store.recordings.get(made.id).wishes == made.wishes


def test_whom_it_is_about_and_how_long_it_is_kept_survive_the_store(store):
    kept = recording(
        1,
        subject="customer 4711",
        announced_at=NOW,
        extended_until=NOW + timedelta(days=90),
        hold=Hold("a claim", "key:abc", NOW),
    )

    made = store.recordings.create_or_get(kept, lambda _: placed())

    known = store.recordings.get(made.id)
    assert known == made
    assert (known.subject, known.announced_at, known.hold) == (
        *(kept.subject, kept.announced_at),
        kept.hold,
    )
    assert known.extended_until == kept.extended_until


def test_many_are_fetched_at_once_and_the_unknown_are_left_out(store):
    made = [store.recordings.create_or_get(recording(n), lambda _: placed()) for n in (1, 2, 3)]

    found = store.recordings.many([made[0].id, "nothing", made[2].id])

    assert found == {r.id: r for r in (made[0], made[2])}
    assert store.recordings.many([]) == {}


def test_many_takes_500_ids(store):
    known = store.recordings.create_or_get(recording(1), lambda _: placed())
    ids = [f"none{n}" for n in range(499)]

    assert list(store.recordings.many([*ids, known.id])) == [known.id]


def test_the_line_of_a_refusal_has_its_cause(store):
    made = store.recordings.refuse(recording(1), REFUSAL)

    assert [m.error for m in store.recordings.history(made.id)] == [REFUSAL]


def test_an_answer_is_found_by_its_key_inside_the_tenant(store):
    store.tenants.ensure("other", Tier.FREE, NOW)
    for number, key in enumerate(("k1", "k2", None), 1):
        made = recording(number)
        store.recordings.create_or_get(made, lambda _: placed(start_tag=1.0))
        lease = store.jobs.lease_next([Lane.LOW], "w", NOW, 60)
        store.jobs.complete(lease, Outcome("r", 1.0, "en", 0.9, False, (), key), [], NOW)
    store.recordings.create_or_get(recording(9), lambda _: placed())

    assert store.recordings.answered("acme", "k2").id == "rec00002"
    assert store.recordings.answered("acme", "k2").state is State.DONE
    assert store.recordings.answered("other", "k2") is None
    assert store.recordings.answered("acme", "k3") is None
