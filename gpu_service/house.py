"""What one instance of the service holds: places, threads, decoder, engines, the work flow."""

import logging
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event, Thread

import msgspec

from gpu_service.admission import Admission
from gpu_service.archiving import flac
from gpu_service.decoding.decoder import Decoder
from gpu_service.engines import elsewhere
from gpu_service.engines.registry import EngineSettings, read
from gpu_service.hearing.ears import LocalEars
from gpu_service.hearing.throughput import Throughput
from gpu_service.hosting.desired import Desires
from gpu_service.hosting.fleet import Fleet
from gpu_service.hosting.host import EngineHost
from gpu_service.hosting.interpreters import python_of
from gpu_service.hosting.remote import Host, RemoteHost, is_remote
from gpu_service.push_tokens import PushTokens
from gpu_service.serving.server import Server
from gpu_service.slots import Slots
from gpu_service.weights import pinned
from shared import wiring
from shared.domain.answers import Task
from shared.domain.cascade import EVERY
from shared.domain.lanes import Lane
from shared.errors import EarwitnessError, InvalidSettings, LibraryMissing
from shared.flows.allowance import Allowance
from shared.flows.compress import Compress
from shared.flows.load import Load
from shared.flows.work import Work
from shared.logs import say
from shared.settings import Settings

log = logging.getLogger("earwitness.house")

#: Seconds between two looks at what leaves the memory and what operators want: some 35,000 reads
#: of the store a day and instance with six engines.
TICK_S = 15.0


@dataclass(slots=True)
class House:
    """Built once by `create_app`; started and stopped by its lifespan."""

    settings: Settings
    parts: wiring.Parts
    tokens: PushTokens
    operators: PushTokens | None
    slots: Slots
    threads: ThreadPoolExecutor
    decoder: Decoder
    engines: Mapping[str, EngineSettings]
    hosts: Mapping[str, Host]
    fleet: Fleet
    servers: Mapping[str, Server]
    throughput: Throughput
    load: Load
    work: Work
    compress: Compress  #: while there is nothing to hear
    allowance: Allowance  #: of callers who wait on the line
    stopping: bool = field(default=False)
    admission: Admission = field(default_factory=Admission)  #: of callers who wait on the line
    pushes: Counter[str] = field(default_factory=Counter)  #: by what became of them
    _ended: Event = field(default_factory=Event)

    @property
    def standing(self) -> str:
        """`stopping`, `loading` while engines are loaded for the first time, else `ready`."""
        if self.stopping:
            return "stopping"
        return "loading" if self.fleet.preloading else "ready"

    def should_yield(self, lane: Lane) -> bool:
        """Whether a job of `lane` should make room: we stop, or somebody more urgent waits."""
        return self.stopping or (lane is Lane.LOW and self.slots.waits(Lane.HIGH))

    def needed(self) -> bool:
        """Whether a place that hears nothing is wanted by anybody, or we stop."""
        return self.stopping or any(self.slots.waits(lane) for lane in Lane)

    def start(self) -> None:
        """Start decoder children first (nothing heavy is loaded yet), then every engine.

        Also those of no cascade: a recording may wish for one. None loads before it is asked,
        but those to be preloaded, which load aside.

        Raises:
            SandboxUnavailable: see there.
        """
        self.decoder.start()
        for server in self.servers.values():
            server.start()
        self.fleet.start()
        Thread(target=self._tick, name="fleet", daemon=True).start()

    def _tick(self) -> None:
        while not self._ended.wait(TICK_S):
            self.fleet.tick(time.monotonic())
            self._report()

    def _report(self) -> None:
        """Say how fast this instance hears, for whoever decides what is taken in, and what it
        heard of its tenants' days."""
        measured = partial(self.throughput.measured, self.slots.places)
        try:
            self.load.report(self.work.worker, measured)
            self.allowance.report()
        except EarwitnessError as error:
            say(log, error)

    def stop(self) -> None:
        """Let go of every job without spending an attempt, then end the children."""
        self.stopping = True
        self._ended.set()
        self.fleet.stop()
        for lease in self.work.held():
            try:
                self.parts.jobs.hand_over(lease, self.parts.now())
            except EarwitnessError as error:
                say(log, error)
        self._return_slices()
        for server in self.servers.values():
            server.stop()
        self.decoder.stop()
        self.threads.shutdown(wait=False, cancel_futures=True)

    def _return_slices(self) -> None:
        """What this instance took of a day and did not use: money, else it comes back later, and
        seconds, else they are stranded for the day."""
        for return_it in (self._return_money, self.allowance.give_back):
            try:
                return_it()
            except EarwitnessError as error:
                say(log, error)

    def _return_money(self) -> None:
        self.parts.spending.give_back(self.parts.now())


def build(settings: Settings) -> House:
    """Put the service together; nothing is started, no weight is read.

    Raises:
        InvalidSettings: every wrong setting is named.
    """
    engines, problems = read(elsewhere.named(settings))
    hosts = _hosts(engines, settings, problems)
    problems += _of_the_cascade(settings, hosts) + _of_the_policy(settings, hosts)
    problems += _without_python(settings, engines, hosts)
    if problems:
        raise InvalidSettings("\n".join(problems), problems=len(problems))
    parts = wiring.parts(settings)
    fleet = _fleet(settings, parts, engines, hosts)
    decoder = Decoder(processes=settings.decoders, allow_unsandboxed=settings.allow_unsandboxed)
    room_mb = settings.batch_memory_mb
    servers = {name: Server(host, room_mb=room_mb) for name, host in hosts.items()}
    throughput = Throughput()
    ears = LocalEars(decoder, servers, settings.home / "tmp", throughput)
    return House(
        settings=settings,
        parts=parts,
        tokens=PushTokens(settings),
        operators=_operators(settings),
        slots=Slots(settings.slots),
        threads=ThreadPoolExecutor(settings.slots, thread_name_prefix="job"),
        decoder=decoder,
        engines=engines,
        hosts=hosts,
        fleet=fleet,
        servers=servers,
        throughput=throughput,
        load=wiring.load_of(parts),
        work=wiring.work(parts, ears),
        compress=wiring.compress(parts, flac.compress),
        allowance=wiring.allowance_of(parts),
    )


def _operators(settings: Settings) -> PushTokens | None:
    """Verifies operators' calls as tickets are; None where no operator is known: nobody may."""
    if not (settings.operator_email and settings.operator_subject):
        return None
    who = {"push_email": settings.operator_email, "push_subject": settings.operator_subject}
    return PushTokens(msgspec.structs.replace(settings, **who))


def _hosts(
    engines: Mapping[str, EngineSettings], settings: Settings, problems: list[str]
) -> dict[str, Host]:
    """A host for each engine that can be built; the others have a line in `problems`."""
    cache, hosts = pinned.folder(settings), dict[str, Host]()
    for name, engine in engines.items():
        try:
            hosts[name] = _host(name, engine, cache, settings)
        except InvalidSettings as error:
            problems.append(f"{error}")
    return hosts


def _host(name: str, engine: EngineSettings, cache: Path, settings: Settings) -> Host:
    if is_remote(name, engine, cache):
        return RemoteHost(name, engine, cache=cache)
    return EngineHost(name, engine, cache=cache, models_python=settings.models_python)


def _fleet(
    settings: Settings,
    parts: wiring.Parts,
    engines: Mapping[str, EngineSettings],
    hosts: Mapping[str, Host],
) -> Fleet:
    fleet = Fleet(
        hosts,
        idle_s=settings.engine_idle_s or None,
        memory_mb=settings.engine_memory_mb,
        desires=Desires(parts.bookmarks, parts.now),
        preload=frozenset(name for name, engine in engines.items() if engine.preload),
    )
    for host in hosts.values():
        if isinstance(host, EngineHost):
            host.admission = fleet
    return fleet


def _of_the_cascade(settings: Settings, hosts: Mapping[str, Host]) -> list[str]:
    """A line for each engine of the cascade that is unknown, or cannot do its task."""
    cascade = {task: getattr(settings.cascade, task) for task in Task}
    return [
        f"EARWITNESS_CASCADE__{task.upper()} names {name}: {why}."
        for task, names in cascade.items()
        for name in names
        if name in hosts or name not in settings.engines  # else its own mistake was said
        if (why := _unfit(name, task, hosts))
    ]


def _of_the_policy(settings: Settings, hosts: Mapping[str, Host]) -> list[str]:
    """A line for each engine that has a threshold or a weight and is none."""
    weighed = settings.synthesis.get("weights", {})
    named = [("ACCEPT_AT", engine) for bars in settings.accept_at.values() for engine in bars]
    named += [("SYNTHESIS", engine) for engine in weighed]
    return [
        f"EARWITNESS_{setting} names {name}: there is no such engine, only {', '.join(hosts)}."
        for setting, name in dict.fromkeys(named)
        if name not in hosts and name not in settings.engines and name != EVERY
    ]


def _unfit(name: str, task: Task, hosts: Mapping[str, Host]) -> str:
    """Why this engine cannot do this task; empty if it can."""
    if name not in hosts:
        return f"there is no such engine, only {', '.join(hosts)}"
    return "" if task in hosts[name].capabilities().tasks else f"it cannot {task}"


def _without_python(
    settings: Settings, engines: Mapping[str, EngineSettings], hosts: Mapping[str, Host]
) -> list[str]:
    """A line for each engine that will be loaded here and needs a torch that is not here."""
    used = {name for task in Task for name in getattr(settings.cascade, task)}
    problems = []
    for name, engine in engines.items():
        here = isinstance(hosts.get(name), EngineHost)
        if not here or not (engine.preload or name in used):
            continue
        try:
            python_of(engine, settings.models_python)
        except LibraryMissing as error:
            problems.append(f"engine {name}: {error}")
    return problems
