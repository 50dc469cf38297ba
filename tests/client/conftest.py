"""A gateway on a real socket, a line to it that can be bad, and both colours of the client."""

import threading
import time
from dataclasses import dataclass, field

import pytest
from anyio.from_thread import start_blocking_portal

from earwitness.client import AsyncEarwitness, Earwitness
from gateway.main import create_app, server
from local.ports import some_free
from shared.settings import Settings
from tests.client.line import Line
from tests.gateway.testimony import Filled


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    return create_app(Settings(home=home, broker_url="http://127.0.0.1:9"))


@pytest.fixture(scope="module")
def port(app):
    """Where the gateway answers; one for all tests of a file, because each makes its own data."""
    (free,) = some_free(1)
    running = server(app, "127.0.0.1", free)
    running.install_signal_handlers = lambda: None
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        assert thread.is_alive()
        time.sleep(0.01)  # uvicorn gives no other sign
    yield free
    app.state.changes.stop()
    running.should_exit = True
    thread.join(30)


@pytest.fixture
def line(port):
    with Line(port).up() as made:
        yield made


@pytest.fixture(scope="module")
def store(app):
    return Filled(app.state.parts)


@dataclass
class Time:
    """Stands still but for pauses; what happens during one can be told."""

    now_s: float = 1_000.0
    pauses: list[float] = field(default_factory=list)
    meanwhile: list = field(default_factory=list)

    def __call__(self) -> float:
        return self.now_s

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now_s += seconds
        if self.meanwhile:
            self.meanwhile.pop(0)()

    async def pause_async(self, seconds: float) -> None:
        self.pause(seconds)


@pytest.fixture
def clock():
    return Time()


class Awaited:
    """The asynchronous client, each call of it awaited in a loop of its own."""

    def __init__(self, portal, client: AsyncEarwitness) -> None:
        self._portal, self._client = portal, client

    def __getattr__(self, name: str):
        method = getattr(self._client, name)
        if name in ("deliveries", "recordings", "events"):
            return lambda *given, **named: self._iterated(method(*given, **named))
        return lambda *given, **named: self._portal.call(lambda: method(*given, **named))

    def _iterated(self, stream):
        try:
            while True:
                try:
                    yield self._portal.call(stream.__anext__)
                except StopAsyncIteration:
                    return
        finally:
            self._portal.call(stream.aclose)


@pytest.fixture(params=["blocking", "awaiting"])
def connect(request, app, line, clock):
    """Makes clients of the gateway behind `line`, with its token unless told otherwise."""
    token = app.state.page_token
    with start_blocking_portal() as portal:
        made = []

        def open_one(url=None, **options):
            options = {"token": token, "clock": clock, **options}
            if request.param == "blocking":
                client = Earwitness(url or line.url, **{"pause": clock.pause, **options})
            else:
                kept = {"pause": clock.pause_async, **options}
                client = Awaited(portal, portal.call(lambda: _made(url or line.url, kept)))
            made.append(client)
            return client

        open_one.colour = request.param
        yield open_one
        for client in made:
            client.close()


async def _made(url, options):
    return AsyncEarwitness(url, **options)


@pytest.fixture
def ears(connect):
    return connect()
