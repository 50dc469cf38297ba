"""A small real HTTP server that keeps what it is sent and answers as it was told."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue

#: Seconds a test waits for something that happens in milliseconds, before it is wrong.
PATIENCE_S = 20.0


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """A client that broke off is part of the test."""


class Receiver:
    """Answers with `statuses` in turn, then 204. 0 means: close without an answer.

    With `hold`, each request is answered only after one `release`.
    """

    def __init__(self, statuses: Iterable[int] = (), *, hold: bool = False) -> None:
        self._statuses = iter(statuses)
        self._gate = threading.Semaphore(0) if hold else None
        self.received: SimpleQueue[Received] = SimpleQueue()
        self.connections = 0
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()

    def take(self) -> Received:
        return self.received.get(timeout=PATIENCE_S)

    def release(self, count: int = 1) -> None:
        assert self._gate is not None
        self._gate.release(count)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self):
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self):
                receiver.connections += 1
                super().setup()

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {k.lower(): v for k, v in self.headers.items()}
                receiver.received.put(Received(self.path, headers, body))
                if receiver._gate is not None:
                    receiver._gate.acquire()
                status = next(receiver._statuses, 204)
                if status == 0:
                    self.close_connection = True
                    return
                self.send_response_only(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        return Handler
