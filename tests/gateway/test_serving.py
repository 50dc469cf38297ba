"""The gateway as a process: it stops when told, though a page still listens."""

import http.client
import signal
import socket
import subprocess
import sys


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_stops_cleanly_while_a_page_listens(tmp_path):
    port = free_port()
    code = (
        "import sys, pathlib; from gateway.main import serve; from shared.settings import Settings;"
        "s = Settings(home=pathlib.Path(sys.argv[1]));"
        "serve(s, '127.0.0.1', int(sys.argv[2]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path), str(port)])
    try:
        stream = listen(process, port)
        assert stream.readline().startswith(b"data: ")
        process.send_signal(signal.SIGTERM)

        assert stream.read().count(b"data: ") == 0  # ends whole: no chunk is missing
        # The server ends by the signal it was sent, after everything else has ended.
        assert process.wait(60) in (0, -signal.SIGTERM)
    finally:
        process.kill()


def listen(process, port):
    """The event stream, once the gateway serves."""
    while process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("GET", "/v1/events")
        except ConnectionRefusedError:
            continue
        return connection.getresponse()
    raise AssertionError("the gateway did not start")
