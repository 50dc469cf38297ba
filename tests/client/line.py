"""A bad line to a gateway: a small TCP relay that cuts, answers for itself, or hangs up.

The gateway checks Host and gives out addresses, so the relay puts its own port where the
gateway's stands and back; both have as many digits.
"""

import re
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

BLOCK = 64 << 10
#: Reset instead of an orderly end, as a line that is cut does. Source: socket(7), SO_LINGER.
RESET = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Cut:
    """The connection ends after so many bytes from the client."""

    after_bytes: int


@dataclass(frozen=True)
class NoAnswer:
    """Everything goes through; of what comes back nothing after `requests` answers."""

    after_answers: int = 0


@dataclass(frozen=True)
class Answers:
    """The relay answers a request itself; the gateway never hears of it."""

    status: str
    body: bytes = b""
    headers: str = ""

    def written(self) -> bytes:
        head = f"HTTP/1.1 {self.status}\r\nContent-Length: {len(self.body)}\r\n{self.headers}"
        return f"{head}Connection: close\r\n\r\n".encode() + self.body


@dataclass
class Line:
    """One fault for each connection, in their order; then connections are good."""

    target: int
    faults: list = field(default_factory=list)
    heads: list[str] = field(default_factory=list)  #: of every request that came
    bytes_up: int = 0  #: forwarded to the gateway

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        assert len(str(self.port)) == len(str(self.target)), "names would change lengths"
        self._open: set[socket.socket] = set()
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextmanager
    def up(self) -> Iterator["Line"]:
        self._accepting.start()
        try:
            yield self
        finally:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self.cut()

    def cut(self) -> None:
        """Every connection there is."""
        for one in list(self._open):
            _reset(one)

    def asked(self) -> list[str]:
        """`GET /path` of each request."""
        return [" ".join(head.split(" ", 2)[:2]).partition("?")[0] for head in self.heads]

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.add(client)
                fault = self.faults.pop(0) if self.faults else None
                threading.Thread(target=self._serve, args=(client, fault), daemon=True).start()

    def _serve(self, client: socket.socket, fault) -> None:
        if isinstance(fault, Answers):
            with suppress(OSError):  # the listener may be closed meanwhile
                self._answer(client, fault)
            return
        gateway = socket.create_connection(("127.0.0.1", self.target))
        self._open.add(gateway)
        back = threading.Thread(target=self._down, args=(gateway, client, fault), daemon=True)
        back.start()
        self._up(client, gateway, fault)

    def _answer(self, client: socket.socket, fault: Answers) -> None:
        self._note(client.recv(BLOCK))
        client.sendall(fault.written())
        client.shutdown(socket.SHUT_WR)
        while client.recv(BLOCK):
            pass
        client.close()

    def _up(self, client: socket.socket, gateway: socket.socket, fault) -> None:
        left = fault.after_bytes if isinstance(fault, Cut) else None
        with suppress(OSError):
            while block := client.recv(BLOCK if left is None else max(1, min(BLOCK, left))):
                if left is not None and left <= 0:
                    break
                self._note(block)
                gateway.sendall(self._named(block, self.port, self.target))
                self.bytes_up += len(block)
                left = None if left is None else left - len(block)
        if left is not None:
            _reset(client)
        with suppress(OSError):
            gateway.shutdown(socket.SHUT_WR)

    def _down(self, gateway: socket.socket, client: socket.socket, fault) -> None:
        answers = 0
        with suppress(OSError):
            while block := gateway.recv(BLOCK):
                answers += block.startswith(b"HTTP/1.1")
                if isinstance(fault, NoAnswer) and answers > fault.after_answers:
                    break
                client.sendall(self._named(block, self.target, self.port))
        for one in (client, gateway):
            _reset(one)

    def _named(self, block: bytes, one: int, other: int) -> bytes:
        return block.replace(f"127.0.0.1:{one}".encode(), f"127.0.0.1:{other}".encode())

    def _note(self, block: bytes) -> None:
        for head in re.findall(rb"(?:GET|POST|PUT) /[^\r]* HTTP/1\.1\r\n.*?\r\n\r\n", block, re.S):
            self.heads.append(head.decode("latin-1"))


def _reset(one: socket.socket) -> None:
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        one.shutdown(socket.SHUT_RDWR)
    one.close()
