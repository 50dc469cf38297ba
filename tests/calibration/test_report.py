"""The report: numbers that can be checked, and a picture that opens."""

import json
from datetime import UTC, datetime

import pytest
from PIL import Image

from local.calibration import report
from local.calibration.fitting import About, Parted, fit
from local.calibration.measures import auroc
from tests.calibration.synthetic import drawn

ABOUT = About({"checkpoint": "c"}, "en", "drawn", datetime(2026, 11, 21, tzinfo=UTC))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    test = drawn(600, seed=3)
    model = fit(Parted(drawn(600), drawn(600, seed=2), test), ABOUT)
    return model, test, report.write(model, test, folder / "reports", "c-en")


def test_the_numbers_are_those_of_the_test_part(made):
    model, test, (document, _) = made

    found = json.loads(document.read_text(encoding="utf-8"))

    right = report.rights(test)
    assert found["calibration"] == model.digest
    assert found["measured"]["auroc"]["value"] == pytest.approx(
        auroc(report.confidences(model, test), right)
    )
    assert sum(b["segments"] for b in found["reliability"]) == len(test)
    assert found["risk_coverage"][-1] == {
        "coverage": 1.0,
        "risk": pytest.approx(float((~right).mean())),
    }
    assert len(found["risk_coverage"]) <= report.POINTS


def test_the_picture_opens(made):
    with Image.open(made[2][1]) as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 300
