"""Answers are kept as they were given, and what a crash cut is asked for again."""

from pathlib import Path

from truth.answers import Header, Heard, read, write

ABOUT = Header("whisper-base", {"checkpoint": "base", "dtype": "int8"}, "2026-11-21")
HEARD = [
    Heard("en-t001.slt.clean", "k1", "Hello there.", "en", {"mean_logprob": -0.25}),
    Heard("fr-t001.m3-fr.clean", "k2", "Où ?", "fr", {"mean_logprob": -1.5, "words_per_s": 2.0}),
    Heard("hiss-01", "k3", "", None, {}),
]


def test_answers_come_back_as_they_were_given(tmp_path: Path) -> None:
    write(tmp_path / "some.jsonl", ABOUT, HEARD)

    about, heard = read(tmp_path / "some.jsonl")

    assert about == ABOUT
    assert about.date == ABOUT.date
    assert list(heard.values()) == HEARD


def test_a_line_that_a_crash_cut_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "some.jsonl"
    write(file, ABOUT, HEARD)
    file.write_text(file.read_text(encoding="utf-8")[:-5], encoding="utf-8")

    _, heard = read(file)

    assert list(heard) == [one.id for one in HEARD[:-1]]


def test_another_day_is_the_same_engine_another_type_is_not() -> None:
    assert Header(ABOUT.engine, ABOUT.versions, "2027-01-01") == ABOUT
    assert Header(ABOUT.engine, {**ABOUT.versions, "dtype": "float32"}, ABOUT.date) != ABOUT
