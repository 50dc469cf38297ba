"""All engines of one instance: who may be in memory, who leaves it, what operators want of it."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from threading import Condition, Thread
from typing import Protocol

from gpu_service.hosting.desired import Desired, Desires, Wanted
from gpu_service.hosting.host import State, Status
from shared.errors import EarwitnessError, EngineUnavailable, ModelNotFound
from shared.logs import say

log = logging.getLogger("earwitness.fleet")

#: Seconds a load waits for others to be done, where only busy ones could make room.
PATIENCE_S = 10.0
#: Seconds between two looks while it waits: a call that ends rings no bell.
LOOK_S = 0.25
#: Seconds until a load that failed is tried again for an operator who wants it.
RETRY_S = 60.0
REMOTE = "remote"

Job = Callable[[], None]


class Host(Protocol):
    """What an engine's host tells and does: see `EngineHost` and `RemoteHost`."""

    @property
    def state(self) -> State: ...
    @property
    def calls(self) -> int: ...
    @property
    def used_at(self) -> float: ...
    @property
    def memory_mb(self) -> float: ...
    def status(self) -> Status: ...
    def load(self) -> None: ...
    def unload_if_idle(self, since: float | None = None) -> bool: ...


def in_a_thread(job: Job) -> None:
    Thread(target=job, name="load", daemon=True).start()


@dataclass(slots=True)
class _Berth:
    """What the fleet knows of one engine."""

    needs_mb: float = 0.0  #: held after the last load; unknown before the first
    reserved_on: str | None = None  #: the device it is loading on
    kept: bool = False  #: an operator wants it in memory
    obeyed: str | None = None  #: the wish that was carried out
    tried_at: float = field(default=float("-inf"))


class Fleet:
    """Admits loads within a budget of memory, evicts what is idle, follows what is desired.

    Implements `Admission` for its hosts. An engine with a call running or waiting is never
    unloaded, nor one that an operator wants loaded. Time is an argument of `tick`; the clock is
    for those who wait.
    """

    def __init__(
        self,
        hosts: Mapping[str, Host],
        *,
        idle_s: float | None = None,
        memory_mb: float | None = None,
        desires: Desires | None = None,
        preload: frozenset[str] = frozenset(),
        patience_s: float = PATIENCE_S,
        now: Callable[[], float] = time.monotonic,
        aside: Callable[[Job], None] = in_a_thread,
    ) -> None:
        self._hosts = hosts
        self._idle_s, self._budget_mb = idle_s, memory_mb
        self._desires = desires
        self._patience_s, self._now, self._aside = patience_s, now, aside
        self._berths = {name: _Berth() for name in hosts}
        self._room = Condition()
        self._preload = preload
        self._stopping = False
        self._to_preload = set(preload)

    @property
    def preloading(self) -> bool:
        """Whether an engine that is to be there from the start was not tried so far."""
        return bool(self._to_preload)

    def start(self) -> None:
        """Load what is to be loaded from the start, aside; a failure is said and left to calls."""
        self._stopping = False
        for name, berth in self._berths.items():
            desired = self._asked(name)
            if desired and desired.wanted is Wanted.UNLOADED:
                berth.obeyed = desired.at  # nothing of ours was loaded when that was wished
        for name in sorted(self._preload):
            self._aside(partial(self._preloaded, name))

    def stop(self) -> None:
        """Let nobody wait for room any longer; `start` lets them again."""
        with self._room:
            self._stopping = True
            self._room.notify_all()

    def status(self, name: str) -> Status:
        """Raises ModelNotFound: there is no such engine."""
        return self._host(name).status()

    def wish(self, name: str, wanted: Wanted, reason: str = "") -> Desired:
        """Write down what is wanted of this engine; every instance follows at its next tick.

        Raises:
            ModelNotFound: there is no such engine. StoreUnavailable: nothing was written.
        """
        self._host(name)
        if self._desires is None:
            raise EngineUnavailable("Nothing keeps what is wanted here.")
        return self._desires.wish(name, wanted, reason)

    def desired(self, name: str) -> Desired | None:
        """Raises ModelNotFound: there is no such engine."""
        self._host(name)
        return self._desires.get(name) if self._desires else None

    def tick(self, now: float) -> None:
        """Follow what is desired, and unload what nobody has called for too long."""
        for name, host in self._hosts.items():
            self._follow(name, host, now)
            idle = self._idle_s is not None and not self._berths[name].kept
            if idle and host.state is State.READY:
                host.unload_if_idle(now - (self._idle_s or 0.0))

    def admit(self, name: str, device: str) -> None:
        """Reserve what `name` held when it was last loaded, evicting idle ones for it.

        The least recently used leaves first. Raises EngineUnavailable: it does not fit, or
        those that would have to leave were busy for `patience_s`.
        """
        with self._room:
            berth = self._berths[name]
            berth.reserved_on = None
            until = self._now() + self._patience_s
            while not self._made_room(name, device, berth.needs_mb):
                if self._stopping or self._now() >= until:
                    raise self._full(name, berth.needs_mb)
                self._room.wait(LOOK_S)
            berth.reserved_on = device

    def settle(self, name: str, device: str, memory_mb: float) -> None:
        """Count what it really holds. Raises EngineUnavailable: that does not fit."""
        with self._room:
            berth = self._berths[name]
            berth.needs_mb, berth.reserved_on = memory_mb, None
            if not self._made_room(name, device, memory_mb):
                raise self._full(name, memory_mb)
            # Until its host says that it is ready.
            berth.reserved_on = device

    def release(self, name: str) -> None:
        """It is ready, and tells itself what it holds; or it is not loaded after all."""
        with self._room:
            self._berths[name].reserved_on = None
            self._room.notify_all()

    def held_mb(self, device: str) -> float:
        """What all engines on this device hold or are about to."""
        with self._room:
            return self._others_mb("", device)

    def _made_room(self, name: str, device: str, needs_mb: float) -> bool:
        if self._budget_mb is None:
            return True
        while self._others_mb(name, device) + needs_mb > self._budget_mb:
            if needs_mb > self._budget_mb or not self._evicted_one(name, device):
                return False
        return True

    def _others_mb(self, name: str, device: str) -> float:
        return sum(
            self._held(other, host, device) for other, host in self._hosts.items() if other != name
        )

    def _held(self, name: str, host: Host, device: str) -> float:
        berth = self._berths[name]
        if berth.reserved_on is not None:
            return berth.needs_mb if same_device(berth.reserved_on, device) else 0.0
        here = host.state is State.READY and same_device(host.status().device, device)
        return host.memory_mb if here else 0.0

    def _evicted_one(self, name: str, device: str) -> bool:
        """Unload the least recently used of those that may go; False if none may."""
        idle = [
            (host.used_at, other)
            for other, host in self._hosts.items()
            if other != name
            and not host.calls
            and not self._berths[other].kept
            and self._held(other, host, device) > 0
        ]
        return any(self._hosts[other].unload_if_idle() for _, other in sorted(idle))

    def _full(self, name: str, needs_mb: float) -> EngineUnavailable:
        budget = self._budget_mb or 0.0
        busy = "more than all of it" if needs_mb > budget else "and the others are at work"
        return EngineUnavailable(
            f"There is no memory for the engine {name}: it needs {needs_mb:.0f} MB of"
            f" {budget:.0f}, {busy}. Raise EARWITNESS_ENGINE_MEMORY_MB, or ask again later.",
            engine=name,
            needs_mb=round(needs_mb),
            budget_mb=round(budget),
        )

    def _follow(self, name: str, host: Host, now: float) -> None:
        """Do what the store says operators want of this engine."""
        desired, berth = self._asked(name), self._berths[name]
        if desired is None:
            return
        berth.kept = desired.wanted is Wanted.LOADED
        if desired.wanted is Wanted.UNLOADED:
            if berth.obeyed != desired.at and host.unload_if_idle():
                berth.obeyed = desired.at
        elif host.state in (State.ABSENT, State.FAILED) and now - berth.tried_at >= RETRY_S:
            berth.obeyed, berth.tried_at = desired.at, now
            self._aside(partial(self._loaded, name))

    def _asked(self, name: str) -> Desired | None:
        """The wish in the store; None too where the store does not answer: nothing changes."""
        try:
            return self._desires.get(name) if self._desires else None
        except EarwitnessError as error:
            say(log, error)
            return None

    def _preloaded(self, name: str) -> None:
        try:
            self._loaded(name)
        finally:
            self._to_preload.discard(name)

    def _loaded(self, name: str) -> None:
        try:
            self._hosts[name].load()
        except EarwitnessError as error:
            say(log, error)

    def _host(self, name: str) -> Host:
        if name not in self._hosts:
            raise ModelNotFound(f"There is no engine called {name}, only {', '.join(self._hosts)}.")
        return self._hosts[name]


def same_device(one: str, other: str) -> bool:
    """Whether both mean the same memory: `cuda` is `cuda:0`."""
    return (one if one != "cuda" else "cuda:0") == (other if other != "cuda" else "cuda:0")
