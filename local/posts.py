"""POST requests to one neighbour on this machine, over connections that stay open."""

import http.client
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

#: Seconds to wait before the second delivery, and the longest wait; it doubles in between.
#: Locally a neighbour that died is back within a second or two; the cloud's 10 s would be felt.
FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 10.0


def wait_s(attempts: int) -> float:
    """Seconds to wait after `attempts` (from 1) failed deliveries."""
    return min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(attempts - 1, 30))


class Posts:
    """One kept connection a thread. `base` is asked for each new connection: ports may move."""

    def __init__(self, base: Callable[[], str], timeout_s: float) -> None:
        self._base, self._timeout_s = base, timeout_s
        self._mine = threading.local()
        self._open: set[http.client.HTTPConnection] = set()

    def send(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        """The status of the answer.

        A kept connection that the other side closed meanwhile is replaced once: everything
        sent here may be delivered twice.

        Raises:
            OSError, http.client.HTTPException: there was no answer.
        """
        kept: http.client.HTTPConnection | None = getattr(self._mine, "connection", None)
        if kept is not None:
            with suppress(ConnectionError, http.client.HTTPException):
                return self._ask(kept, path, headers, body)
        return self._ask(self._connect(), path, headers, body)

    def close(self) -> None:
        """Break off every request that waits for its answer."""
        for connection in list(self._open):
            if connection.sock is not None:
                with suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)

    def _connect(self) -> http.client.HTTPConnection:
        address = urlsplit(self._base())
        made = http.client.HTTPConnection(
            address.hostname or "", address.port, timeout=self._timeout_s
        )
        self._mine.connection = made
        self._open.add(made)
        return made

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
    ) -> int:
        try:
            connection.request("POST", path, body, dict(headers))
            answer = connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException):
            self._drop(connection)
            raise

    def _drop(self, connection: http.client.HTTPConnection) -> None:
        connection.close()
        self._open.discard(connection)
        self._mine.connection = None
