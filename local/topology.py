"""What lies between the processes of one HOME: who carries files, events and messages.

Two of them behind one face: `topology_embedded` (our own broker over one SQLite file) and
`topology_emulated` (Google's emulators). `local.stack` does not know which.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from local.herald import News
from local.inbox import SeenDrops
from local.ports import Reserved, first_free, some_free
from shared.errors import PartNotStarted
from shared.wiring import Parts

FUNCTIONS, SERVICE, GATEWAY = "functions", "service", "gateway"


@dataclass(frozen=True, slots=True)
class Ports:
    functions: int
    service: int
    page: Reserved | None  #: None: no page is served

    @staticmethod
    def choose(page: int | None) -> "Ports":
        """Free ports; the page gets the wished one or the next.

        Raises:
            PartNotStarted: a hundred ports in a row are taken.
        """
        functions, service = some_free(2)
        if page is None:
            return Ports(functions, service, None)
        reserved = first_free(page)
        if reserved is None:
            raise PartNotStarted(f"Port {page} and the ports after it are taken; use --port.")
        return Ports(functions, service, reserved)

    @property
    def gateway(self) -> int | None:
        return self.page.port if self.page else None

    def release(self) -> None:
        """Let others choose these ports."""
        if self.page:
            self.page.release()


def url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


class Topology(Protocol):
    """open -> (the processes start) -> carry -> halt -> (the processes end) -> close.

    `halt` and `close` may come after any of them, and twice.
    """

    def open(self) -> None:
        """Make ready what the processes need at their start.

        Raises:
            EarwitnessError: it cannot be had; `close` leaves nothing behind.
        """
        ...

    @property
    def parts(self) -> Parts:
        """The adapters; only once it is open."""
        ...

    @property
    def seen(self) -> SeenDrops:
        """What was taken from the inbox."""
        ...

    @property
    def broker(self) -> str:
        """Where messages are published."""
        ...

    def variables(self) -> Mapping[str, str]:
        """What another process needs in its environment to work on the same store."""
        ...

    def carry(self) -> None:
        """The processes answer: carry events, messages and ticks to them."""
        ...

    def news(self) -> News:
        """What is announced from now on."""
        ...

    def uploaded(self) -> None:
        """Something was just uploaded."""
        ...

    def back(self, name: str) -> None:
        """A process answers, maybe after its death."""
        ...

    def halt(self) -> None:
        """Carry nothing more."""
        ...

    def close(self) -> None:
        """Give back what was made ready."""
        ...
