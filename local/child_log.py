"""What the three processes say: one line each, written by them, sorted out by the supervisor."""

import json
import logging
import sys
import time
from collections.abc import Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Any

from shared.logs import fields, stack, wants_json, write_json

#: Bytes of one log file, and how many old ones stay: enough for a day's warnings.
LOG_BYTES, OLD_LOGS = 1_000_000, 2
#: Levels that a person at the terminal should see.
IMPORTANT = ("WARNING", "ERROR", "CRITICAL")
#: Seconds in which the same sentence of the same process is shown once.
QUIET_S = 30.0


class LineFormatter(logging.Formatter):
    """`2026-03-01T12:00:00.123Z WARNING earwitness.intake refused code=empty_audio`"""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        # Another handler's text of the error, which logging keeps, would say the error's words.
        record.exc_text = None
        said = super().format(record)
        record.exc_text = None
        return said

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name
        line = super().formatMessage(record).replace("\n", " ")
        return " ".join([line, *(f"{k}={v}" for k, v in fields(record).items())])

    def formatException(self, ei: Any) -> str:  # noqa: N802  # logging's name
        return stack(ei[1]) if ei[1] is not None else ""


def write_lines() -> None:
    """Send this process's log to stderr, one line a record (a traceback follows its record).

    As JSON where that is asked for, otherwise for people.
    """
    if wants_json():
        write_json()
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)


def important(line: str) -> str | None:
    """The sentence of a line that a person should see, or None."""
    if line.startswith('{"severity": '):
        return _important_json(line)
    parts = line.split(" ", 3)
    if len(parts) == 4 and parts[1] in IMPORTANT and parts[0].endswith("Z"):
        return parts[3]
    return None


def _important_json(line: str) -> str | None:
    try:
        said = json.loads(line)
        return str(said["message"]) if said["severity"] in IMPORTANT else None
    except (ValueError, KeyError):
        return None


class ChildLog:
    """Keeps what one process writes in HOME/logs/{name}.log and says what is important."""

    def __init__(
        self,
        path: Path,
        say: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._say, self._monotonic = path, say, monotonic
        self._file = _File(path, maxBytes=LOG_BYTES, backupCount=OLD_LOGS, encoding="utf-8")
        self._said: dict[str, float] = {}
        self.last_important = ""

    def read(self, stream: IO[bytes]) -> None:
        """Take lines until the process has closed its end."""
        with stream:
            for raw in stream:
                self.take(raw.decode("utf-8", "replace").rstrip("\n"))

    def take(self, line: str) -> None:
        self._file.handle(logging.makeLogRecord({"msg": line}))
        sentence = important(line)
        if sentence is None:
            return
        self.last_important = sentence
        now_s = self._monotonic()
        self._said = {s: at for s, at in self._said.items() if now_s - at < QUIET_S}
        if sentence not in self._said:
            self._said[sentence] = now_s
            self._say(sentence)

    def close(self) -> None:
        self._file.close()


class OwnLog(logging.Handler):
    """The supervisor's own log, kept and said like that of its children."""

    def __init__(self, path: Path, say: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self.setFormatter(LineFormatter())
        self._kept = ChildLog(path, say)

    def emit(self, record: logging.LogRecord) -> None:
        for line in self.format(record).splitlines():
            self._kept.take(line)

    def close(self) -> None:
        self._kept.close()
        super().close()


class _File(RotatingFileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # logging's name
        """A log that cannot be written (full disk) stops nobody."""
