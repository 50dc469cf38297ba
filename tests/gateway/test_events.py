"""The stream that says when something changed."""

import asyncio
import json

import pytest

from gateway import events
from gateway.events import BEAT, BEAT_EVERY, Changes
from shared import wiring
from shared.errors import StoreUnavailable


@pytest.fixture
def changes(settings, app):
    return Changes(wiring.changes(settings), period_s=0.001)


async def first(stream, wanted: int) -> list[str]:
    return [await asyncio.wait_for(anext(stream), 10) for _ in range(wanted)]


def number(event: str) -> int:
    return int(json.loads(event.removeprefix("data: "))["changed"])


async def test_stream_begins_with_where_it_is(changes):
    (event,) = await first(changes.stream(), 1)

    assert number(event) > 0
    assert event.endswith("\n\n")


async def test_stream_tells_of_every_commit(changes, store):
    stream = changes.stream()
    (before,) = await first(stream, 1)
    store.received()

    (after,) = await first(stream, 1)

    assert number(after) != number(before)


async def test_two_listeners_are_both_told(changes, store):
    one, two = changes.stream(), changes.stream()
    await first(one, 1)
    await first(two, 1)
    store.received()

    assert number((await first(one, 1))[0]) == number((await first(two, 1))[0])


async def test_quiet_stream_beats(changes):
    stream = changes.stream()

    told = await first(stream, 3)

    assert told[1:] == [BEAT, BEAT]
    assert BEAT_EVERY * events.PERIOD_S < 30


async def test_stream_ends_when_the_server_stops(changes):
    stream = changes.stream()
    await first(stream, 1)
    changes.stop()

    rest = [event async for event in stream]

    assert rest == []


class Flaky:
    """A store that answers once and is gone from then on."""

    def __init__(self) -> None:
        self._asked = False

    def __call__(self) -> int:
        if self._asked:
            raise StoreUnavailable
        self._asked = True
        return 1


async def test_stream_outlives_a_store_that_is_gone():
    changes = Changes(Flaky(), period_s=0.001)

    told = await first(changes.stream(), 2)

    assert [number(told[0]), told[1]] == [1, BEAT]


async def test_endpoint_is_an_event_stream(app):
    """Asked through ASGI until its first event, then the listener goes away."""
    sent: list[dict] = []
    told = asyncio.Event()

    async def send(message):
        sent.append(message)
        if message["type"] == "http.response.body":
            told.set()

    async def receive():
        await told.wait()
        return {"type": "http.disconnect"}

    asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive_once_then_leave():
        return next(asked, None) or await receive()

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/v1/events",
        "raw_path": b"/v1/events",
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1:8080")],
        "server": ("127.0.0.1", 8080),
        "scheme": "http",
        "http_version": "1.1",
    }
    await asyncio.wait_for(app(scope, receive_once_then_leave, send), 10)

    start, body = sent[0], sent[1]
    headers = dict(start["headers"])
    assert start["status"] == 200
    assert headers[b"content-type"].startswith(b"text/event-stream")
    assert headers[b"cache-control"] == b"no-store"
    assert body["body"].startswith(b"data: ")
