"""The stream of events outlives the line."""

import pytest

from earwitness.client import ConnectionLost, NotUnderstood, Patience, ServerFailed, Unreachable
from tests.client.line import Answers, NoAnswer


def test_stream_tells_of_a_change(store, ears):
    events = ears.events()
    first = next(events)
    store.received("change.wav")

    assert next(events).changed != first.changed
    events.close()


def test_stream_that_broke_off_is_opened_again_and_says_so(line, ears, clock):
    events = ears.events()
    next(events)

    line.cut()
    next(events)  # nothing was committed: this is the new stream's first word
    line.cut()
    next(events)

    assert line.asked() == ["GET /v1/events"] * 3
    assert len(clock.pauses) == 2
    assert max(clock.pauses) <= 0.4, "a stream that said something begins anew"
    events.close()


def test_stream_waits_for_a_gateway_that_starts_again(line, ears, clock):
    line.faults = [Answers("503 Starting"), Answers("503 Starting", b"", "Retry-After: 4\r\n")]

    events = ears.events()
    next(events)

    assert (len(clock.pauses), clock.pauses[1] >= 4) == (2, True)
    events.close()


@pytest.mark.parametrize(
    ("fault", "error"),
    [(Answers("503 No"), ServerFailed), (NoAnswer(), ConnectionLost)],
    ids=["refused", "silent"],
)
def test_stream_that_cannot_be_had_is_given_up(line, connect, clock, fault, error):
    line.faults = [fault] * 99

    with pytest.raises(error):
        next(connect(patience=Patience(attempts=3)).events())

    assert len(clock.pauses) == 2


def test_nobody_there_is_said(connect):
    with pytest.raises(Unreachable):
        next(connect("http://127.0.0.1:1", patience=Patience(attempts=2)).events())


@pytest.mark.parametrize(
    "answer",
    [
        Answers("200 OK", b"data: {}\n\n", "Content-Type: text/event-stream\r\n"),
        Answers("200 OK", b"<html>", "Content-Type: text/html\r\n"),
        Answers("404 Not Found", b"<html>"),
    ],
    ids=["another event", "a page", "nothing there"],
)
def test_what_is_no_stream_of_ours_is_not_understood(line, connect, clock, answer):
    line.faults = [answer]

    with pytest.raises(NotUnderstood):
        next(connect().events())

    assert clock.pauses == []
