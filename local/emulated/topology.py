"""Google's emulators, and what the platform does between its parts done by us.

inbox -> storage emulator -> bridge -> functions -> Firestore, Pub/Sub emulator
      -> relay (signs) -> GPU service -> Firestore, storage emulator, Pub/Sub emulator
      -> announcements to the terminal, measurements to the BigQuery emulator
"""

import os
import shutil
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from local.broker import PUSH_TIMEOUT_S
from local.emulated.bridges import Bridge
from local.emulated.emulators import (
    PORT_TRIES,
    PROJECT,
    START_S,
    BigQuery,
    Emulator,
    Firestore,
    PubSub,
    Storage,
    part,
)
from local.emulated.relay import Relay
from local.herald import News
from local.inbox import SeenDrops
from local.ports import some_free
from local.push_keys import PushKeys
from local.storage_events import TIMEOUT_S, upload_push
from local.supervisor import Supervisor
from local.ticks import Ticks
from local.topology import Ports, url
from shared.adapters.embedded.posts import Posts
from shared.adapters.embedded.sqlite_database import Database
from shared.domain.tenants import DEMO, Tier
from shared.errors import EarwitnessError, EmulatorStopped, PartNotStarted
from shared.settings import Settings
from shared.wiring import Parts, clock, parts

if TYPE_CHECKING:
    from local.emulated.bridges import Announcements

#: In HOME, for as long as it runs: objects of the storage emulator, and what the inbox has taken.
FOLDER = "emulated"
#: Seconds between two ticks. One looks for arrivals for 3 s; in the cloud it is a minute.
TICK_S = 10.0


class Emulated:
    """Implements `Topology`. Nothing of it outlives `close`."""

    def __init__(
        self,
        settings: Settings,
        keys: PushKeys,
        ports: Callable[[], Ports],
        *,
        say: Callable[[str], None],
        fell: Callable[[EarwitnessError], None],
    ) -> None:
        """`ports`: of the processes; `fell` is told when an emulator has died."""
        from local.emulated import project

        self._settings, self._ports, self._say, self._fell = settings, ports, say, fell
        self._made = project
        self._folder = settings.home / FOLDER
        self._posts = Posts(lambda: url(ports().service), PUSH_TIMEOUT_S)
        self._event_posts = Posts(lambda: url(ports().functions), TIMEOUT_S)
        self._relay = Relay(self._posts, keys)
        self._emulators: Supervisor | None = None
        self._reached: dict[str, str] = {}
        self._bridges: list[Bridge] = []
        self._ticks: Ticks | None = None

    def open(self) -> None:
        """Start the emulators, and lay out on them what Terraform would.

        From here on Google's clients in this process talk to them.

        Raises:
            EmulatorMissing, PartNotStarted, DiskFull: `close` leaves nothing behind.
        """
        self._say("Google's emulators keep nothing between starts, so this one begins empty.")
        shutil.rmtree(self._folder, ignore_errors=True)
        (self._folder / "objects").mkdir(parents=True, mode=0o700)
        self._start_emulators()
        os.environ.update(self._reached)
        self._project = self._made.Project()
        self._project.make()
        self.parts: Parts = parts(self._settings)
        self.parts.tenants.ensure(DEMO, Tier.ENTERPRISE, clock())
        self.seen = SeenDrops(Database(self._folder / "inbox.db"))
        self._announcements: Announcements = self._project.announcements()

    @property
    def broker(self) -> str:
        return f"http://{self._reached['PUBSUB_EMULATOR_HOST']}"

    def variables(self) -> Mapping[str, str]:
        told = {f"EARWITNESS_{k.upper()}": v for k, v in self._made.SETTINGS.items()}
        return told | {"GOOGLE_CLOUD_PROJECT": PROJECT} | self._reached

    def carry(self) -> None:
        self._relay.start()
        self._project.push(self._relay.url, url(self._ports().functions))
        self._bridges = self._project.bridges(
            upload_push(self._event_posts), self._announcements, clock
        )
        for bridge in self._bridges:
            bridge.start()
        self._ticks = Ticks(self._project.tick, TICK_S)
        self._ticks.start()

    def news(self) -> News:
        self._announcements()  # what came so far
        return self._announcements

    def uploaded(self) -> None:
        """The bucket tells of it by itself."""

    def back(self, name: str) -> None:
        """Pub/Sub waits for as long as its policy says."""

    def halt(self) -> None:
        if self._ticks is not None:
            self._ticks.stop()
        for bridge in self._bridges:
            bridge.ask_to_stop()
        self._relay.stop()
        self._posts.close()
        self._event_posts.close()

    def close(self) -> None:
        for bridge in self._bridges:
            bridge.stop()
        if self._emulators is not None:
            self._emulators.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def pids(self) -> Mapping[str, int | None]:
        return self._emulators.pids() if self._emulators else {}

    def _start_emulators(self) -> None:
        for left in reversed(range(PORT_TRIES)):
            chosen = self._chosen()
            self._reached = {k: v for e, port in chosen for k, v in e.variables(port).items()}
            self._emulators = Supervisor(
                [part(emulator, port) for emulator, port in chosen],
                self._settings.home / "logs",
                say=_to_nobody,
                died=self._died,
            )
            try:
                self._emulators.start(START_S)
                return
            except PartNotStarted as error:
                if not (error.context["port_taken"] and left):
                    raise

    def _chosen(self) -> list[tuple[Emulator, int]]:
        """The emulators, each with a free port."""
        pubsub, packages = PubSub(), self._settings.emulators
        ports = some_free(4)
        files = Storage(
            packages=packages,
            folder=self._folder / "objects",
            events=self._made.NOTIFICATIONS,
            pubsub=pubsub.variables(ports[0]),
        )
        return list(zip((pubsub, Firestore(), files, BigQuery(packages)), ports, strict=True))

    def _died(self, name: str) -> None:
        """Also one that never answered: whoever waits for it says so."""
        assert self._emulators is not None
        was_ready = {kept.part.name: kept.ready.is_set() for kept in self._emulators.kept}
        if was_ready[name]:
            self._fell(
                EmulatorStopped(
                    f"The {name} emulator stopped, and what it held is gone. Start again:"
                    " everything in the inbox is heard anew.",
                    part=name,
                )
            )


def _to_nobody(_: str) -> None:
    """What an emulator says stands in its log."""
