"""Whatever an engine says, what is kept of it is text of a bounded length."""

import pytest

from shared.domain.answers import Answer, SoundEvent, Task, Word
from shared.domain.confined import MAX_LABEL, MAX_WRITTEN, confined, plain

ESCAPES = "\x1b[2J\x1b]0;owned\x07\x00\x9b1m"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Grüße, 你好 — naïve “quotes” <b>&amp;</b>", "Grüße, 你好 — naïve “quotes” <b>&amp;</b>"),
        ("one\r\ntwo\tthree", "one two three"),
        (f"a{ESCAPES}b", "a [2J ]0;owned 1mb"),
        ("abc\u202edef\u2066\ufeff", "abcdef"),
        ("seen\U000e0049\U000e0047", "seen"),
        ("\u2028line\u2029end\ud800", "line end"),
        ("می\u200cخواهد 👩\u200d🚀", "می\u200cخواهد 👩\u200d🚀"),
    ],
)
def test_plain(said, kept):
    assert plain(said) == kept


@pytest.mark.parametrize("task", [Task.TRANSCRIBE, Task.DESCRIBE, Task.ANSWER])
def test_what_is_ordinary_stays_as_it_is(task):
    words = (Word(0.0, 1.0, "Hello", 0.9), Word(1.0, 2.0, "there.", None))
    events = (SoundEvent("dog bark", 0.0, 1.0, 0.5),)
    said = Answer("e", task, "Hello there.", language="yue", words=words, events=events)

    assert confined(said, 2.0) == said


def test_too_much_is_cut_and_said():
    said = Answer("e", Task.ANSWER, "no " * 100_000, evidence="yes " * 100_000)

    kept = confined(said, 28.0)

    assert len(kept.text) <= MAX_WRITTEN
    assert len(kept.evidence) <= MAX_WRITTEN
    assert kept.cautions == ("answer_cut",)


def test_a_transcript_is_bounded_by_its_seconds():
    words = tuple(Word(0.0, 1.0, "word", None) for _ in range(10_000))
    said = Answer("e", Task.TRANSCRIBE, "word " * 10_000, words=words)

    kept = confined(said, 10.0)

    assert len(kept.text) <= 2_000
    assert len(kept.words) == 400
    assert kept.cautions == ("answer_cut",)


def test_labels_and_languages_are_what_they_should_be():
    events = tuple(SoundEvent("<script>\x1b" * 100, 0.0, 1.0, None) for _ in range(1_000))
    said = Answer("e", Task.CLASSIFY, language="../../en", events=events)

    kept = confined(said, 1.0)

    assert (kept.language, len(kept.events)) == (None, 20)
    assert all(len(e.label) <= MAX_LABEL and "\x1b" not in e.label for e in kept.events)
