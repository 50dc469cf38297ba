"""Who is in memory: a budget, the least recently used, what operators want; time is an argument."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from gpu_service.engines.registry import EngineSettings
from gpu_service.hosting.desired import Desires, Wanted
from gpu_service.hosting.fleet import RETRY_S, Fleet, same_device
from gpu_service.hosting.host import Admission, EngineHost, State, Status, Unbounded
from shared.adapters.embedded.sqlite_bookmarks import SqliteBookmarks
from shared.adapters.embedded.sqlite_database import Database
from shared.domain.answers import Task
from shared.errors import EngineUnavailable, ModelNotFound, StoreUnavailable
from tests.engines.kinds import ROOMY
from tests.engines.mortal import HANGS, Gate, doomed


@dataclass
class Barn:
    """A host whose model is a number of megabytes, held in no process: for many quick lives."""

    name: str
    size_mb: float
    clock: Callable[[], float]
    device: str = "cpu"
    refuses: bool = False
    admission: Admission = field(default_factory=Unbounded)
    state: State = State.ABSENT
    calls: int = 0
    used_at: float = 0.0
    loads: int = 0

    @property
    def memory_mb(self) -> float:
        return self.size_mb if self.state is State.READY else 0.0

    def status(self) -> Status:
        held = self.memory_mb
        return Status(self.state, self.device, None, None, self.calls, 0, held, None, None)

    def load(self) -> None:
        if self.state is State.READY:
            return
        self.state = State.LOADING
        try:
            self.admission.admit(self.name, self.device)
            if self.refuses:
                raise EngineUnavailable("It does not load today.")
            self.admission.settle(self.name, self.device, self.size_mb)
            self.state, self.loads = State.READY, self.loads + 1
        except EngineUnavailable:
            self.state = State.FAILED
            raise
        finally:
            self.admission.release(self.name)
        self.used_at = self.clock()

    def begin(self) -> None:
        self.load()
        self.calls += 1

    def end(self) -> None:
        self.calls -= 1
        self.used_at = self.clock()

    def die(self) -> None:
        self.state, self.calls = State.ABSENT, 0

    def unload_if_idle(self, since: float | None = None) -> bool:
        if self.calls or (since is not None and self.used_at > since):
            return False
        if self.state is not State.FAILED:
            self.state = State.ABSENT
        return True


class Clock:
    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at

    def utc(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)


@dataclass
class World:
    clock: Clock
    barns: dict[str, Barn]
    fleet: Fleet

    def states(self) -> str:
        return " ".join(n for n, b in self.barns.items() if b.state is State.READY)


SIZES = {"a": 40.0, "b": 30.0, "c": 50.0, "d": 90.0}


def world(desires: Desires | None = None, clock: Clock | None = None, **more: Any) -> World:
    clock = clock or Clock()
    barns = {name: Barn(name, mb, clock) for name, mb in SIZES.items()}
    given: dict[str, Any] = {"idle_s": 900.0, "memory_mb": 100.0, "patience_s": 0.0} | more
    fleet = Fleet(barns, desires=desires, now=clock, aside=lambda job: job(), **given)
    for barn in barns.values():
        barn.admission = fleet
    return World(clock, barns, fleet)


def desires_of(clock: Clock, tmp_path: Path) -> Desires:
    return Desires(SqliteBookmarks(Database(tmp_path / "store.db")), clock.utc)


def test_the_least_recently_used_leaves_first() -> None:
    w = world()
    for name in "ab":
        w.clock.at += 1
        w.barns[name].load()
    w.clock.at += 1
    w.barns["a"].used_at = w.clock()  # called since

    w.barns["c"].load()

    assert w.states() == "a c"


def test_who_is_at_work_is_not_evicted_and_the_reason_is_said() -> None:
    w = world()
    w.barns["a"].begin()
    w.barns["b"].begin()

    with pytest.raises(EngineUnavailable, match=r"engine c: it needs 50 MB of 100, and the others"):
        w.barns["c"].load()
    assert w.states() == "a b"
    w.barns["a"].end()
    w.barns["c"].load()

    assert w.states() == "b c"


def test_what_never_fits_evicts_nobody_the_second_time() -> None:
    w = world(memory_mb=80.0)
    w.barns["a"].load()

    for _ in range(2):
        with pytest.raises(EngineUnavailable, match="more than all of it"):
            w.barns["d"].load()
        w.barns["a"].load()

    assert w.barns["a"].loads == 1


def test_each_device_has_its_own_budget() -> None:
    w = world()
    w.barns["c"].device, w.barns["d"].device = "cuda", "cuda:1"

    for barn in w.barns.values():
        barn.load()

    assert w.states() == "a b c d"
    assert [w.fleet.held_mb(d) for d in ("cpu", "cuda:0", "cuda:1")] == [70.0, 50.0, 90.0]
    assert same_device("cuda", "cuda:0")
    assert not same_device("cuda", "cuda:1")


def test_who_waits_for_room_is_let_go_when_everything_stops() -> None:
    w = world(patience_s=1e9)
    w.barns["c"].load()  # so that its size is known
    w.barns["a"].begin()
    w.barns["b"].begin()
    w.fleet.stop()

    with pytest.raises(EngineUnavailable, match="others are at work"):
        w.barns["c"].load()


def test_room_that_comes_free_in_time_is_taken() -> None:
    """The wait looks again by itself; here the other is done before its first look."""
    w = world(patience_s=1e9)
    w.barns["c"].load()  # so that its size is known
    w.barns["a"].begin()
    w.barns["b"].begin()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(w.barns["c"].load)
        w.barns["b"].end()
        waiting.result(60)

    assert w.states() == "a c"


def test_without_a_budget_all_are_let_in() -> None:
    w = world(memory_mb=None)
    for barn in w.barns.values():
        barn.load()

    assert w.states() == "a b c d"


@pytest.mark.parametrize(("idle_s", "left"), [(899.9, "a"), (900.0, "")], ids=["before", "at"])
def test_idle_ones_leave_at_the_limit(idle_s: float, left: str) -> None:
    w = world()
    w.barns["a"].load()

    w.fleet.tick(w.clock.at + idle_s)

    assert w.states() == left


def test_one_that_is_called_does_not_leave_however_long_the_call() -> None:
    w = world()
    w.barns["a"].begin()

    w.fleet.tick(w.clock.at + 10_000)

    assert w.states() == "a"


def test_without_an_idle_limit_nobody_leaves() -> None:
    w = world(idle_s=None)
    w.barns["a"].load()

    w.fleet.tick(w.clock.at + 1e9)

    assert w.states() == "a"


def test_a_wish_to_load_is_followed_and_kept(tmp_path: Path) -> None:
    clock = Clock()
    w = world(desires_of(clock, tmp_path), clock)

    w.fleet.wish("a", Wanted.LOADED, "a launch")
    assert w.states() == ""
    w.fleet.tick(clock.at)
    assert w.states() == "a"

    w.fleet.tick(clock.at + 5_000)
    assert w.states() == "a"
    with pytest.raises(EngineUnavailable):
        w.barns["d"].load()  # nobody wanted makes room
    assert w.states() == "a"


def test_every_instance_follows_also_one_that_begins_later(tmp_path: Path) -> None:
    clock = Clock()
    desires = desires_of(clock, tmp_path)
    one, two = world(desires, clock), world(desires, clock)

    one.fleet.wish("a", Wanted.LOADED)
    for w in (one, two):
        w.fleet.tick(clock.at)
    later = world(desires, clock)
    later.fleet.start()
    later.fleet.tick(clock.at)

    assert [w.states() for w in (one, two, later)] == ["a", "a", "a"]


def test_a_wish_to_unload_holds_once(tmp_path: Path) -> None:
    clock = Clock()
    w = world(desires_of(clock, tmp_path), clock)
    w.barns["a"].begin()

    w.fleet.wish("a", Wanted.UNLOADED)
    w.fleet.tick(clock.at)
    assert w.states() == "a"  # at work
    w.barns["a"].end()
    w.fleet.tick(clock.at)
    assert w.states() == ""
    w.barns["a"].load()  # somebody calls
    w.fleet.tick(clock.at)

    assert w.states() == "a"


def test_an_old_wish_to_unload_is_not_for_who_begins_after_it(tmp_path: Path) -> None:
    clock = Clock()
    desires = desires_of(clock, tmp_path)
    desires.wish("a", Wanted.UNLOADED)

    w = world(desires, clock, preload=frozenset({"a"}))
    w.fleet.start()
    w.fleet.tick(clock.at)

    assert w.states() == "a"


def test_a_failed_load_that_is_wanted_is_tried_again_after_a_while(tmp_path: Path) -> None:
    clock = Clock()
    w = world(desires_of(clock, tmp_path), clock)
    w.barns["a"].refuses = True
    w.fleet.wish("a", Wanted.LOADED)
    w.fleet.tick(clock.at)
    w.barns["a"].refuses = False

    w.fleet.tick(clock.at + RETRY_S - 0.1)
    assert w.barns["a"].state is State.FAILED
    w.fleet.tick(clock.at + RETRY_S)

    assert w.states() == "a"


class Silent:
    """Bookmarks of a store that does not answer."""

    def get(self, name: str) -> str | None:
        raise StoreUnavailable

    def move(self, name: str, seen: str | None, to: str) -> bool:
        raise StoreUnavailable


def test_a_silent_store_changes_nothing() -> None:
    clock = Clock()
    w = world(Desires(Silent(), clock.utc), clock)
    w.fleet.start()
    w.barns["a"].load()

    w.fleet.tick(clock.at)

    assert w.states() == "a"
    with pytest.raises(StoreUnavailable):
        w.fleet.wish("a", Wanted.LOADED)


def test_preloading_is_done_when_each_was_tried() -> None:
    waiting: list[Callable[[], None]] = []
    clock = Clock()
    barns = {name: Barn(name, 1.0, clock) for name in "ab"}
    barns["b"].refuses = True
    fleet = Fleet(barns, preload=frozenset("ab"), aside=waiting.append)

    fleet.start()
    assert fleet.preloading
    for job in waiting:
        assert fleet.preloading
        job()

    assert not fleet.preloading
    assert [b.state for b in barns.values()] == [State.READY, State.FAILED]


def test_unknown_engines_are_named_as_such() -> None:
    w = world()
    for ask in (w.fleet.status, w.fleet.desired, lambda n: w.fleet.wish(n, Wanted.LOADED)):
        with pytest.raises(ModelNotFound, match="no engine called e, only a, b, c, d"):
            ask("e")


class FleetMachine(RuleBasedStateMachine):
    """Calls, loads, deaths, wishes and time in any order, against the rules said in plain."""

    names = st.sampled_from(sorted(SIZES))

    @initialize(budget=st.sampled_from([60.0, 100.0, 130.0]))
    def build(self, budget: float) -> None:
        self.world = world(memory_mb=budget)
        self.budget = budget
        self.running: dict[str, int] = dict.fromkeys(SIZES, 0)

    def _is_full_for(self, name: str) -> bool:
        """Whether even with all idle ones gone there is no room."""
        busy = sum(SIZES[n] for n, calls in self.running.items() if calls and n != name)
        return busy + SIZES[name] > self.budget

    @rule(name=names)
    def call(self, name: str) -> None:
        there = self.world.barns[name].state is State.READY
        full = not there and self._is_full_for(name)
        try:
            self.world.barns[name].begin()
        except EngineUnavailable:
            assert full
        else:
            assert not full
            self.running[name] += 1

    @rule(name=names)
    def answer(self, name: str) -> None:
        if self.running[name]:
            self.running[name] -= 1
            self.world.barns[name].end()

    @rule(name=names)
    def die(self, name: str) -> None:
        self.running[name] = 0
        self.world.barns[name].die()

    @rule(seconds=st.sampled_from([1.0, 899.0, 900.0]))
    def pass_time(self, seconds: float) -> None:
        self.world.clock.at += seconds
        self.world.fleet.tick(self.world.clock.at)
        for name, barn in self.world.barns.items():
            rested = self.world.clock.at - barn.used_at >= 900.0
            if rested and not self.running[name]:
                assert barn.state is not State.READY

    @precondition(lambda self: hasattr(self, "world"))
    @invariant()
    def nobody_at_work_was_unloaded(self) -> None:
        for name, calls in self.running.items():
            assert not calls or self.world.barns[name].state is State.READY

    @precondition(lambda self: hasattr(self, "world"))
    @invariant()
    def the_budget_holds(self) -> None:
        assert sum(b.memory_mb for b in self.world.barns.values()) <= self.budget
        assert self.world.fleet.held_mb("cpu") <= self.budget


TestFleetMachine = FleetMachine.TestCase
TestFleetMachine.settings = hypothesis_settings(
    max_examples=60, stateful_step_count=40, deadline=None
)


@pytest.fixture
def real(tmp_path: Path) -> Iterator[Callable[..., tuple[Fleet, dict[str, EngineHost]]]]:
    made: list[EngineHost] = []

    def build(memory_mb: float, **sizes: int) -> tuple[Fleet, dict[str, EngineHost]]:
        hosts = {
            name: EngineHost(name, EngineSettings(kind=ROOMY, options={"mb": mb}), cache=tmp_path)
            for name, mb in sizes.items()
        }
        made.extend(hosts.values())
        fleet = Fleet(hosts, memory_mb=memory_mb, idle_s=60.0, patience_s=0.0)
        for host in hosts.values():
            host.admission = fleet
            host.start()
        return fleet, hosts

    yield build
    for each in made:
        each.stop()


def test_real_processes_are_measured_and_make_room(
    real: Callable[..., tuple[Fleet, dict[str, EngineHost]]],
) -> None:
    fleet, hosts = real(500.0, one=200, two=200)
    hosts["one"].load()
    first = hosts["one"].memory_mb
    hosts["two"].load()

    assert 200 < first < 400
    assert (hosts["one"].pid, hosts["two"].state) == (None, State.READY)
    assert 200 < fleet.held_mb("cpu") < 500

    fleet.tick(hosts["two"].used_at + 60.0)
    assert hosts["two"].pid is None
    assert fleet.held_mb("cpu") == 0.0


def test_a_real_call_in_hand_keeps_its_engine(tmp_path: Path, gate: Gate) -> None:
    settings = EngineSettings(kind="tests.engines.mortal:Mortal", options={"gate": gate.port})
    host = EngineHost("busy", settings, cache=tmp_path)
    other = EngineHost("other", EngineSettings(kind=ROOMY), cache=tmp_path)
    fleet = Fleet({"busy": host, "other": other}, memory_mb=1.0, idle_s=0.001, patience_s=0.0)
    host.start(preload=True)
    host.admission = other.admission = fleet
    other.start()
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(host.infer, Task.TRANSCRIBE, [doomed(HANGS)])
        gate.let_one_begin()
        fleet.tick(host.used_at + 1e6)
        with pytest.raises(EngineUnavailable, match="no memory for the engine other"):
            other.load()
        alive = host.state
        host.stop()
        with pytest.raises(EngineUnavailable):
            call.result()

    assert alive is State.READY
    other.stop()
