"""What people correct: a version each, none changed, none lost to another."""

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.corrections import Author, Correction, Said
from shared.domain.lanes import Lane
from shared.domain.recording import Outcome
from shared.errors import CorrectionOutdated, NotFound, WrongState
from tests.builders import NOW, placed, recording
from tests.contracts.patience import at_once

RESULT = "results/acme/rec/1"


def done(store, number=1, **changes):
    made = recording(number, **changes)
    store.recordings.create_or_get(made, lambda _: placed())
    lease = store.jobs.lease_next(tuple(Lane), "w1", NOW, 60.0)
    store.jobs.complete(lease, Outcome(RESULT, 10.0, "en", None, False), [], NOW)
    return made.id


def correction(recording_id, version=1, text="It is so.", **changes):
    made = Correction(
        recording_id=recording_id,
        tenant="acme",
        version=version,
        result=RESULT,
        by=Author("Anna", "k1"),
        at=NOW + timedelta(microseconds=7),
        stretches=(Said(1.0, 2.25, text), Said(3.1, 4.0, "", channel=1)),
    )
    return replace(made, **changes)


def test_what_is_kept_comes_back_as_it_was(store):
    rid = done(store)
    first = correction(rid)
    second = correction(rid, 2, stretches=(), whole="All \u2026 of it.", by=Author("anna"))

    store.corrections.add(first)
    store.corrections.add(second)

    assert store.corrections.of(rid) == [first, second]


def test_of_two_with_one_number_the_first_counts(store):
    rid = done(store)
    store.corrections.add(correction(rid, text="mine"))

    with pytest.raises(CorrectionOutdated):
        store.corrections.add(correction(rid, text="yours"))

    assert [c.stretches[0].text for c in store.corrections.of(rid)] == ["mine"]


def test_none_comes_before_the_one_it_is_on_top_of(store):
    rid = done(store)

    with pytest.raises(CorrectionOutdated):
        store.corrections.add(correction(rid, 2))

    assert store.corrections.of(rid) == []


def test_of_many_at_once_each_number_is_given_once(store):
    rid = done(store)

    def attempt(n):
        try:
            store.corrections.add(correction(rid, text=str(n)))
        except CorrectionOutdated:
            return False
        return True

    won = at_once(8, attempt, range(8))

    assert won.count(True) == 1
    assert len(store.corrections.of(rid)) == 1


def test_only_what_is_done_is_corrected_and_only_its_result(store):
    rid = done(store)
    waiting = recording(2)
    store.recordings.create_or_get(waiting, lambda _: placed())

    for refused in (correction(waiting.id), correction(rid, result="results/acme/rec/0")):
        with pytest.raises(WrongState):
            store.corrections.add(refused)
    for nobody in ("rec99999", "a/b"):
        with pytest.raises(NotFound):
            store.corrections.add(correction(nobody))
        assert store.corrections.of(nobody) == []


def test_the_recording_itself_stays_as_it_is(store):
    rid = done(store)
    before = (store.recordings.get(rid), store.recordings.history(rid))

    store.corrections.add(correction(rid))

    assert (store.recordings.get(rid), store.recordings.history(rid)) == before


def test_corrected_recordings_are_listed_once_by_tenant(store):
    mine = [done(store, n) for n in (1, 2, 3)]
    theirs = done(store, 4, tenant="other", name="uploads/other/4.wav")
    for rid in (mine[2], mine[0], theirs):
        tenant = "other" if rid == theirs else "acme"
        store.corrections.add(correction(rid, tenant=tenant))
    store.corrections.add(correction(mine[0], 2))

    assert list(store.corrections.corrected("acme")) == [mine[0], mine[2]]
    assert list(store.corrections.corrected("other")) == [theirs]
    assert list(store.corrections.corrected()) == [mine[0], mine[2], theirs]
    assert list(store.corrections.corrected("nobody")) == []
