"""Endpoints of webhooks: real servers on this machine, some of which misbehave."""

import socket
import ssl
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

#: Seconds a test waits for something that happens in milliseconds, before it is wrong.
PATIENCE_S = 20.0


def answers(status: int = 204, **headers: str) -> bytes:
    """A whole answer without a body."""
    lines = [f"HTTP/1.1 {status} Whatever", "Content-Length: 0"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Endpoint:
    """Takes connections one by one, hands each to `speak`, and keeps the requests."""

    def __init__(
        self,
        speak: Callable[["Endpoint", socket.socket], None] | None = None,
        *,
        said: Sequence[bytes] = (),
        host: str = "127.0.0.1",
        port: int = 0,
        certificate: Path | None = None,
    ) -> None:
        """`said`: answers in turn; after the last one 204."""
        self._speak, self._said = speak or _answer, iter(said)
        self._context = _serving(certificate) if certificate else None
        self.requests: SimpleQueue[bytes] = SimpleQueue()
        self.names: SimpleQueue[str | None] = SimpleQueue()  #: asked for by SNI
        self.over = threading.Event()
        self._socket = socket.create_server((host, port))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        # Some systems do not wake who waits in accept when it is closed.
        socket.create_connection(self._socket.getsockname()[:2]).close()
        self._thread.join(PATIENCE_S)
        self._socket.close()

    def url(self, name: str = "127.0.0.1", path: str = "/hook", scheme: str = "http") -> str:
        return f"{scheme}://{name}:{self.port}{path}"

    def take(self) -> tuple[str, dict[str, str], bytes]:
        """The first line, the headers and the body of the next request."""
        head, _, body = self.requests.get(timeout=PATIENCE_S).partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        pairs = (line.partition(": ") for line in lines)
        return first, {name.lower(): value for name, _, value in pairs}, body

    def next_answer(self) -> bytes:
        return next(self._said, answers())

    def _serve(self) -> None:
        while True:
            line, _ = self._socket.accept()
            if self.over.is_set():
                line.close()
                return
            try:
                with self._secured(line) as spoken:
                    self._speak(self, spoken)
            except OSError:
                line.close()  # a client that broke off is part of the test

    def _secured(self, line: socket.socket) -> socket.socket:
        if self._context is None:
            return line
        self._context.sni_callback = lambda _, name, __: self.names.put(name)
        return self._context.wrap_socket(line, server_side=True)


def heard(line: socket.socket) -> bytes:
    """One whole request."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += line.recv(65536)
    head, _, body = got.partition(b"\r\n\r\n")
    lengths = [
        v
        for k, _, v in (h.partition(b": ") for h in head.split(b"\r\n"))
        if k.lower() == b"content-length"
    ]
    while len(body) < int(lengths[0]):
        body += line.recv(65536)
    return head + b"\r\n\r\n" + body


def _answer(endpoint: Endpoint, line: socket.socket) -> None:
    endpoint.requests.put(heard(line))
    line.sendall(endpoint.next_answer())


def drips(endpoint: Endpoint, line: socket.socket) -> None:
    """Answers one byte after the other and never comes to an end."""
    heard(line)
    line.sendall(b"HTTP/1.1 200 OK\r\nx: ")
    while not endpoint.over.wait(0.01):
        line.sendall(b"y")


def silent(endpoint: Endpoint, line: socket.socket) -> None:
    heard(line)
    endpoint.over.wait(PATIENCE_S)


def mute(endpoint: Endpoint, line: socket.socket) -> None:
    """Takes the connection and not one byte more."""
    endpoint.over.wait(PATIENCE_S)


def hangs_up(endpoint: Endpoint, line: socket.socket) -> None:
    heard(line)


def endless(endpoint: Endpoint, line: socket.socket) -> None:
    """Accepts, with a body without end."""
    endpoint.requests.put(heard(line))
    line.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not endpoint.over.is_set():
        line.sendall(b"z" * 65536)


def _serving(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def certificate(folder: Path, name: str) -> Path:
    """A certificate of `name` with its key, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path
