"""Ten thousand random steps against a model that was written apart from the code: nothing held,
early or unannounced is ever gone, and what is due is gone within a day (issue 7, E2 and R10).

The clock is right, or wrong in the ways that `shared.domain.timekeeping` promises to stand: it
jumps within one start of the machine and is set right within six days, it is behind, the machine
is off for weeks. Ticks are killed at any call of a port, and other ticks run in between.
"""

import calendar
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from shared.adapters.embedded.sqlite_database import Database
from shared.domain.states import State
from shared.domain.tenants import Tenant, Tier
from shared.errors import ExtensionRefused, StoreUnavailable, WrongState
from tests.builders import NOW
from tests.flows.retiring import Retiring, killed

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
WEEK = 7 * DAY
TENANTS = ("acme", "other")
#: A jump is set right before this machine would believe it.
LONGEST_JUMP = 6 * DAY
#: A machine that was off has had its hour.
SETTLED_AFTER = 2 * HOUR
#: Steps of the run in `make test-slow`, and of the short one.
MANY, FEW = 10_000, 400


@dataclass
class Entry:
    """What the model knows of one recording. Times are the true ones."""

    tenant: str
    born: datetime
    extended: datetime | None = None
    held: bool = False
    asked_for: bool = False  #: its erasure was asked for
    announced: datetime | None = None  #: for the last time
    said: int = 0  #: how often it was announced
    free: datetime | None = None  #: when the last announcement lets it go
    ends: datetime = NOW  #: as it was when it was announced
    gone: bool = False


@dataclass(frozen=True)
class Keeps:
    """A tenant's rule in the model: so many days, or calendar months."""

    tier: Tier
    own_days: int | None

    def end(self, born: datetime) -> datetime:
        if self.own_days is not None:
            return born + self.own_days * DAY
        if self.tier is Tier.FREE:
            return born + 30 * DAY
        if self.tier is Tier.ENTERPRISE:
            return born + 365 * DAY
        month = born.month + 6
        year, month = (born.year + 1, month - 12) if month > 12 else (born.year, month)
        return born.replace(
            year=year, month=month, day=min(born.day, calendar.monthrange(year, month)[1])
        )


SPANS = st.one_of(
    st.integers(1, 48).map(lambda h: h * HOUR), st.integers(1, 45).map(lambda d: d * DAY)
)
CALLS = st.integers(0, 60)


class RetentionMachine(RuleBasedStateMachine):
    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp())
        self.house = Retiring(Database(":memory:"), self.home)
        self.house.tenants.ensure("other", Tier.FREE, NOW)
        self.keeps = dict.fromkeys(TENANTS, Keeps(Tier.FREE, None))
        self.model: dict[str, Entry] = {}
        self.true, self.wrong_by = NOW, timedelta(0)
        self.wrong_since, self.started = NOW, NOW
        self.boot = 0

    def teardown(self) -> None:
        shutil.rmtree(self.home)

    # --- what happens -----------------------------------------------------------------------------

    @rule(tenant=st.sampled_from(TENANTS))
    def hear(self, tenant: str) -> None:
        # The object's time is the store's own; the worker's clock may say what it likes.
        known = self.house.hears(
            len(self.model), tenant=tenant, uploaded_at=self.true, received_at=self.clock
        )
        self.model[known] = Entry(tenant, self.true)

    @rule(
        tenant=st.sampled_from(TENANTS),
        tier=st.sampled_from(Tier),
        own_days=st.sampled_from([None, None, 1, 6, 7, 8, 400]),
        max_extension=st.sampled_from([None, 30]),
    )
    def change_tier(
        self, tenant: str, tier: Tier, own_days: int | None, max_extension: int | None
    ) -> None:
        said = {"keep_days": own_days, "max_extension_days": max_extension}
        own = tuple(sorted((k, float(v)) for k, v in said.items() if v is not None))
        self.house.keeps(Tenant(tenant, tier, NOW, own))
        self.keeps[tenant] = Keeps(tier, own_days)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def hold(self, data: st.DataObject) -> None:
        known, entry = self.one(data)
        if self.unless_gone(entry, lambda: self.house.holds(known)):
            entry.held = True

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        known, entry = self.one(data)
        if self.unless_gone(entry, lambda: self.house.releases(known)):
            entry.held = False

    @precondition(lambda self: self.model)
    @rule(data=st.data(), days=st.integers(1, 500))
    def extend(self, data: st.DataObject, days: int) -> None:
        known, entry = self.one(data)
        until = self.true + days * DAY
        try:
            self.house.keep.extend(self.house.stored(known), until, "cli")
        except (ExtensionRefused, WrongState):
            return
        entry.extended = max(entry.extended or until, until)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def ask_to_erase(self, data: st.DataObject) -> None:
        known, entry = self.one(data)
        self.house.erase.ask(known, "cli", self.clock)
        entry.asked_for = True

    # --- clocks -----------------------------------------------------------------------------------

    @rule(span=SPANS)
    def time_goes_by(self, span: timedelta) -> None:
        if self.wrong_by > timedelta(0):
            span = max(min(span, self.wrong_since + LONGEST_JUMP - self.true), timedelta(0))
        self.true += span
        self.house.up += span.total_seconds()

    @precondition(lambda self: not self.wrong_by and self.running_for >= SETTLED_AFTER)
    @rule(days=st.sampled_from([-400, -40, -2, 1, 8, 40, 400]))
    def the_clock_jumps(self, days: int) -> None:
        self.house.ticks(self.clock, up=self.house.up)  # what was right was seen
        self.wrong_by, self.wrong_since = days * DAY, self.true

    @precondition(lambda self: self.wrong_by)
    @rule()
    def the_clock_is_set_right(self) -> None:
        self.wrong_by = timedelta(0)

    @precondition(lambda self: not self.wrong_by)
    @rule(off=SPANS)
    def the_machine_is_off(self, off: timedelta) -> None:
        self.true += off
        self.started, self.boot = self.true, self.boot + 1
        self.house.boot, self.house.up = str(self.boot), 0.0

    # --- ticks ------------------------------------------------------------------------------------

    @rule()
    def tick(self) -> None:
        self.house.ticks(self.clock, up=self.house.up)

    @rule(calls=CALLS)
    def a_tick_is_killed(self, calls: int) -> None:
        self.house.trouble.comes(calls, killed)
        with suppress(StoreUnavailable):
            self.house.ticks(self.clock, up=self.house.up)
        self.house.trouble.over()

    @rule(calls=CALLS)
    def another_tick_comes_between(self, calls: int) -> None:
        def other() -> None:
            self.house.trouble.over()
            self.house.ticks(self.clock, up=self.house.up)

        self.house.trouble.comes(calls, other)
        self.house.ticks(self.clock, up=self.house.up)
        self.house.trouble.over()

    @precondition(lambda self: self.model)
    @rule(calls=CALLS, data=st.data())
    def a_hold_comes_between(self, calls: int, data: st.DataObject) -> None:
        known, entry = self.one(data)

        def hold() -> None:
            self.house.trouble.over()
            self.look()
            if self.unless_gone(entry, lambda: self.house.holds(known)):
                entry.held = True

        self.house.trouble.comes(calls, hold)
        self.house.ticks(self.clock, up=self.house.up)
        self.house.trouble.over()

    @precondition(lambda self: not self.wrong_by and self.running_for >= SETTLED_AFTER)
    @rule(early=st.sampled_from([timedelta(0), timedelta(seconds=1)]), data=st.data())
    def a_tick_comes_when_something_is_due_or_just_before(
        self, early: timedelta, data: st.DataObject
    ) -> None:
        there = [e for e in self.model.values() if not e.gone]
        moments = [at for e in there for at in (self.end(e) - WEEK, self.end(e), e.free) if at]
        if ahead := sorted({at - early for at in moments if at - early > self.true}):
            self.time_goes_by(data.draw(st.sampled_from(ahead[:3])) - self.true)
        self.house.ticks(self.clock, up=self.house.up)

    @rule()
    def a_dry_run(self) -> None:
        before = {known: self.house.stored(known) for known in self.model}
        self.house.plans(self.clock, up=self.house.up)

        assert before == {known: self.house.stored(known) for known in self.model}

    @precondition(lambda self: not self.wrong_by)
    @rule()
    def a_quiet_day(self) -> None:
        """Ticks as they should be: what was due at its beginning is gone at its end."""
        began, due = self.true, [k for k, e in self.model.items() if self.is_due(e)]
        ending = [k for k, e in self.model.items() if not e.held and self.end(e) <= began + WEEK]
        for hours in (0, 2, 10, 12):
            self.time_goes_by(hours * HOUR)
            self.house.ticks(self.clock, up=self.house.up)
            self.look()

        assert [k for k in due if not self.model[k].gone] == []
        assert [k for k in ending if not (self.model[k].announced or self.model[k].gone)] == []

    # --- what must never be -----------------------------------------------------------------------

    @invariant()
    def nothing_is_gone_that_should_be_there(self) -> None:
        type(self).steps += 1
        self.look()

    def look(self) -> None:
        """Take in what is announced and what is gone, and whether it may be."""
        for known, entry in self.model.items():
            if entry.gone:
                continue
            stored = self.house.stored(known)
            if stored.state is State.ERASED or not self.house.is_there(known):
                self.may_be_gone(known, entry)
                entry.gone = True
            elif (said := self.house.times_announced(known)) > entry.said:
                entry.said, entry.announced = said, self.true
                # Where the clock is ahead, the seven days begin when it says that they do.
                entry.free = max(self.true, self.clock) + WEEK
                entry.ends = self.end(entry)
            if entry.free is not None and self.end(entry) > entry.ends:
                entry.free = None  # it ends later now, and may have to be announced anew

    def may_be_gone(self, known: str, entry: Entry) -> None:
        assert not entry.held, f"{known} was held"
        if entry.asked_for:
            return
        assert self.true >= self.end(entry), f"{known} is gone before {self.end(entry)}"
        assert entry.announced is not None, f"{known} was not announced"
        assert self.true >= entry.announced + WEEK, f"{known} was announced too late"

    # --- the model --------------------------------------------------------------------------------

    def end(self, entry: Entry) -> datetime:
        end = self.keeps[entry.tenant].end(entry.born)
        return max(end, entry.extended) if entry.extended else end

    def is_due(self, entry: Entry) -> bool:
        if entry.held or entry.gone:
            return False
        said = entry.free is not None and self.true >= entry.free
        return entry.asked_for or (said and self.true >= self.end(entry))

    @property
    def clock(self) -> datetime:
        return self.true + self.wrong_by

    @property
    def running_for(self) -> timedelta:
        return self.true - self.started

    def one(self, data: st.DataObject) -> tuple[str, Entry]:
        known = data.draw(st.sampled_from(sorted(self.model)))
        return known, self.model[known]

    def unless_gone(self, entry: Entry, act: Callable[[], None]) -> bool:
        try:
            act()
        except WrongState:
            assert entry.gone or entry.asked_for
            return False
        return True


def run(examples: int, steps: int) -> int:
    """How many steps were really made."""
    RetentionMachine.steps = 0
    run_state_machine_as_test(
        RetentionMachine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            # Explaining a failure traces every line of every run.
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )
    return RetentionMachine.steps


def test_a_few_hundred_steps():
    assert run(FEW // 40, 40) >= FEW // 2


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_ten_thousand_steps():
    assert run(MANY // 100 + 20, 100) >= MANY
