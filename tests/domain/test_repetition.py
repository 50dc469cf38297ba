"""A text in circles is cut to its first turn; what people repeat stays."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.answers import Answer, Task, Token, Word
from shared.domain.repetition import REPETITION_CUT, without_loop

#: Seconds of one word at an ordinary pace (2.5 a second), and of its sound.
PACE_S = 0.4


def said(text: str, **changes: object) -> Answer:
    words = tuple(
        Word(i * PACE_S, i * PACE_S + 0.3, word, 0.9) for i, word in enumerate(text.split())
    )
    return Answer("whisper", Task.TRANSCRIBE, text, words=words, **changes)  # type: ignore[arg-type]


def spoken_s(text: str) -> float:
    return len(text.split()) * PACE_S


def words(letters: str) -> st.SearchStrategy[str]:
    return st.text(letters, min_size=1, max_size=9)


@given(
    before=st.lists(words("abcdefgh"), max_size=12),
    turn=st.lists(words("ijklmnopq"), min_size=1, max_size=8),
    times=st.integers(1, 3),
    after=st.lists(words("rstuvwxyz"), min_size=1, max_size=12),
)
def test_what_is_said_up_to_three_times_stays(
    before: list[str], turn: list[str], times: int, after: list[str]
) -> None:
    """Whatever stands around it, and whatever it repeats inside itself."""
    text = " ".join([*before, *turn * times, *after])

    assert without_loop(said(text), spoken_s(text)) == said(text)


@pytest.mark.parametrize(
    "text",
    [
        "No, no, no.",
        "No, no, no, no, no, I said no.",
        "Row row row your boat. " * 3,
        "We will, we will rock you. " * 3,
        "ha ha ha ha ha ha",
        "one two three four, one two three four, one two three four, one two three four.",
        "はい、はい、はい。",
        "",
        "...",
    ],
)
def test_real_repeats_stay(text: str) -> None:
    answer = said(text.strip())

    assert without_loop(answer, spoken_s(text)) == answer


@given(
    before=st.lists(words(string.ascii_lowercase), max_size=12, unique=True),
    times=st.integers(20, 60),
)
def test_a_decoder_that_circles_to_the_end_is_cut_to_its_first_turn(
    before: list[str], times: int
) -> None:
    """As much text as the sound could hold: only that it never ends gives it away."""
    start = [w for w in before if w not in ("thank", "you")]
    text = " ".join([*start, *["thank you"] * times])

    kept = without_loop(said(text), spoken_s(text))

    assert kept.text == " ".join([*start, "thank you"])
    assert [w.text for w in kept.words] == kept.text.split()
    assert kept.cautions == (REPETITION_CUT,)


@given(times=st.integers(4, 80), turn=st.sampled_from(["I do not know", "Untertitel", "so"]))
def test_more_than_the_sound_has_time_for_is_cut_wherever_it_stands(times: int, turn: str) -> None:
    text = " ".join(["Well then,", *[turn] * times, "and good night everybody."])
    letters = sum(c.isalpha() for c in text)
    enough = sum(c.isalpha() for c in "Well then and good night everybody" + turn)
    speech_s = enough / 25

    kept = without_loop(said(text), speech_s)

    if letters > 30 * (speech_s + 0.5):
        assert kept.text == f"Well then, {turn}"
        assert REPETITION_CUT in kept.cautions
    else:
        assert kept == said(text)


def test_a_chant_of_five_the_sound_has_time_for_stays_and_one_too_long_goes() -> None:
    text = "Let us go " * 5

    assert without_loop(said(text.strip()), 3.0).cautions == ()
    assert without_loop(said(text.strip()), 0.4).text == "Let us go"


def test_a_text_too_long_without_its_repeats_too_is_no_loop() -> None:
    """A detector that missed nearly all speech must not cost real words."""
    text = " ".join(f"word{i}" for i in range(60)) + " no no no no"

    assert without_loop(said(text), 0.1) == said(text)


def test_the_caution_is_added_and_what_the_engine_measured_stays() -> None:
    signals = {"compression_ratio": 9.5, "mean_logprob": -0.1}
    answer = said(
        "go " * 40,
        cautions=("language_guessed",),
        signals=signals,
        confidence=0.9,
        tokens=(Token("go", -0.1),),
    )

    kept = without_loop(answer, 20.0)

    assert (kept.text, kept.signals, kept.confidence) == ("go", signals, 0.9)
    assert kept.cautions == ("language_guessed", REPETITION_CUT)
    assert kept.tokens == ()
    assert without_loop(kept, 20.0) == kept


def test_an_answer_without_word_times_is_cut_too() -> None:
    answer = Answer("openai", Task.TRANSCRIBE, "Thank you for watching. " * 30)

    assert without_loop(answer, 28.0).text == "Thank you for watching."


def test_scripts_without_blanks_are_read_by_their_characters() -> None:
    answer = Answer("whisper", Task.TRANSCRIBE, "ご視聴ありがとうございました" * 12, language="ja")

    assert without_loop(answer, 20.0).text == "ご視聴ありがとうございました"


def test_the_longest_text_takes_no_time_to_speak_of() -> None:
    """As many comparisons as turns looked for, times the words: counted, not clocked."""
    text = " ".join(f"{i % 97}" for i in range(5_000))

    assert without_loop(said(text), 2_000.0).text == text
