"""One JSON line an event, in the form that Cloud Logging takes apart."""

import io
import json
import logging
import os
import subprocess
import sys

import pytest

from shared.errors import InvalidWish, StoreUnavailable
from shared.logs import Json, about, say
from shared.spans import span

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def lines():
    """What a logger of ours wrote, each line read back."""
    stream, log = io.StringIO(), logging.getLogger("earwitness.testlogs")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Json("my-project"))
    log.addHandler(handler)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    log.removeHandler(handler)


LOG = logging.getLogger("earwitness.testlogs")


def test_a_line_says_severity_time_message_trace_and_recording(lines):
    with span("x", parent=TRACE), about("rec1"):
        LOG.warning("slow\nand long", extra={"seconds": 3.5})

    [line] = lines()
    assert (line["severity"], line["message"], line["seconds"]) == (
        "WARNING",
        "slow\nand long",
        3.5,
    )
    assert line["recording_id"] == "rec1"
    assert line["logging.googleapis.com/labels"] == {
        "logger": "earwitness.testlogs",
        "recording_id": "rec1",
    }
    trace = "projects/my-project/traces/0af7651916cd43dd8448eb211c80319c"
    assert line["logging.googleapis.com/trace"] == trace
    assert line["logging.googleapis.com/spanId"] == "b7ad6b7169203331"
    assert line["logging.googleapis.com/trace_sampled"] is True
    assert line["time"].endswith("Z")


def test_an_error_that_leaves_is_still_about_its_recording(lines):
    """The edge says it, outside of what it is about."""
    for error in (StoreUnavailable(), ZeroDivisionError()):
        try:
            with about("rec1"):
                raise error
        except StoreUnavailable as known:
            say(LOG, known, event_id="e1")
        except ZeroDivisionError:
            LOG.exception("unforeseen")

    understood, unforeseen = lines()
    assert understood["recording_id"] == unforeseen["recording_id"] == "rec1"
    assert (understood["code"], understood["event_id"]) == ("store_unavailable", "e1")
    assert "ZeroDivisionError" in unforeseen["stack_trace"]


def test_a_stack_is_one_line_with_its_causes_and_without_their_words(lines):
    words = "".join(("se", "cret"))
    try:
        try:
            raise KeyError(words)
        except KeyError as error:
            raise ExceptionGroup(words, [ValueError(words)]) from error
    except ExceptionGroup:
        LOG.exception("it broke")

    [line] = lines()
    assert words not in json.dumps(line)
    stack = line["stack_trace"]
    assert stack.index("KeyError") < stack.index("ExceptionGroup") < stack.index("ValueError")


def test_a_refusal_is_said_by_its_kind_not_by_what_was_sent(lines):
    say(LOG, InvalidWish("There is no engine called my-secret-file.wav.", wish="my-secret-file"))

    [line] = lines()
    assert line["code"] == "invalid_wish"
    assert "secret" not in json.dumps(line)


CODE = """
import threading
from shared import logs
logs.set_up()
import logging
logging.getLogger("earwitness.x").info("hello")
threading.Thread(target=lambda: 1 / 0).start()
raise KeyError("my-secret-file")
"""


def said(**environment):
    out = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True,
        text=True,
        env={k: v for k, v in os.environ.items() if k != "K_SERVICE"} | environment,
    )
    assert out.returncode == 1
    return out.stderr


@pytest.mark.parametrize("why", [{"K_SERVICE": "service"}, {"EARWITNESS_LOG_FORMAT": "json"}])
def test_in_the_cloud_every_line_is_json_uncaught_errors_too(why):
    lines = [json.loads(line) for line in said(**why).splitlines()]

    assert sorted(line["severity"] for line in lines) == ["CRITICAL", "CRITICAL", "INFO"]
    stacks = [line["stack_trace"] for line in lines if "stack_trace" in line]
    assert {"KeyError", "ZeroDivisionError"} == {s.strip().splitlines()[-1] for s in stacks}
    assert "secret" not in json.dumps([line["message"] for line in lines])


def test_on_one_machine_nothing_is_set_up():
    assert "severity" not in said(EARWITNESS_LOG_FORMAT="text", K_SERVICE="service")
