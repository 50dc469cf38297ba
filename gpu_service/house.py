"""What one instance of the service holds: places, threads, decoder, engines, the work flow."""

import logging
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from gpu_service.decoding.decoder import Decoder
from gpu_service.engines import weights
from gpu_service.engines.host import EngineHost
from gpu_service.engines.registry import parse
from gpu_service.engines.serving import Server
from gpu_service.hearing.ears import LocalEars
from gpu_service.push_tokens import PushTokens
from gpu_service.slots import Slots
from shared import wiring
from shared.domain.answers import Task
from shared.domain.lanes import Lane
from shared.errors import EarwitnessError, InvalidSettings
from shared.flows.work import Work
from shared.logs import say
from shared.settings import Settings

log = logging.getLogger("earwitness.house")


@dataclass(slots=True)
class House:
    """Built once by `create_app`; started and stopped by its lifespan."""

    settings: Settings
    parts: wiring.Parts
    tokens: PushTokens
    slots: Slots
    threads: ThreadPoolExecutor
    decoder: Decoder
    hosts: Mapping[str, EngineHost]
    servers: Mapping[str, Server]
    work: Work
    stopping: bool = field(default=False)
    pushes: Counter[str] = field(default_factory=Counter)  #: by what became of them

    def should_yield(self, lane: Lane) -> bool:
        """Whether a job of `lane` should make room: we stop, or somebody more urgent waits."""
        return self.stopping or (lane is Lane.LOW and self.slots.waits(Lane.HIGH))

    def start(self) -> None:
        """Start decoder children first (nothing heavy is loaded yet), then every engine.

        Also those of no cascade: a recording may wish for one. None loads before it is asked.

        Raises:
            SandboxUnavailable: see there.
        """
        self.decoder.start()
        for server in self.servers.values():
            server.start()

    def stop(self) -> None:
        """Let go of every job without spending an attempt, then end the children."""
        self.stopping = True
        for lease in self.work.held():
            try:
                self.parts.jobs.hand_over(lease, self.parts.now())
            except EarwitnessError as error:
                say(log, error)
        for server in self.servers.values():
            server.stop()
        self.decoder.stop()
        self.threads.shutdown(wait=False, cancel_futures=True)


def build(settings: Settings) -> House:
    """Put the service together; nothing is started, no weight is read.

    Raises:
        InvalidSettings: every wrong setting is named.
    """
    engines = parse(settings.engines)
    hosts = {
        name: EngineHost(name, engine, cache=weights.folder(settings))
        for name, engine in engines.items()
    }
    _check_cascade(settings, hosts)
    parts = wiring.parts(settings)
    decoder = Decoder(processes=settings.decoders, allow_unsandboxed=settings.allow_unsandboxed)
    servers = {name: Server(host) for name, host in hosts.items()}
    ears = LocalEars(decoder, servers, settings.home / "tmp")
    return House(
        settings=settings,
        parts=parts,
        tokens=PushTokens(settings),
        slots=Slots(settings.slots),
        threads=ThreadPoolExecutor(settings.slots, thread_name_prefix="job"),
        decoder=decoder,
        hosts=hosts,
        servers=servers,
        work=wiring.work(parts, ears),
    )


def _check_cascade(settings: Settings, hosts: Mapping[str, EngineHost]) -> None:
    """Raises InvalidSettings: an engine in the cascade is unknown, or cannot do its task."""
    cascade = {task: getattr(settings.cascade, task) for task in Task}
    wrong = [
        f"EARWITNESS_CASCADE__{task.upper()} names {name}: {why}."
        for task, names in cascade.items()
        for name in names
        if (why := _unfit(name, task, hosts))
    ]
    if wrong:
        raise InvalidSettings("\n".join(wrong))


def _unfit(name: str, task: Task, hosts: Mapping[str, EngineHost]) -> str:
    """Why this engine cannot do this task; empty if it can."""
    if name not in hosts:
        return f"there is no such engine, only {', '.join(hosts)}"
    return "" if task in hosts[name].capabilities().tasks else f"it cannot {task}"
