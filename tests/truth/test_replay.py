"""The figures are those of the committed answers, the page is that of the figures, and both hold
what was asked of them."""

import json
from functools import cache
from typing import Any

import pytest

from truth import listening
from truth.analysis import PAGE, RESULTS, analysed
from truth.answers import read
from truth.corpus import Part
from truth.listening import ENGINES, OTHERS
from truth.others import LEAST_EMPTY
from truth.page import kept, page, trusted
from truth.trust import CHANCE, CHANCE_WITHIN, LEAST_SEGMENTS, LEAST_TEXTS


@cache
def replayed() -> dict[str, Any]:
    return analysed()


def test_the_committed_figures_are_those_of_the_committed_answers() -> None:
    assert json.loads(json.dumps(replayed())) == json.loads(RESULTS.read_text(encoding="utf-8"))


def test_the_page_is_that_of_the_committed_figures() -> None:
    figures = json.loads(RESULTS.read_text(encoding="utf-8"))

    assert page(figures) == PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize("part", Part)
@pytest.mark.parametrize("engine", ENGINES)
def test_every_planned_segment_was_answered(engine: str, part: Part) -> None:
    _, heard = read(listening.path(engine, part))

    answered = [(one.id, one.key) for one in heard.values()]
    groups = listening.planned(engine, part)
    assert answered == [(one.id, one.key) for group in groups for one in group]


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_answered_all_parts_in_one_version(engine: str) -> None:
    abouts = [read(listening.path(engine, scope))[0] for scope in (*Part, OTHERS)]

    assert len({tuple(sorted(about.versions.items())) for about in abouts}) == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_confidence_is_honest_and_tells_right_from_wrong(engine: str) -> None:
    assert trusted(replayed()["confidence"][engine]["all"])


def test_the_figures_of_whisper_base_rest_on_enough() -> None:
    worth = replayed()["confidence"]["whisper-base"]["all"]

    assert worth["segments"] >= LEAST_SEGMENTS
    assert worth["texts"] >= LEAST_TEXTS


@pytest.mark.parametrize("engine", ENGINES)
def test_answers_are_a_mix_of_right_and_wrong(engine: str) -> None:
    assert 0.2 < replayed()["confidence"][engine]["all"]["right"] < 0.9


@pytest.mark.parametrize("engine", ENGINES)
def test_labels_dealt_anew_are_chance(engine: str) -> None:
    assert abs(replayed()["confidence"][engine]["shuffled_auroc"] - CHANCE) <= CHANCE_WITHIN


def test_the_cascade_beats_a_random_gate() -> None:
    for raced in replayed()["cascade"]["all"].values():
        assert raced["cascade"] < raced["random_gate"]


def test_the_less_sure_half_holds_nine_tenths_of_the_gain() -> None:
    assert kept(replayed()["cascade"], "half")


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_is_written_where_nobody_speaks(engine: str) -> None:
    assert replayed()["silence"][engine]["all"]["empty"] >= LEAST_EMPTY
