"""A2: the kept errors reach the goal, and a few sentences said now do too."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from gpu_service.engines.registry import build
from gpu_service.hearing.boundaries import ENERGY, ENGINE
from shared.domain.answers import Word
from truth import word_times
from truth.listening import ENGINES
from truth.voices import flite

#: What A2 promises is of the engine that ships.
SHIPPED = "whisper-base"


@pytest.fixture(scope="module")
def figures() -> word_times.Json:
    return word_times.figures()


def rows(figures: word_times.Json, engine: str, source: str) -> list[word_times.Json]:
    told = figures["engines"][engine]["figures"]
    return [row for row in told if row["source"] == source]


def test_the_kept_errors_reach_the_goal_on_voices_nothing_was_chosen_on(
    figures: word_times.Json,
) -> None:
    for row in rows(figures, SHIPPED, ENERGY):
        assert word_times.met(row), row
        if row["voices"] == "others":
            assert row["n"] >= {"alone": 100, "sentence": 400}[row["kind"]]


def test_energy_places_words_better_than_the_engine_alone(figures: word_times.Json) -> None:
    for engine in figures["engines"]:
        raw, refined = rows(figures, engine, ENGINE), rows(figures, engine, ENERGY)
        for before, after in zip(raw, refined, strict=True):
            for side in ("starts", "ends"):
                assert after[side]["median_ms"] < before[side]["median_ms"]
                low, high = after[side]["median_between"]
                assert low <= after[side]["median_ms"] <= high


def test_every_engine_and_both_sources_stand_on_the_page(figures: word_times.Json) -> None:
    told = word_times.section(figures)

    for engine in ENGINES:
        for source in (ENGINE, ENERGY):
            assert told.count(f"| {engine} | others | alone | {source} |") == 1
            assert told.count(f"| {engine} | {word_times.TUNED} | sentence | {source} |") == 1


def test_a_word_lies_where_flite_says_its_phones_do() -> None:
    voice = flite("slt")
    spans = word_times.phones(voice, "The weather was fine.")

    placed = word_times.words(voice, "The weather was fine.")

    assert [name for name, _, _ in placed] == ["the", "weather", "was", "fine"]
    assert (placed[0][1], placed[-1][2]) == (spans[0][0], spans[-1][1])
    assert all(one[2] <= two[1] for one, two in pairwise(placed))
    assert placed[0][1] > 0.1  # the pause flite begins with is no part of the word


def test_a_text_flite_reads_otherwise_has_no_places() -> None:
    """Two words are said as three: their phones are not those of the words alone."""
    assert word_times.words(flite("slt"), "It costs 25 pounds.") == ()


def test_only_words_heard_right_have_an_error() -> None:
    true = (("good", 0.1, 0.4), ("old", 0.4, 0.6), ("friend", 0.6, 1.0))
    found = [Word(0.2, 0.4, "Good,", 0.9), Word(0.4, 0.5, "all", 0.2), Word(0.5, 1.2, "friend", 1)]

    errors = word_times._errors(true, found)

    assert [name for name, _, _ in errors] == ["good", "friend"]
    assert [s for _, s, _ in errors] == pytest.approx([0.1, -0.1])
    assert [e for _, _, e in errors] == pytest.approx([0.0, 0.2])


def test_errors_of_known_size_give_known_figures(tmp_path: Path) -> None:
    kept = {
        "date": "2026-01-01",
        "engines": {
            "x": {
                "versions": {},
                "rows": [
                    {
                        "voice": voice,
                        "kind": kind,
                        "source": source,
                        "said": 5,
                        "errors_ms": [[[-10, 20], [30, 20]], [], [[20, 20]]],
                    }
                    for voice in ("awb", "slt")
                    for kind in ("alone", "sentence")
                    for source in (ENGINE, ENERGY)
                ],
            }
        },
    }
    path = tmp_path / "kept.json"
    path.write_text(json.dumps(kept))

    [first, *_] = word_times.figures(path)["engines"]["x"]["figures"]

    assert (first["n"], first["said"]) == (3, 5)
    assert first["starts"]["median_ms"] == 20
    assert first["ends"] == {
        "median_ms": 20.0,
        "median_between": [20.0, 20.0],
        "p95_ms": 20.0,
        "p95_between": [20.0, 20.0],
        "bias_ms": 20.0,
    }


@pytest.mark.whisper
def test_ten_sentences_and_ten_words_said_now_reach_the_goal(tmp_path: Path) -> None:
    said = word_times.utterances("slt", sentences=10, alone=10)
    engine = build(SHIPPED, ENGINES[SHIPPED], cache=tmp_path)

    found = word_times.errors(engine, said, tmp_path / "said")[ENERGY]

    for kind, median_s in (("sentence", 0.08), ("alone", 0.04)):
        errors = [
            each for one, its in zip(said, found, strict=True) if one.kind == kind for each in its
        ]
        for side in (1, 2):
            each = sorted(abs(error[side]) for error in errors)
            print(f"{kind} {'starts' if side == 1 else 'ends'}: {each[len(each) // 2]:.3f} s")
            assert each[len(each) // 2] <= median_s
