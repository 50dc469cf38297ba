"""Parted at pauses; nothing lost, nothing doubled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.answers import Answer, Task, Word
from shared.domain.phrases import PAUSE_S, phrases


def answer(text, spans, spelled=None):
    texts = spelled or text.split()
    words = tuple(Word(a, b, t, 0.9) for (a, b), t in zip(spans, texts, strict=True))
    return Answer("e", Task.TRANSCRIBE, text, words=words)


@pytest.mark.parametrize(
    ("gap", "expected"),
    [
        (PAUSE_S, ["Good morning.", "How are you?"]),
        (PAUSE_S - 0.01, ["Good morning. How are you?"]),
    ],
)
def test_a_pause_parts(gap, expected):
    at = [(0, 0.5), (0.5, 1.0), (1.0 + gap, 2.5), (2.5, 3.0), (3.0, 3.5)]

    found = phrases(answer("Good morning. How are you?", at))

    assert [p.text for p in found] == expected
    assert sum(len(p.words) for p in found) == 5


def test_writing_without_spaces_stays_without():
    spans = [(0, 1), (1, 2), (4, 5)]

    found = phrases(answer("今日は寒い。はい", spans, ["今日は", "寒い。", "はい"]))

    assert [p.text for p in found] == ["今日は寒い。", "はい"]


def test_words_that_do_not_spell_the_text_leave_it_whole():
    one = answer("ten past two", [(0, 1), (5, 6)], ["10", "past"])

    assert [p.text for p in phrases(one)] == ["ten past two"]


@pytest.mark.parametrize("text", ["", "no times at all"])
def test_without_words_there_is_one_phrase(text):
    [only] = phrases(Answer("e", Task.TRANSCRIBE, text))

    assert (only.text, only.words) == (text, ())


@given(st.lists(st.tuples(st.floats(0, 3), st.sampled_from(["a", "b", "a,", "ab"])), max_size=30))
def test_every_word_and_character_is_in_exactly_one_phrase(gaps):
    at, spans = 0.0, []
    for gap, _ in gaps:
        spans.append((at + gap, at + gap + 0.2))
        at += gap + 0.2
    one = answer(" ".join(t for _, t in gaps), spans)

    found = phrases(one)

    assert [w for p in found for w in p.words] == list(one.words)
    assert " ".join(p.text for p in found) == one.text
