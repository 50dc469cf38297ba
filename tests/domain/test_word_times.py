import pytest

from shared.domain.answers import Answer, Task, Word
from shared.domain.cascade import Decided
from shared.domain.word_times import timed, with_times


def said(text="Hello, there", *confidences, **extra):
    words = tuple(
        Word(float(i), i + 1.0, w, c)
        for i, (w, c) in enumerate(zip(text.split(), confidences, strict=False))
    )
    return Answer("speaker", Task.TRANSCRIBE, text, "en", 0.9, words=words, **extra)


def placed(text="Hello, there"):
    words = tuple(Word(i + 0.25, i + 0.5, w, 0.4, "aligner") for i, w in enumerate(text.split()))
    signals = {"alignment_score": -1.5}
    return Answer("aligner", Task.ALIGN, text, words=words, confidence=0.2, signals=signals)


def test_words_are_where_the_aligner_put_them_and_as_sure_as_their_engine():
    answer = timed(said("Hello, there", 0.9, None), placed())

    assert [(w.start_s, w.end_s, w.source) for w in answer.words] == [
        (0.25, 0.5, "aligner"),
        (1.25, 1.5, "aligner"),
    ]
    assert [w.confidence for w in answer.words] == [0.9, 0.4]
    assert (answer.text, answer.confidence, answer.engine) == ("Hello, there", 0.9, "speaker")


def test_words_of_an_engine_that_gives_none_are_the_aligners():
    answer = timed(said(), placed())

    assert [(w.text, w.confidence) for w in answer.words] == [("Hello,", 0.4), ("there", 0.4)]


def test_words_that_are_cut_otherwise_lend_no_confidence():
    """An engine that writes "New York" as one word has two of them placed."""
    one = Answer("speaker", Task.TRANSCRIBE, "New York", words=(Word(0, 1, "New York", 0.9),))

    answer = timed(one, placed("New York"))

    assert [(w.text, w.confidence) for w in answer.words] == [("New", 0.4), ("York", 0.4)]


def test_the_alignment_score_joins_the_signals_of_the_answer():
    answer = timed(said(signals={"mean_logprob": -0.1}), placed())

    assert answer.signals == {"mean_logprob": -0.1, "alignment_score": -1.5}


def test_an_aligner_that_placed_nothing_changes_nothing():
    one = said("Hello, there", 0.9, 0.8)

    assert timed(one, Answer("aligner", Task.ALIGN, one.text)) == one


@pytest.mark.parametrize("tasks", [{}, {Task.CLASSIFY: []}])
def test_without_a_transcript_there_is_nothing_to_place(tasks):
    assert with_times(tasks) == tasks


def test_each_segment_gets_its_own_times():
    heard = {
        Task.TRANSCRIBE: [Decided(0, said("a", 0.5), ()), Decided(1, said("b", 0.5), ())],
        Task.ALIGN: [Decided(1, placed("b"), ())],
    }

    first, second = with_times(heard)[Task.TRANSCRIBE]

    assert [d.answer.words[0].source for d in (first, second)] == ["engine", "aligner"]
