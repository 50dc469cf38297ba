"""A broker that takes messages over HTTP, remembers them, and fails on demand."""

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class RecordingBroker:
    """Answers Pub/Sub's REST publish; `status` is what it answers next."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, dict[str, Any]]] = []
        #: The same with attributes, as they were published.
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self.status = 200
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def bodies(self, topic: str) -> list[dict[str, Any]]:
        return [body for name, body in self.taken if name == topic]

    def __enter__(self) -> "RecordingBroker":
        # Of the usual half a second between two looks, ending would take most.
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        broker = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                topic = self.path.split("/topics/")[1].removesuffix(":publish")
                if broker.status == 200:
                    for message in body["messages"]:
                        broker.messages.append((topic, message))
                        broker.taken.append((topic, json.loads(base64.b64decode(message["data"]))))
                answer = json.dumps({"messageIds": ["1"] * len(body["messages"])}).encode()
                self.send_response(broker.status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        return Handler
