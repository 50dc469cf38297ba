"""Free TCP ports on 127.0.0.1."""

import random
import socket
import sys
from collections.abc import Iterable
from dataclasses import dataclass

#: Below the range from which the system takes ports for outgoing connections (Linux: 32768
#: up, others: 49152 up). A port from that range can be taken while its process restarts, and
#: a client that keeps trying it can even connect to itself.
INNER_PORTS = range(20_000, 32_000)
#: How many ports after the wished one are tried for the page.
PAGE_TRIES = 100


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: a connection that lingers in TIME_WAIT does not make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@dataclass(frozen=True, slots=True)
class Reserved:
    """A free port that no other Earwitness of this machine chooses until it is released.

    Seconds lie between choosing a port and a server that listens on it. Whoever starts in
    between would choose the same, find a page there that answers, and take it for its own.
    """

    port: int
    mark: socket.socket

    def release(self) -> None:
        """Releasing twice is releasing once; the end of the process releases too."""
        self.mark.close()


def reserve(port: int) -> Reserved | None:
    """The port, if it is free and nobody reserved it.

    The mark is a name in Linux's abstract namespace, which goes with its owner (unix(7));
    elsewhere there is no such thing, and the mark keeps nobody off.
    """
    mark = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if sys.platform == "linux":
            mark.bind(f"\0earwitness-port-{port}")
    except OSError:
        mark.close()
        return None
    if is_free(port):
        return Reserved(port, mark)
    mark.close()
    return None


def first_free(wished: int) -> Reserved | None:
    """The wished port or the next free one, reserved; None if a hundred are taken."""
    tried = map(reserve, range(wished, min(wished + PAGE_TRIES, 65_536)))
    return next(filter(None, tried), None)


def some_free(count: int, candidates: Iterable[int] | None = None) -> list[int]:
    """`count` different free ports, at random. Another program may still be faster: see
    `Supervisor.start`."""
    order = candidates or random.sample(INNER_PORTS, len(INNER_PORTS))
    found: list[int] = []
    for port in order:
        if len(found) == count:
            break
        if is_free(port):
            found.append(port)
    return found
