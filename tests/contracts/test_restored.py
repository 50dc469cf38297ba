"""`Erasures.ask` where a backup was put in place of the store: what was erased is there again.

The record of the erasure is younger than the backup, so it stays and says that all is done.
"""

from datetime import timedelta

import pytest

from shared.domain import erasures
from shared.domain.erasures import Cause, Step
from shared.domain.states import State
from tests.builders import NOW, placed, recording

LATER = NOW + timedelta(days=3)


def asked(known, now=LATER):
    return erasures.of_recording(known, Cause.REQUEST, "operator", now)


@pytest.fixture
def back(store):
    """A recording that is there, and its erasure, which is done."""
    held = store.recordings.create_or_get(recording(1), lambda _: placed())
    waits = asked(held, NOW).at(Step.WAITING)
    seen = store.erasures.ask(held.id, lambda _: waits)
    store.erasures.go_on(seen, seen.at(Step.DONE, receipt="{}", erased_at=NOW, name=None))
    return store.recordings.get(held.id)


def test_it_is_erased_anew_under_the_same_id(store, back):
    known = store.erasures.of(back.id)
    assert (known.step, back.state is State.ERASED) == (Step.DONE, False)

    anew = store.erasures.ask(back.id, asked)

    assert anew == asked(back)
    assert anew.id == known.id
    assert store.erasures.of(back.id) == anew
    assert store.erasures.running() == [anew]
    assert store.recordings.get(back.id).state is State.ERASED
    assert store.erasures.ask(back.id, asked) == anew


def test_what_is_done_and_gone_stays_done(store, back):
    anew = store.erasures.ask(back.id, asked)
    done = store.erasures.go_on(anew, anew.at(Step.DONE, receipt="{}", erased_at=LATER))

    assert store.erasures.ask(back.id, asked) == done


def test_under_hold_it_waits_anew(store, back):
    waits = store.erasures.ask(back.id, lambda known: asked(known).at(Step.WAITING))

    assert waits.step is Step.WAITING
    assert store.erasures.waiting() == [waits]
    assert store.recordings.get(back.id).state is not State.ERASED
