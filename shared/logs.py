"""What this process says, one line an event; and which recording it is about.

In the cloud a line is JSON in the form that Cloud Logging takes apart; on one machine it is for
people (`local/child_log.py`). Access lines of the servers are off in both: Cloud Run writes one
for each request itself.
Source: Google Cloud, "Structured logging", section "Special JSON fields in messages".

Nothing of a user is said (S6): a refusal is named by the sentence of its kind, not by its own
words, which may quote what was sent; and of an error that nobody foresaw the stack is kept and
its own words are not.
"""

import json
import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

from shared import spans
from shared.errors import EarwitnessError, Layer

#: The correlation id: in every line about a recording.
RECORDING: ContextVar[str] = ContextVar("recording_id", default="")
#: What every log record has anyway; the rest was given with `extra=`.
STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",  # uvicorn says it twice
}
_PREFIX = "logging.googleapis.com"
#: What may be said of an error's context beside numbers: our own words, from small closed sets.
_SAYABLE = ("code", "engine", "task", "topic", "recording_id")


@contextmanager
def about(recording_id: str) -> Iterator[None]:
    """Every line of the `with` block, and every error that leaves it, is about this recording."""
    before = RECORDING.set(recording_id)
    try:
        yield
    except EarwitnessError as error:
        error.context.setdefault("recording_id", recording_id)
        raise
    except Exception as error:
        vars(error).setdefault("recording_id", recording_id)
        raise
    finally:
        RECORDING.reset(before)


def sentence(error: EarwitnessError) -> str:
    """What may be logged of the error's words."""
    if error.layer is Layer.VALIDATION:
        return str(type(error)())
    return str(error)


def say(log: logging.Logger, error: EarwitnessError, **extra: object) -> None:
    """One line about an error we understand, at its own severity."""
    known = {k: v for k, v in error.context.items() if k in _SAYABLE or isinstance(v, int | float)}
    level = logging.getLevelNamesMapping()[error.severity]
    fields = {"code": error.code, "layer": error.layer.value, **known, **extra}
    log.log(level, "%s", sentence(error), extra=fields)


def stack(error: BaseException) -> str:
    """The error and what led to it, frame by frame, each by its type; without foreign words."""
    parts, seen = list[str](), set[int]()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        frames = "".join(traceback.format_tb(each.__traceback__))
        parts.append(f"Traceback (most recent call last):\n{frames}{_named(each)}\n")
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return "\nwhich led to\n\n".join(reversed(parts))


def _named(error: BaseException) -> str:
    if isinstance(error, EarwitnessError):
        return f"{type(error).__name__}: {sentence(error)}"
    inside = "".join(f"\n{stack(e)}" for e in getattr(error, "exceptions", ()))
    kind = type(error)
    room = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{room}{kind.__qualname__}{inside}"


def fields(record: logging.LogRecord) -> dict[str, object]:
    """What was given with `extra=`, and the recording that the line is about."""
    given = {k: v for k, v in vars(record).items() if k not in STANDARD}
    error = record.exc_info[1] if record.exc_info else None
    recording_id = RECORDING.get() or getattr(error, "recording_id", "")
    return {"recording_id": recording_id, **given} if recording_id else given


class Json(logging.Formatter):
    """One JSON object a record; the stack of an error is a field of it."""

    def __init__(self, project: str = "") -> None:
        super().__init__()
        self._project = project

    def format(self, record: logging.LogRecord) -> str:
        given = fields(record)
        labels = {"logger": record.name}
        if given.get("recording_id"):
            labels["recording_id"] = str(given["recording_id"])
        line: dict[str, object] = {
            "severity": record.levelname,
            "message": record.getMessage(),
            "time": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            f"{_PREFIX}/labels": labels,
            **self._trace(),
            **given,
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["stack_trace"] = stack(record.exc_info[1])
        return json.dumps(line, default=repr, ensure_ascii=False)

    def _trace(self) -> dict[str, object]:
        here = spans.current()
        if here is None:
            return {}
        where = f"projects/{self._project}/traces/" if self._project else ""
        return {
            f"{_PREFIX}/trace": where + here.trace_id,
            f"{_PREFIX}/spanId": here.span_id,
            f"{_PREFIX}/trace_sampled": here.sampled,
        }


def wants_json() -> bool:
    """Whether lines are for Cloud Logging: on Cloud Run, or because somebody asks for it."""
    return (
        os.environ.get("EARWITNESS_LOG_FORMAT", "json" if "K_SERVICE" in os.environ else "")
        == "json"
    )


def write_json(stream: TextIO = sys.stderr) -> None:
    """Send this process's log to `stream` as JSON, uncaught errors and warnings included."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Json(os.environ.get("GOOGLE_CLOUD_PROJECT", "")))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def set_up() -> None:
    """To be called first at each edge. Lines for people are set up by whoever started us."""
    if wants_json():
        write_json()


def _uncaught(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    if error is None or issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    logging.getLogger("earwitness").critical("uncaught", exc_info=(kind, error, trace))
