"""A signing relay: Google's Pub/Sub emulator pushes without a token; here ours is added.

It stands between the emulator and the GPU service, so that the service never learns of an
emulator and verifies every push in full. The status goes back as it came: to the emulator the
relay is the service. Nothing else is changed; what is no push to a known path is refused.
"""

import http.client
import logging
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from local.push_keys import PushKeys
from shared.adapters.embedded.posts import Posts

log = logging.getLogger("earwitness.relay")

#: Bytes of one push; Pub/Sub's messages have at most 10 MB, our tickets some 400.
MAX_BYTES = 10_000_000
#: The one path of the service that is pushed to.
PATH = "/pubsub/tickets"


class Relay:
    """Takes pushes on a free port of 127.0.0.1 and passes them on, signed with HOME's key.

    Whoever can reach that port can ring; like the broker's it is for the processes of this
    machine, and a page in a browser is refused.
    """

    def __init__(self, posts: Posts, keys: PushKeys) -> None:
        """`posts` leads to the service. Nothing is served until `start`."""
        self._server = _Server(posts, keys.authorization)
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.1},
            name="relay",
            daemon=True,
        )
        self.url = f"http://127.0.0.1:{self._server.server_port}{PATH}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Take nothing more; a push under way is broken off by whoever closes its posts."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, posts: Posts, authorization: Callable[[], str]) -> None:
        self.posts, self.authorization = posts, authorization
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """An emulator that was ended in the middle of a push; it delivers again, or is gone."""
        log.debug("a push broke off", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server
    #: Seconds a connection may be idle; the emulator opens another.
    timeout = 300

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length") or 0)
        if self.path != PATH or length > MAX_BYTES or not self._from_here():
            self.close_connection = True
            self._answer(http.client.FORBIDDEN)
            return
        self._answer(self._passed_on(self.rfile.read(length)))

    def _from_here(self) -> bool:
        """No browser page: those send Origin, or a name that was made to point here."""
        host = self.headers.get("host", "")
        return "origin" not in self.headers and host == f"127.0.0.1:{self.server.server_port}"

    def _passed_on(self, body: bytes) -> int:
        """What the service answers; 503 if it does not, for then the push is to come again."""
        headers = {
            "authorization": self.server.authorization(),
            "content-type": self.headers.get("content-type", "application/json"),
        }
        try:
            return self.server.posts.send(PATH, headers, body)
        except (OSError, http.client.HTTPException) as error:
            log.debug("no answer to a push: %r", error)
            return http.client.SERVICE_UNAVAILABLE

    def _answer(self, status: int) -> None:
        self.send_response_only(status)
        if status != http.client.NO_CONTENT:  # which may not have one (RFC 9110, section 8.6)
            self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)
