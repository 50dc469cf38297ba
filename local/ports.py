"""Free TCP ports on 127.0.0.1."""

import random
import socket
from collections.abc import Iterable

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


def first_free(wished: int) -> int | None:
    """The wished port or the next free one; None if a hundred are taken."""
    return next((p for p in range(wished, min(wished + PAGE_TRIES, 65_536)) if is_free(p)), None)


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
