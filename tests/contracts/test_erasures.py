"""`Erasures`, and what recordings, tenants and uploads say of erased things; on every adapter."""

from datetime import timedelta
from io import BytesIO

import pytest

from shared.domain import erasures
from shared.domain.erasures import Cause, Listing, Part, Step, Tombstone
from shared.domain.lanes import Lane
from shared.domain.recording import Checkpoint, Failure, Hold, Outcome, Passage
from shared.domain.states import State
from shared.domain.tenants import Tenant, Tier
from shared.domain.wishes import Wishes
from shared.errors import NotFound, StaleLease, UnderHold
from tests.builders import NOW, placed, recording
from tests.contracts.patience import at_once

LATER = NOW + timedelta(days=1)


def begun(known, cause=Cause.REQUEST, actor="cli", now=NOW):
    return erasures.of_recording(known, cause, actor, now)


def recorded(store, number=1, **changes):
    return store.recordings.create_or_get(recording(number, **changes), lambda _: placed())


def heard(store, number=1, **changes):
    known = recorded(store, number, **changes)
    lease = store.jobs.lease_next([Lane.LOW], "w", NOW, 60)
    store.jobs.checkpoint(lease, [Checkpoint("p", "transcribe", 0, "{}")], 0.5, NOW)
    outcome = Outcome(
        f"results/acme/{known.id}/1", 1.0, "en", 0.9, False, (Passage(0, 1, "oh dear"),), "key"
    )
    return store.jobs.complete(lease, outcome, [], NOW)


def test_asking_makes_a_tombstone_that_nobody_finds(store):
    known = heard(store, subject="whom")

    asked = store.erasures.ask(known.id, begun)

    assert asked == begun(known)
    assert store.erasures.get(asked.id) == store.erasures.of(known.id) == asked
    assert store.erasures.running() == store.erasures.running(tenant="acme") == [asked]
    assert store.erasures.running(tenant="other") == []
    assert store.recordings.get(known.id).state is State.ERASED
    assert store.recordings.page("acme") == store.recordings.find("acme", "dear") == []
    assert store.recordings.about("acme", "whom") == []
    assert store.recordings.answered("acme", "key") is None
    assert [r.id for r in store.recordings.page("acme", states=[State.ERASED])] == [known.id]
    assert store.recordings.history(known.id)[-1].state is State.ERASED


def test_the_token_is_raised_and_older_ones_write_nothing(store):
    known = recorded(store)
    lease = store.jobs.lease_next([Lane.LOW], "w", NOW, 60)

    store.erasures.ask(known.id, begun)

    for write in (
        lambda: store.jobs.complete(
            lease, Outcome("r", 1, None, None, False, (Passage(0, 1, "late"),)), [], NOW
        ),
        lambda: store.jobs.fail(lease, Failure("x", "y"), None, NOW),
        lambda: store.jobs.give_back(lease, Failure("x", "y"), NOW, NOW),
        lambda: store.jobs.extend(lease, NOW, 60),
    ):
        with pytest.raises(StaleLease):
            write()
    assert store.jobs.lease_next([Lane.LOW], "w", LATER, 60) is None
    assert store.jobs.take_back(LATER) == 0
    assert dict(store.erasures.counts(begun(known)))["passages"] == 0


def test_the_tombstone_is_what_intake_finds(store):
    known = recorded(store)
    store.erasures.ask(known.id, begun)

    assert recorded(store).state is State.ERASED


def test_asking_again_changes_nothing(store):
    known = recorded(store)
    first = store.erasures.ask(known.id, begun)

    again = store.erasures.ask(known.id, lambda k: begun(k, Cause.EXPIRY, "retention", LATER))

    assert again == first
    assert len(store.recordings.history(known.id)) == 2


def test_of_many_who_ask_at_once_one_begins(store):
    known = recorded(store)

    asked = at_once(
        4, lambda n: store.erasures.ask(known.id, lambda k: begun(k, actor=f"key:{n}")), range(8)
    )

    assert len({one.actor for one in asked}) == 1
    assert [line.state for line in store.recordings.history(known.id)].count(State.ERASED) == 1


def test_a_draft_that_declines_changes_nothing(store):
    known = recorded(store)

    assert store.erasures.ask(known.id, lambda _: None) is None
    assert store.recordings.get(known.id) == known
    assert store.erasures.of(known.id) is None


def test_under_hold_it_waits_and_stays_whose_it_was(store):
    known = recorded(store)
    store.retention.hold(known.id, Hold("court", "cli", NOW))

    waits = store.erasures.ask(known.id, lambda k: begun(k, actor="key:1"))
    still = store.erasures.ask(known.id, lambda k: begun(k, actor="key:2"))
    waiting = store.erasures.waiting()
    store.retention.release(known.id, "cli", NOW)
    runs = store.erasures.ask(known.id, lambda k: begun(k, actor="key:3"))

    assert waits.step is Step.WAITING
    assert still == waits
    assert waiting == [waits]
    assert store.erasures.waiting(after=waits.id) == store.erasures.waiting() == []
    assert (runs.step, runs.actor) == (Step.FENCED, "key:1")
    assert store.recordings.get(known.id).state is State.ERASED


def test_what_is_not_there_is_not_found(store):
    for strange in ("nothing", "", "a/b"):
        with pytest.raises(NotFound):
            store.erasures.ask(strange, begun)
        assert store.erasures.get(strange) is None
    with pytest.raises(NotFound):
        store.erasures.ask_tenant(erasures.of_tenant("nobody", "cli", NOW))
    with pytest.raises(NotFound):
        store.erasures.go_on(begun(recording(9)), begun(recording(9)))


def test_of_two_who_go_on_one_does(store):
    seen = store.erasures.ask(recorded(store).id, begun)
    listing = Listing((1,), ("results/acme/x/1",), (("passages", 2),))
    listed = seen.at(Step.LISTED, before=listing, engines=("openai",))

    first = store.erasures.go_on(seen, listed)
    second = store.erasures.go_on(seen, seen.at(Step.DONE))

    assert first == second == store.erasures.get(seen.id) == listed


def test_the_last_step_is_announced_and_over(store):
    seen = store.erasures.ask(recorded(store).id, begun)
    before = {m.event_id for m in store.outbox.pending()}

    done = seen.at(Step.DONE, erased_at=LATER, after=Listing(), receipt="{}", name=None)
    store.erasures.go_on(seen, done)

    [said] = [m for m in store.outbox.pending() if m.event_id not in before]
    assert said.body["type"] == "recording.erased"
    assert store.erasures.running() == []
    assert store.erasures.get(seen.id) == done


def test_each_part_is_forgotten_and_counted(store):
    known = heard(store)
    asked = store.erasures.ask(known.id, begun)
    before = dict(store.erasures.counts(asked))

    for part in (*Part, *Part):  # twice is once
        store.erasures.forget(part, asked)
    store.erasures.purge()

    assert before["passages"] >= 1
    assert before["recordings"] == 1
    assert before["history"] >= 2
    assert before["messages"] >= 1
    assert not any(n for _, n in store.erasures.counts(asked))
    blank = store.recordings.get(known.id)
    assert (blank.name, blank.path, blank.subject, blank.result) == ("", "", None, None)
    assert (blank.tenant, blank.received_at) == (known.tenant, known.received_at)
    *lines, last = store.recordings.history(known.id)
    assert {(line.actor, line.reason) for line in lines} == {("", "")}
    assert last.actor == "cli"


def test_one_recordings_erasure_leaves_the_others(store):
    gone, kept = heard(store, 1), heard(store, 2)
    asked = store.erasures.ask(gone.id, begun)

    for part in Part:
        store.erasures.forget(part, asked)

    assert store.recordings.get(kept.id) == kept
    assert [f.recording.id for f in store.recordings.find("acme", "dear")] == [kept.id]


def test_engines_that_were_asked_are_known(store):
    known = recorded(store)
    lease = store.jobs.lease_next([Lane.LOW], "w", NOW, 60)
    store.jobs.fail(lease, Failure("engine_unavailable", "no", "qwen"), NOW, NOW)

    assert store.erasures.engines(known.id) == ["qwen"]


# --- tombstones of content ------------------------------------------------------------------------


def laid(store, digest="sha256:ab", until=LATER, number=1):
    seen = store.erasures.ask(recorded(store, number).id, begun)
    key = store.erasures.key("acme")
    stone = Tombstone("acme", erasures.keyed(key, digest), until)
    store.erasures.go_on(seen, seen.at(Step.LISTED), [stone])


def test_a_tenants_key_is_its_own_and_stays(store):
    mine, other = store.erasures.key("acme"), store.erasures.key("other")

    assert len(mine) == 32
    assert mine == store.erasures.key("acme") != other


def test_erased_content_is_known_until_its_tombstone_is_over(store):
    laid(store)

    def known(tenant, digest, at):
        return store.erasures.erased_before(tenant, [digest, "md5:0"], at)

    assert known("acme", "sha256:ab", NOW)
    assert not known("acme", "sha256:ab", LATER)
    assert not known("acme", "sha256:cd", NOW)
    assert not known("other", "sha256:ab", NOW)
    assert not store.erasures.erased_before("acme", [], NOW)


def test_what_is_over_is_swept(store):
    laid(store)

    assert store.erasures.sweep(LATER - timedelta(seconds=1)) == 0
    assert store.erasures.erased_before("acme", ["sha256:ab"], NOW)
    assert store.erasures.sweep(LATER) == 1
    assert not store.erasures.erased_before("acme", ["sha256:ab"], NOW)


def test_erased_content_is_refused_in_the_commit_that_would_record_it(store):
    laid(store)

    refused = store.recordings.create_or_get(recording(2), lambda _: placed(), ["sha256:ab"])
    other = store.recordings.create_or_get(recording(3), lambda _: placed(), ["sha256:cd"])

    assert (refused.state, refused.error.code) == (State.REJECTED, "erased_before")
    assert other.state is State.RECEIVED


def test_who_insists_is_heard_and_the_history_says_so(store):
    laid(store)

    draft = recording(2, wishes=Wishes(again=True))
    heard = store.recordings.create_or_get(draft, lambda _: placed(), ["sha256:ab"])

    assert heard.state is State.RECEIVED
    assert "erased before" in store.recordings.history(heard.id)[0].reason


# --- tenants --------------------------------------------------------------------------------------


def test_a_tenant_that_is_being_erased_takes_nothing_in(store):
    asked = store.erasures.ask_tenant(erasures.of_tenant("acme", "cli", NOW))
    again = store.erasures.ask_tenant(erasures.of_tenant("acme", "cli", LATER))

    assert recorded(store).error.code == "unknown_tenant"
    assert again == asked


def test_a_tenant_is_forgotten_and_comes_back_only_if_somebody_says_so(store):
    store.erasures.key("acme")
    asked = store.erasures.ask_tenant(erasures.of_tenant("acme", "cli", NOW))
    before = dict(store.erasures.tenant_counts("acme"))

    for _ in range(2):
        store.erasures.forget_tenant("acme")
    store.erasures.go_on(asked, asked.at(Step.DONE, erased_at=LATER, receipt="{}"))

    assert (before["tenants"], before["tombstone_keys"]) == (1, 1)
    assert not any(n for _, n in store.erasures.tenant_counts("acme"))
    assert store.tenants.get("acme") is None
    assert not store.tenants.ensure("acme", Tier.FREE, LATER)
    store.tenants.put(Tenant("acme", Tier.FREE, LATER))
    assert recorded(store).state is State.RECEIVED


# --- uploads and results --------------------------------------------------------------------------


def put(store, name="uploads/acme/a.wav", content=b"sound"):
    return store.inlet.put(name, BytesIO(content), content_type="a/b", metadata={}, at=NOW)


def test_generations_are_listed_and_deleted_one_by_one(store):
    first, second, other = put(store), put(store, content=b"2"), put(store, "uploads/acme/a.wav2")

    store.uploads.delete(first.name, first.generation)
    store.uploads.delete(first.name, first.generation)

    assert store.uploads.generations(first.name) == [second]
    assert store.uploads.generations(other.name) == [other]
    assert store.uploads.stat(first.name, first.generation) is None
    assert store.uploads.read(second.name, second.generation, 0, 9) == b"2"


def test_a_generation_that_was_deleted_never_comes_again(store):
    """Its recording is a tombstone: what is uploaded under the name is another one."""
    gone = [put(store), put(store)]
    for one in gone:
        store.uploads.delete(one.name, one.generation)

    assert put(store).generation not in {one.generation for one in gone}


def test_what_is_under_hold_is_not_deleted(store):
    one = put(store)
    store.uploads.hold(one.name, one.generation)

    with pytest.raises(UnderHold):
        store.uploads.delete(one.name, one.generation)

    assert store.uploads.read(one.name, one.generation, 0, 9) == b"sound"


def test_all_folders_of_a_recording_are_found(store):
    for token in (1, 2):
        store.results.save(f"results/acme/rec1/{token}", {"result.json": b"{}"})
    store.results.save("results/acme/rec10/1", {"result.json": b"{}"})

    assert store.results.all_of("acme", "rec1") == ["results/acme/rec1/1", "results/acme/rec1/2"]
    assert store.results.all_of("acme", "none") == []
