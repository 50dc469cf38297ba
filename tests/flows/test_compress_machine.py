"""A thousand random steps of compressing and clearing, with holds, erasures and kills in between:
the sound is there as long as its recording is, and under hold nothing at all goes."""

import shutil
import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared.domain.states import State
from tests.flows.test_compress import SOUND, House

DAY = timedelta(days=1)
#: What is killed at, or where the store does not answer.
CALLS = ("shelve", "delete", "intact", "read", "shelved")


class Killed(BaseException):
    """As kill -9 would: nobody catches it."""


class Fatal:
    """The uploads, in which one call is the last of its process, before it or after it."""

    def __init__(self, uploads, call, after):
        self._uploads, self._call, self._after = uploads, call, after

    def __getattr__(self, name):
        own = getattr(self._uploads, name)
        if name != self._call:
            return own

        def last(*given):
            if self._after:
                own(*given)
            raise Killed

        return last


class Compressing(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.house = House(self.folder)
        self.ids: list[str] = []
        self.held: dict[str, set] = {}  #: its objects when it was held

    def teardown(self):
        shutil.rmtree(self.folder)

    def objects(self, id):
        known = self.house.known(id)
        kept = known.archived
        there = {(one.name, one.generation) for one in self.house.uploads.generations(known.name)}
        return there | ({(kept.name, kept.generation)} if kept else set())

    def alive(self):
        return [id for id in self.ids if self.house.known(id).state is State.DONE]

    @precondition(lambda self: len(self.ids) < 4)
    @rule()
    def hear(self):
        number = len(self.ids)
        self.ids.append(self.house.hears(number, SOUND + b"%d" % number, compress_at=self.house.at))

    @rule(hours=st.integers(1, 72))
    def wait(self, hours):
        self.house.at += timedelta(hours=hours)

    @rule()
    def compress(self):
        self.house.compresses()

    @rule()
    def tick(self):
        self.house.ticks()

    @rule(call=st.sampled_from(CALLS), after=st.booleans(), ticks=st.booleans())
    def die(self, call, after, ticks):
        """Whoever compresses, or the tick, is killed at a call; somebody else goes on later."""
        house, uploads = self.house, self.house.uploads
        fatal = Fatal(uploads, call, after)
        with suppress(Killed):
            if ticks:
                replace(house.shelves, uploads=fatal)(house.at, Counter())
            else:
                house.compressing(uploads=fatal)(lambda: False)

    @precondition(lambda self: self.alive())
    @rule(data=st.data(), between=st.booleans())
    def hold(self, data, between):
        """By itself, or in the middle of compressing."""
        id = data.draw(st.sampled_from(self.alive()))

        def hold():
            self.house.keep.hold(self.house.known(id), "a lawsuit", "cli")
            self.held.setdefault(id, self.objects(id))

        if not between:
            hold()
            return
        self.house.compressor.during = [hold]
        self.house.compresses()
        self.house.compressor.during = []

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data):
        id = data.draw(st.sampled_from(sorted(self.held)))
        self.house.keep.release(self.house.known(id), "cli")
        del self.held[id]

    @precondition(lambda self: self.alive())
    @rule(data=st.data())
    def erase(self, data):
        id = data.draw(st.sampled_from(self.alive()))
        self.house.erase.attempt(self.house.erase.ask(id, "cli", self.house.at), self.house.at)

    @invariant()
    def the_sound_is_there_as_long_as_its_recording(self):
        for number, id in enumerate(self.ids):
            if self.house.known(id).state is State.DONE:
                assert self.house.reads(id) == SOUND + b"%d" % number

    @invariant()
    def under_hold_nothing_goes(self):
        for id, objects in self.held.items():
            assert objects <= self.objects(id)

    @invariant()
    def of_what_is_erased_nothing_is_an_original(self):
        for id in self.ids:
            known = self.house.known(id)
            assert known.state is State.DONE or known.archived is None

    @rule()
    def in_the_end_each_has_one_form(self):
        """Everything released, and days later: nothing is left over."""
        for id in list(self.held):
            self.house.keep.release(self.house.known(id), "cli")
            del self.held[id]
        for _ in range(6):
            self.house.at += DAY + timedelta(hours=1)
            self.house.compresses()
            self.house.erase.resume(self.house.at)
            for _ in range(3):
                self.house.ticks()
        kept = {self.house.known(id).archived for id in self.alive()}
        assert None not in kept
        assert self.house.shelved() == sorted(one.name for one in kept)
        assert self.house.uploads.page() == []


TestCompressing = Compressing.TestCase
TestCompressing.settings = settings(
    max_examples=40,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
