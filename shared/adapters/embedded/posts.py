"""POST requests to one neighbour on this machine, over connections that stay open."""

import http.client
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult, urlsplit


class _Connection(http.client.HTTPConnection):
    """Sends head and body at once, or the other side would wake for each."""

    def __init__(self, address: SplitResult, timeout_s: float) -> None:
        super().__init__(address.hostname or "", address.port, timeout=timeout_s)
        self._unsent = b""

    def send(self, data: Any) -> None:
        self._unsent += data

    def getresponse(self) -> http.client.HTTPResponse:
        whole, self._unsent = self._unsent, b""
        super().send(whole)
        return super().getresponse()


class Posts:
    """One kept connection a thread. `base` is asked for each new connection: ports may move.

    The standard library's HTTP client, not urllib3: 15 ms of the functions' start (P8).
    """

    def __init__(self, base: Callable[[], str], timeout_s: float) -> None:
        self._base, self._timeout_s = base, timeout_s
        self._mine = threading.local()
        self._open: set[_Connection] = set()

    def send(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        """The status of the answer.

        A kept connection that the other side closed meanwhile is replaced once: everything
        sent here may be delivered twice.

        Raises:
            OSError, http.client.HTTPException: there was no answer.
        """
        kept: _Connection | None = getattr(self._mine, "connection", None)
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

    def _connect(self) -> _Connection:
        made = _Connection(urlsplit(self._base()), self._timeout_s)
        self._mine.connection = made
        self._open.add(made)
        return made

    def _ask(
        self,
        connection: _Connection,
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

    def _drop(self, connection: _Connection) -> None:
        connection.close()
        self._open.discard(connection)
        self._mine.connection = None
