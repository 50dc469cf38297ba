"""Where calibrations come from, and what happens when one is damaged."""

import pytest

from shared.adapters.file_calibrations import calibrations, read
from shared.domain.answers import Task
from shared.domain.confidence import written
from shared.errors import InvalidCalibration
from tests.calibration.files import IDENTITY, fitted


def test_a_file_of_ones_own_counts(tmp_path):
    own = fitted()
    (tmp_path / "mine.json").write_bytes(written(own))
    (tmp_path / ".mine.json.part").write_bytes(b"{")
    (tmp_path / "report.png").write_bytes(b"\x89PNG")

    assert calibrations(tmp_path).of(IDENTITY, Task.TRANSCRIBE, "en") == own


def test_ones_own_file_wins_over_a_shipped_one(tmp_path):
    shipped, own = tmp_path / "shipped", tmp_path / "own"
    for folder, intercept in ((shipped, 1.0), (own, 0.25)):
        folder.mkdir()
        (folder / "first.json").write_bytes(written(fitted(intercept=intercept)))

    found = calibrations(own, shipped).of(IDENTITY, Task.TRANSCRIBE, None)

    assert found is not None
    assert found.intercept == 0.25


def test_a_folder_that_is_not_there_holds_none(tmp_path):
    assert read(tmp_path / "absent") == ()


def test_a_damaged_file_is_named_before_anything_starts(tmp_path):
    (tmp_path / "mine.json").write_text('{"schema": "earwitness.calibration/v1"}')

    with pytest.raises(InvalidCalibration, match=r"mine\.json .*Fit it again"):
        calibrations(tmp_path)


def test_two_files_for_the_same_engine_are_refused(tmp_path):
    for name, intercept in (("a.json", 0.0), ("b.json", 1.0)):
        (tmp_path / name).write_bytes(written(fitted(intercept=intercept)))

    with pytest.raises(InvalidCalibration, match=r"a\.json and b\.json .*Remove one"):
        calibrations(tmp_path)
