"""Everything that serves one HOME: what carries messages, the inbox, and the three processes."""

import contextlib
import logging
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from local import push_keys
from local.child_log import OwnLog
from local.claim import Up
from local.herald import News
from local.inbox import Inbox
from local.push_keys import PushKeys
from local.supervisor import Part, Supervisor
from local.topology import FUNCTIONS, GATEWAY, SERVICE, Ports, Topology, url
from shared.domain.testimony import VERSION
from shared.errors import EarwitnessError, PartNotStarted
from shared.logs import say
from shared.settings import Backend, Settings
from shared.wiring import Parts, clock

log = logging.getLogger("earwitness.stack")
#: Every logger of ours is below this one.
OURS = logging.getLogger("earwitness")

#: The name in every lease of the one GPU service of this HOME.
WORKER = "gpu-local"
#: Where the page is wished to be.
PAGE_PORT = 8080
#: How often other ports are chosen because another program took one first.
PORT_TRIES = 3
#: Seconds. What lies in HOME/tmp untouched for longer was left by somebody who was killed; a
#: command that is copying a file in at this moment touches its spool all the time.
STALE_S = 600.0

Say = Callable[[str], None]


class Stack:
    """Start and stop it once, under the HOME's claim (`local.claim`)."""

    def __init__(
        self,
        settings: Settings,
        *,
        say: Say,
        page: int | None = None,
        inbox: Path | None = None,
        fell: Callable[[EarwitnessError], None] = lambda _: None,
    ) -> None:
        """`page` is the wished port of the page, None for none; `inbox` None watches nothing;
        `fell` is told of what cannot be mended while it runs: then `stop` is all that helps.

        Raises:
            InvalidSettings, StoreUnavailable, DiskFull: nothing was started.
        """
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        _sweep(settings.home / "tmp", clock().timestamp())
        self._settings, self._say, self._page, self._fell = settings, say, page, fell
        self._log = OwnLog(settings.home / "logs" / "up.log", say)
        self._keys = PushKeys(settings.home / "keys", clock)
        self._folder = inbox
        self.ports = Ports.choose(page)
        self._topology = self._chosen()
        self._inbox: Inbox | None = None
        self._supervisor: Supervisor | None = None

    def start(self) -> None:
        """Start everything; returns when all three processes answer.

        Raises:
            PartNotStarted, EmulatorMissing: everything was stopped again, as after any other
                exception.
        """
        OURS.addHandler(self._log)
        try:
            self._topology.open()
            # Nobody else serves this HOME (the claim), so whoever held a lease is dead.
            self._take_back()
            self._supervise()
            self._topology.carry()
            if self._folder is not None:
                self._inbox = self._watch(self._folder)
                self._inbox.start()
        except BaseException:  # Ctrl-C too: nothing may be left running
            self.stop()
            raise

    def stop(self) -> None:
        """First whoever brings new work, then whoever works; nothing is left running.

        Stopping what was never started, or was stopped, does nothing.
        """
        if self._inbox is not None:
            self._inbox.stop()
        self._topology.halt()
        if self._supervisor is not None:
            self._supervisor.stop()
        self.ports.release()
        self._topology.close()
        OURS.removeHandler(self._log)
        self._log.close()

    @property
    def parts(self) -> Parts:
        """The adapters, once it is started."""
        return self._topology.parts

    def news(self) -> News:
        """What is announced from now on, once it is started."""
        return self._topology.news()

    def up(self, pid: int) -> Up:
        """What HOME/up.json is to say."""
        gateway = self.ports.gateway
        return Up(
            pid=pid,
            url=url(gateway) if gateway else "",
            broker=self._topology.broker,
            functions=url(self.ports.functions),
            service=url(self.ports.service),
            started_at=clock().isoformat(),
            version=VERSION,
            environment=self._told(),
        )

    def pids(self) -> Mapping[str, int | None]:
        return self._supervisor.pids() if self._supervisor else {}

    def _chosen(self) -> Topology:
        if self._settings.backend is Backend.EMBEDDED:
            from local.topology_embedded import Embedded

            return Embedded(self._settings, self._keys, lambda: self.ports)
        from local.emulated.topology import Emulated  # Google's clients weigh half a second

        return Emulated(
            self._settings, self._keys, lambda: self.ports, say=self._say, fell=self._fell
        )

    def _told(self) -> Mapping[str, str]:
        """What a command on this HOME needs, beyond HOME itself."""
        embedded = self._settings.backend is Backend.EMBEDDED
        return {} if embedded else self._topology.variables()

    def _supervise(self) -> None:
        for tries in range(1, PORT_TRIES + 1):
            self._supervisor = Supervisor(
                self._children(),
                self._settings.home / "logs",
                say=self._say,
                died=self._died,
                back=self._topology.back,
            )
            try:
                self._supervisor.start()
                return
            except PartNotStarted as error:
                if not error.context.get("port_taken") or tries == PORT_TRIES:
                    raise
            self.ports.release()
            self.ports = Ports.choose(self._page)

    def _children(self) -> list[Part]:
        environment = self._environment()
        chosen = [
            self._part(FUNCTIONS, self.ports.functions, "/", environment, any_answer=True),
            self._part(SERVICE, self.ports.service, "/readyz", environment),
        ]
        if self.ports.gateway:
            chosen.append(self._part(GATEWAY, self.ports.gateway, "/healthz", environment))
        return chosen

    def _part(
        self,
        name: str,
        port: int,
        health: str,
        environment: Mapping[str, str],
        any_answer: bool = False,
    ) -> Part:
        command = [sys.executable, "-m", "local.child", name, "--port", str(port)]
        return Part(name, command, port, health, environment, any_answer)

    def _environment(self) -> dict[str, str]:
        return {
            "EARWITNESS_HOME": str(self._settings.home),
            "EARWITNESS_SERVICE_URL": url(self.ports.service),
            "EARWITNESS_PUSH_ISSUER": push_keys.ISSUER,
            "EARWITNESS_PUSH_AUDIENCE": push_keys.AUDIENCE,
            "EARWITNESS_PUSH_EMAIL": push_keys.EMAIL,
            "EARWITNESS_PUSH_SUBJECT": push_keys.SUBJECT,
            "EARWITNESS_PUSH_KEYS": str(self._keys.jwks),
            "EARWITNESS_GATEWAY_EMAIL": push_keys.GATEWAY_EMAIL,
            "EARWITNESS_GATEWAY_SUBJECT": push_keys.GATEWAY_SUBJECT,
            "EARWITNESS_OPERATOR_EMAIL": push_keys.OPERATOR_EMAIL,
            "EARWITNESS_OPERATOR_SUBJECT": push_keys.OPERATOR_SUBJECT,
            "EARWITNESS_SIGNING_KEY": str(self._keys.pem),
            "EARWITNESS_KEYS_REQUIRED": _said(self._settings.keys_required),
            "EARWITNESS_WORKER": WORKER,
            **self._topology.variables(),
        }

    def _watch(self, folder: Path) -> Inbox:
        return Inbox(
            folder,
            self.parts.inlet,
            self.parts.tenants,
            self._topology.seen,
            clock,
            room=self._settings.home,
            say=self._say,
            took=self._topology.uploaded,
        )

    def _died(self, name: str) -> None:
        if name == SERVICE:
            self._take_back()

    def _take_back(self) -> None:
        try:
            ended = self.parts.jobs.take_back(clock(), worker=WORKER)
        except EarwitnessError as error:
            # Not lost: the leases run out, and `reconcile` takes them back.
            say(log, error)
            return
        if ended:
            self._say(f"{ended} recordings were being heard when it ended; they are tried again.")


def _said(wished: bool | None) -> str:
    """Only this machine reaches the page, also over Google's emulators: no key, unless wished."""
    return "true" if wished else "false"


def _sweep(folder: Path, now_s: float) -> None:
    """Remove what killed processes have left behind."""
    for entry in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):
            if now_s - entry.lstat().st_mtime < STALE_S:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.lstat().st_nlink == 1:  # else it was laid, and `retire` clears both
                entry.unlink()
