"""A POST to somebody else's URL: to an address that was looked at, and to no other.

The name is resolved once, every address it has is judged (`shared.domain.addresses`), and the
connection goes to the very address that was judged: a name that leads elsewhere a moment later
(DNS rebinding) leads nobody there. TLS and the Host header still speak to the name.

The standard library's HTTP client over a socket of our own: it follows no redirect, reads no
proxy from the environment, and cannot connect by itself. It costs the functions' start nothing
(P8).
"""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import cache
from types import TracebackType
from typing import Self
from urllib.parse import SplitResult

from shared.domain.addresses import public, refusal
from shared.domain.retry_after import retry_after_s
from shared.domain.webhooks import Fault, Reply, check_url
from shared.errors import InvalidRequest

#: Seconds an attempt may take as a whole, and to connect to one address. Source: Standard Webhooks
#: 1.0.0, "Request timeouts" (15 to 30 s).
WHOLE_S, CONNECT_S = 20.0, 5.0
#: Bytes of an answer that are read, and thrown away, so that the endpoint may end it in peace.
MOST_BYTES = 16 << 10
#: Addresses of one name that are tried.
MOST_ADDRESSES = 3

#: The addresses of a name; raises OSError if it has none.
Resolve = Callable[[str, int], Sequence[str]]
#: A line to an address and port within so many seconds.
Connect = Callable[[tuple[str, int], float], socket.socket]


def system_addresses(host: str, port: int) -> list[str]:
    """As the system resolves the name, in the order it prefers."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@cache
def system_trust() -> ssl.SSLContext:
    """Whose certificates this system believes. Read once: a hundred of them take 20 ms."""
    return ssl.create_default_context()


class PinnedPosts:
    """Threads may share it; each request has its own connection."""

    def __init__(
        self,
        *,
        private: bool = False,
        resolve: Resolve = system_addresses,
        connect: Connect = socket.create_connection,
        trust: Callable[[], ssl.SSLContext] = system_trust,
        whole_s: float = WHOLE_S,
    ) -> None:
        """`private`: this machine's and its house's own addresses may be called, there over plain
        http, too. `trust`: whose certificates stand."""
        self._private, self._resolve, self._connect = private, resolve, connect
        self._trust, self._whole_s = trust, whole_s

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """The status of the answer, or why there is none. Ends within `whole_s` in any case."""
        with _Deadline(self._whole_s) as deadline:
            try:
                return self._post(check_url(url, private=self._private), headers, body, deadline)
            except _Refused as error:
                return Reply(fault=error.fault)
            except InvalidRequest:  # the rules have changed since it was made
                return Reply(fault=Fault.ADDRESS_REFUSED)
            except ssl.SSLError:
                return Reply(fault=Fault.TIMED_OUT if deadline.over else Fault.NOT_TRUSTED)
            except TimeoutError:
                return Reply(fault=Fault.TIMED_OUT)
            except (OSError, http.client.HTTPException, ValueError):
                # ValueError: what reads from a connection that the deadline has ended.
                return Reply(fault=Fault.TIMED_OUT if deadline.over else Fault.UNREACHABLE)

    def _post(
        self, url: SplitResult, headers: Mapping[str, str], body: bytes, deadline: "_Deadline"
    ) -> Reply:
        host, secure = url.hostname or "", url.scheme == "https"
        port = url.port or (443 if secure else 80)
        addresses = self._judged(host, port, secure, deadline)
        with self._connected(addresses, port, deadline) as plain:
            connection = http.client.HTTPConnection(host, port)
            if secure:
                connection = http.client.HTTPSConnection(host, port, context=self._trust())
            connection.auto_open = 0  # it has its line, or none
            connection.sock = self._secured(plain, host, deadline) if secure else plain
            target = (url.path or "/") + (f"?{url.query}" if url.query else "")
            try:
                connection.request("POST", target, body, dict(headers))
                answer = connection.getresponse()
                deadline.rest_s()  # what the end of time cut short is no answer
                return _reply(answer)
            finally:
                connection.close()

    def _judged(self, host: str, port: int, secure: bool, deadline: "_Deadline") -> Sequence[str]:
        """Every address of the name, each of which may be called.

        Raises:
            _Refused: one may not, or there is none.
        """
        try:
            found = _in_time(lambda: self._resolve(host, port), deadline)
        except (socket.gaierror, UnicodeError) as error:
            raise _Refused(Fault.UNKNOWN_HOST) from error
        if not found:
            raise _Refused(Fault.UNKNOWN_HOST)
        if any(refusal(one, private=self._private) for one in found):
            raise _Refused(Fault.ADDRESS_REFUSED)
        # Without TLS nothing leaves the house.
        if not secure and any(map(public, found)):
            raise _Refused(Fault.ADDRESS_REFUSED)
        return found

    def _connected(
        self, addresses: Sequence[str], port: int, deadline: "_Deadline"
    ) -> socket.socket:
        failed: OSError = OSError("no address")
        for address in addresses[:MOST_ADDRESSES]:
            try:
                # A number is not resolved again.
                made = self._connect((address, port), min(CONNECT_S, deadline.rest_s()))
            except OSError as error:
                failed = error
                continue
            made.settimeout(deadline.rest_s())
            deadline.ends(made)
            return made
        raise failed

    def _secured(self, plain: socket.socket, name: str, deadline: "_Deadline") -> ssl.SSLSocket:
        line = self._trust().wrap_socket(plain, server_hostname=name, do_handshake_on_connect=False)
        deadline.ends(line)
        line.do_handshake()
        return line


class _Refused(Exception):
    """No connection was made, for this reason."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


class _Deadline:
    """Breaks the connection off when time is over: an endpoint that sends a byte now and then
    outlives every timeout of a single read."""

    def __init__(self, whole_s: float) -> None:
        self.over = False
        self._until = time.monotonic() + whole_s
        self._line: socket.socket | None = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(whole_s, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        with self._lock:
            if self._line is not None:
                self._line.close()

    def rest_s(self) -> float:
        """Seconds left.

        Raises:
            TimeoutError: none.
        """
        rest = self._until - time.monotonic()
        if rest <= 0:
            raise TimeoutError
        return rest

    def ends(self, line: socket.socket) -> None:
        """Break off this line at the end; one that comes too late, at once."""
        with self._lock:
            self._line = line
        if self.over:
            self._end()

    def _end(self) -> None:
        self.over = True
        with self._lock, suppress(OSError):
            if self._line is not None:
                # The plain one: TLS would wait for the other side, or have lost its state.
                socket.socket.shutdown(self._line, socket.SHUT_RDWR)


def _in_time(call: Callable[[], Sequence[str]], deadline: _Deadline) -> Sequence[str]:
    """What the call returns, which has no patience of its own to be set: the system's resolver.

    Raises:
        TimeoutError: it took too long; its thread ends when it does.
    """
    answer: Future[Sequence[str]] = Future()

    def ask() -> None:
        try:
            answer.set_result(call())
        except Exception as error:  # handed to whoever waits
            answer.set_exception(error)

    threading.Thread(target=ask, name="resolve", daemon=True).start()
    return answer.result(deadline.rest_s())


def _reply(answer: http.client.HTTPResponse) -> Reply:
    asked_s = retry_after_s(answer.getheader("retry-after"), answer.getheader("date"))
    with suppress(OSError, http.client.HTTPException, ValueError):
        answer.read(MOST_BYTES)
    return Reply(answer.status, retry_after_s=asked_s or 0.0)
