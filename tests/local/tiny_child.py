"""A real child process for the supervisor's tests: `python -m tests.local.tiny_child KIND PORT`."""

import http.server
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from local import lifeline
from local.child_log import write_lines
from local.supervisor import SETTLED


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = 503 if self.path == "/no" else 404 if self.path == "/missing" else 200
        self.send_response_only(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def main(kind, port, note=""):
    lifeline.follow()
    write_lines()
    if note:
        with Path(note).open("a") as file:
            file.write(f"{os.getpid()}\n")
    if kind == "dies":
        logging.getLogger("tiny").critical("it cannot be")
        sys.exit(1)
    if kind == "settled":
        logging.getLogger("tiny").critical("the settings are wrong.")
        sys.exit(SETTLED)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if kind == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if kind == "parent":
        grandchild = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        with Path(note).open("a") as file:
            file.write(f"{grandchild.pid}\n")
    if kind == "mute":
        time.sleep(600)
    try:
        http.server.HTTPServer(("127.0.0.1", int(port)), Health).serve_forever()
    finally:
        lifeline.end_what_is_left()


if __name__ == "__main__":
    main(*sys.argv[1:])
