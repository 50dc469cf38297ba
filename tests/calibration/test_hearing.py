"""From what was decided of a recording to examples; and where a file is put."""

import json

import pytest

from local.calibration import hearing, shelf
from local.calibration.hearing import Said, examples
from shared.adapters.file_calibrations import calibrations
from shared.domain.answers import Answer, Task
from shared.errors import ModelNotFound
from shared.settings import Settings
from tests.calibration.files import IDENTITY, fitted
from tests.flows.ears import SmallEars
from tests.flows.test_work import LANES, add, known, work

SAYS = ("red green blue white black", "", "pink brown")


def speaks(engine, task, segments):
    return [
        Answer(engine, task, SAYS[s.index], "en", signals={"mean_logprob": -float(s.index)})
        for s in segments
    ]


@pytest.fixture
def heard(store):
    add(store)
    work(store, ears=SmallEars(script=speaks), cascade={Task.TRANSCRIBE: ("first",)})(LANES)
    return known(store)


def test_each_segment_is_an_example_with_its_figures_and_label(store, heard):
    said = Said(heard, "Red, green, blue; white, black. Yellow pink grey?")

    found = examples(store.results, said, "first", None)

    assert [(e.signals["mean_logprob"], e.right) for e in found] == [
        (0.0, True),
        (-1.0, False),
        (-2.0, False),
    ]
    assert {(e.text, e.language) for e in found} == {(heard.path, "en")}


def test_an_engine_that_was_not_asked_gives_no_example(store, heard):
    assert examples(store.results, Said(heard, "red"), "second", None) == []


def test_a_calibration_is_for_the_engine_the_settings_name(tmp_path):
    settings = Settings(home=tmp_path)

    assert hearing.identity(settings, "whisper")["rules"].startswith("whisper/")
    with pytest.raises(ModelNotFound, match=r"only .*whisper"):
        hearing.identity(settings, "absent")


def test_a_file_takes_the_place_of_the_one_before(tmp_path):
    (tmp_path / "old.json").write_bytes(b"{")
    first = shelf.put(fitted(), "first", tmp_path / "own")
    named = first.rename(first.with_name("renamed.json"))

    second = shelf.put(fitted(intercept=0.25), "first", tmp_path / "own")

    assert second == named
    assert json.loads(named.read_bytes())["intercept"] == 0.25
    found = calibrations(tmp_path / "own", tmp_path / "none").of(IDENTITY, Task.TRANSCRIBE, None)
    assert found is not None
    assert found.intercept == 0.25
