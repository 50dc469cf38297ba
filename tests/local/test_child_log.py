"""What children say reaches their files, and what matters reaches the terminal, once."""

import io
import json
import logging

import pytest

from local.child_log import QUIET_S, ChildLog, LineFormatter, OwnLog, important

LINES = {
    "warning": ("2026-03-01T12:00:00.123Z WARNING earwitness.work it is slow", "it is slow"),
    "error": ("2026-03-01T12:00:00.123Z ERROR x engine died", "engine died"),
    "critical": ("2026-03-01T12:00:00.123Z CRITICAL x wrong", "wrong"),
    "info": ("2026-03-01T12:00:00.123Z INFO x started", None),
    "a trace": ('  File "x.py", line 1, in main', None),
    "somebody else's": ("once upon WARNING time there was", None),
    "empty": ("", None),
}


@pytest.mark.parametrize(("line", "sentence"), LINES.values(), ids=LINES)
def test_only_warnings_and_worse_are_important(line, sentence):
    assert important(line) == sentence


def test_record_becomes_one_line_with_its_fields():
    record = logging.makeLogRecord(
        {"name": "earwitness.intake", "levelname": "INFO", "msg": "refused\nfile", "created": 0.5}
        | {"msecs": 500.0, "code": "empty_audio"}
    )

    line = LineFormatter().format(record)

    assert line == "1970-01-01T00:00:00.500Z INFO earwitness.intake refused file code=empty_audio"


def test_everything_is_kept_and_what_matters_is_said_once_in_a_while(tmp_path):
    said, now_s = [], [0.0]
    log = ChildLog(tmp_path / "logs" / "a.log", said.append, lambda: now_s[0])
    warning = "2026-03-01T12:00:00.123Z WARNING x slow"

    log.read(io.BytesIO(f"hello\n{warning}\n{warning}\n\xff\n".encode("latin-1")))
    assert said == ["slow"]
    now_s[0] = QUIET_S
    log.take(warning)
    log.close()

    assert said == ["slow", "slow"]
    assert log.last_important == "slow"
    assert log.path.read_text().splitlines() == ["hello", warning, warning, "�", warning]


def test_log_that_cannot_be_written_stops_nobody(tmp_path):
    said = []
    log = ChildLog(tmp_path / "a.log", said.append)
    log._file.stream.close()

    log.take("2026-03-01T12:00:00.123Z WARNING x slow")

    assert said == ["slow"]


def test_own_log_is_kept_and_said_like_the_childrens(tmp_path):
    said = []
    ours, logger = OwnLog(tmp_path / "up.log", said.append), logging.getLogger("earwitness.test")
    logger.addHandler(ours)
    try:
        raise ValueError("odd")
    except ValueError:
        logger.exception("it broke")
    logger.warning("slow")
    logger.warning("slow")
    logger.removeHandler(ours)
    ours.close()

    assert said == ["it broke", "slow"]
    kept = (tmp_path / "up.log").read_text()
    assert "\nValueError\n" in kept
    # A foreign error's own words may quote anything.
    assert "ValueError: " not in kept


def test_a_json_line_that_is_important_is_said_by_its_message():
    line = {"severity": "ERROR", "message": "The disk is full.", "time": "2026-03-01T12:00:00Z"}

    assert important(json.dumps(line)) == "The disk is full."
    assert important(json.dumps(line | {"severity": "INFO"})) is None
    assert important('{"severity": "ERROR", cut') is None
