"""A TCP relay before a server: it can refuse connections for a while, as an outage does."""

import socket
import threading
from contextlib import suppress

BLOCK = 64 << 10


class Gate:
    """Open at first. The port stays the same, so that nobody has to look for it again."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._ends: set[socket.socket] = set()
        self._marker: bytes | None = None
        self.fell = threading.Event()  #: set when the marker has come
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._listen()

    def shut(self) -> None:
        """Break off what is under way; whoever comes now is refused."""
        self._end(self._listener)
        for end in list(self._ends):
            self._end(end)

    def shut_at(self, marker: bytes) -> None:
        """Shut when somebody sends this; it does not get through."""
        self._marker = marker

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listen()

    def _listen(self) -> None:
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def _serve(self, listener: socket.socket) -> None:
        with suppress(OSError):  # it was shut
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(self._target)
                self._ends |= {near, far}
                for ends in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, to: socket.socket) -> None:
        with suppress(OSError):
            while block := source.recv(BLOCK):
                if self._marker is not None and self._marker in block:
                    self._marker = None
                    self.shut()
                    self.fell.set()
                to.sendall(block)
        for end in (source, to):
            self._end(end)

    def _end(self, end: socket.socket) -> None:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
        self._ends.discard(end)
