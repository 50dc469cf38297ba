"""A running gateway on a free port of 127.0.0.1."""

import threading
from contextlib import contextmanager

from gateway.main import create_app, server
from shared.settings import Settings
from tests.journeys.running import until

#: What a gateway passes on: there is no answer to it without the service.
BEHIND = ("/v1/audio/", "/v1/models", "/v1/analyses")


@contextmanager
def gateway(settings: Settings):
    """A gateway in a thread, on a free port; gives its address."""
    serving = server(create_app(settings), "127.0.0.1", 0)
    thread = threading.Thread(target=serving.run)
    thread.start()
    try:
        until(lambda: serving.started, patience_s=60)
        yield f"http://127.0.0.1:{serving.servers[0].sockets[0].getsockname()[1]}"
    finally:
        serving.should_exit = True
        thread.join(30)
