"""Everything that serves one HOME: broker, events, ticks, inbox, and the three processes."""

import contextlib
import logging
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from local import push_keys
from local.broker import PUSH_TIMEOUT_S, Broker, Subscription, event_push, ticket_push
from local.child_log import OwnLog
from local.claim import Up
from local.inbox import Inbox, SeenDrops
from local.ports import first_free, some_free
from local.posts import Posts
from local.push_keys import PushKeys
from local.storage_events import TIMEOUT_S, StorageEvents, upload_push
from local.supervisor import Part, Supervisor
from local.ticks import TOPIC as TICKS
from local.ticks import Ticks
from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_uploads import SqliteUploads
from shared.domain.recording import Topic
from shared.domain.testimony import VERSION
from shared.errors import EarwitnessError, PartNotStarted
from shared.logs import say
from shared.settings import Settings
from shared.wiring import STORE, clock, parts

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
LANES = (Topic.LANE_HIGH, Topic.LANE_LOW)
FUNCTIONS, SERVICE, GATEWAY = "functions", "service", "gateway"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ports:
    functions: int
    service: int
    gateway: int | None  #: None: no page is served

    @staticmethod
    def choose(page: int | None) -> "Ports":
        """Free ports; the page gets the wished one or the next.

        Raises:
            PartNotStarted: a hundred ports in a row are taken.
        """
        functions, service = some_free(2)
        if page is None:
            return Ports(functions, service, None)
        gateway = first_free(page)
        if gateway is None:
            raise PartNotStarted(f"Port {page} and the ports after it are taken; use --port.")
        return Ports(functions, service, gateway)


class Stack:
    """Start and stop it once, under the HOME's claim (`local.claim`)."""

    def __init__(
        self, settings: Settings, *, say: Say, page: int | None = None, inbox: Path | None = None
    ) -> None:
        """`page` is the wished port of the page, None for none; `inbox` None watches nothing.

        Raises:
            InvalidSettings, StoreUnavailable, DiskFull: nothing was started.
        """
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        _sweep(settings.home / "tmp", clock().timestamp())
        self._settings, self._say, self._page = settings, say, page
        self._log = OwnLog(settings.home / "logs" / "up.log", say)
        self._keys = PushKeys(settings.home / "keys", clock)
        self._parts = parts(settings)
        self._db = Database(settings.home / STORE)
        self.ports = Ports.choose(page)
        self._ticket_posts = Posts(lambda: _url(self.ports.service), PUSH_TIMEOUT_S)
        self._event_posts = Posts(lambda: _url(self.ports.functions), TIMEOUT_S)
        self.broker = Broker(self._subscriptions(), clock)
        self._events = StorageEvents(
            SqliteUploads(self._db, settings.home), self._db, upload_push(self._event_posts)
        )
        self._ticks = Ticks(self.broker)
        self._inbox = self._watch(inbox) if inbox else None
        self._supervisor: Supervisor | None = None

    def start(self) -> None:
        """Start everything; returns when all three processes answer.

        Raises:
            PartNotStarted: everything was stopped again, as after any other exception.
        """
        OURS.addHandler(self._log)
        try:
            # Nobody else serves this HOME (the claim), so whoever held a lease is dead.
            self._take_back()
            self.broker.start()
            self._supervise()
            self._events.start()
            self._ticks.start()
            if self._inbox is not None:
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
        self._ticks.stop()
        self._events.stop()
        self.broker.stop()
        self._ticket_posts.close()
        self._event_posts.close()
        if self._supervisor is not None:
            self._supervisor.stop()
        OURS.removeHandler(self._log)
        self._log.close()

    def up(self, pid: int) -> Up:
        """What HOME/up.json is to say."""
        gateway = self.ports.gateway
        return Up(
            pid=pid,
            url=_url(gateway) if gateway else "",
            broker=self.broker.url,
            functions=_url(self.ports.functions),
            service=_url(self.ports.service),
            started_at=clock().isoformat(),
            version=VERSION,
        )

    def pids(self) -> Mapping[str, int | None]:
        return self._supervisor.pids() if self._supervisor else {}

    def _supervise(self) -> None:
        for tries in range(1, PORT_TRIES + 1):
            self._supervisor = Supervisor(
                self._children(),
                self._settings.home / "logs",
                say=self._say,
                died=self._died,
                back=self._back,
            )
            try:
                self._supervisor.start()
                return
            except PartNotStarted as error:
                if not error.context.get("port_taken") or tries == PORT_TRIES:
                    raise
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
            "EARWITNESS_BACKEND": self._settings.backend.value,
            "EARWITNESS_BROKER_URL": self.broker.url,
            "EARWITNESS_SERVICE_URL": _url(self.ports.service),
            "EARWITNESS_PUSH_ISSUER": push_keys.ISSUER,
            "EARWITNESS_PUSH_AUDIENCE": push_keys.AUDIENCE,
            "EARWITNESS_PUSH_EMAIL": push_keys.EMAIL,
            "EARWITNESS_PUSH_SUBJECT": push_keys.SUBJECT,
            "EARWITNESS_PUSH_KEYS": str(self._keys.jwks),
            "EARWITNESS_WORKER": WORKER,
        }

    def _subscriptions(self) -> dict[str, Subscription]:
        slots = self._settings.slots
        lanes = {
            lane.value: Subscription(ticket_push(self._ticket_posts, self._keys, lane), slots)
            for lane in LANES
        }
        dead = event_push(self._event_posts, Topic.JOBS_DEAD, "on_job_dead")
        ticks = event_push(self._event_posts, TICKS, "reconcile")
        return lanes | {
            Topic.JOBS_DEAD.value: Subscription(dead, 1),
            TICKS: Subscription(ticks, 1),
        }

    def _watch(self, folder: Path) -> Inbox:
        return Inbox(
            folder,
            self._parts.inlet,
            self._parts.tenants,
            SeenDrops(self._db),
            clock,
            room=self._settings.home,
            say=self._say,
            took=self._events.look,
        )

    def _died(self, name: str) -> None:
        if name == SERVICE:
            self._take_back()

    def _take_back(self) -> None:
        try:
            ended = self._parts.jobs.take_back(clock(), worker=WORKER)
        except EarwitnessError as error:
            # Not lost: the leases run out, and `reconcile` takes them back.
            say(log, error)
            return
        if ended:
            self._say(f"{ended} recordings were being heard when it ended; they are tried again.")

    def _back(self, name: str) -> None:
        if name == SERVICE:
            self.broker.hurry(*(lane.value for lane in LANES))
        if name == FUNCTIONS:
            self.broker.hurry(Topic.JOBS_DEAD.value, TICKS)
            self._events.hurry()


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _sweep(folder: Path, now_s: float) -> None:
    """Remove what killed processes have left behind."""
    for entry in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):
            if now_s - entry.lstat().st_mtime < STALE_S:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink()
