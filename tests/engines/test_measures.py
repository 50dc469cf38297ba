"""Raw figures of an answer: each from plain numbers, missing where nothing was measured."""

import math

import pytest

from gpu_service.engines import measures
from shared.domain.answers import Token, Word


def words(*confidences: float | None) -> list[Word]:
    return [Word(float(i), i + 0.5, "word", c) for i, c in enumerate(confidences)]


@pytest.mark.parametrize(
    ("found", "mean", "lowest"),
    [
        ([-1.0], -1.0, -1.0),
        ([-1.0, -3.0, -2.0], -2.0, -2.0),
        ([0.0, 0.0, 0.0, -4.0, -4.0], -1.6, -2.0),
        ([-4.0, 0.0, 0.0, 0.0, 0.0], -0.8, -1.0),
    ],
    ids=["one", "fewer than a window", "at the end", "at the start"],
)
def test_the_lowest_window_is_of_four_in_a_row(
    found: list[float], mean: float, lowest: float
) -> None:
    assert measures.of_logprobs(found) == pytest.approx(
        {"mean_logprob": mean, "min_window_logprob": lowest}
    )


def test_what_was_not_measured_is_missing() -> None:
    assert measures.of_logprobs([]) == {}
    assert measures.of_words(words(None, None)) == {}
    assert measures.of_tokens([]) == {}
    assert measures.of_text("", 16_000, None) == {}
    assert measures.of_text("", 0, [(0.0, 1.0)]) == {}
    assert measures.of_text("", 16_000, []) == {"speech_share": 0.0}


def test_a_word_of_probability_zero_counts_as_one_in_ten_thousand() -> None:
    found = measures.of_words(words(1.0, 0.0))

    assert found["min_word_logprob"] == math.log(1e-4)
    assert found["mean_logprob"] == pytest.approx(math.log(1e-4) / 2)


@pytest.mark.parametrize(
    ("tokens", "lowest"),
    [
        ([(" un", -1.0), ("sure", -3.0), (" yes", -0.1)], -2.0),
        ([("Hi", -0.5), (",", -0.1), (" you", -0.2)], -0.3),
        ([("n", -1.0), ("o", -1.0), (" ", -9.0), ("y", -2.0)], -2.0),
    ],
    ids=["blank in front", "first without", "letters and delimiters"],
)
def test_the_lowest_word_is_the_mean_of_its_tokens(
    tokens: list[tuple[str, float]], lowest: float
) -> None:
    found = measures.of_tokens([Token(text, logprob) for text, logprob in tokens])

    assert found == pytest.approx({"min_word_logprob": lowest})


def test_share_and_pace_are_of_the_speech_in_the_clip() -> None:
    found = measures.of_text("one two three", 4 * 16_000, [(0.5, 1.0), (2.0, 3.0)])

    assert found["speech_share"] == pytest.approx(1.5 / 4)
    assert found["words_per_s"] == pytest.approx(2.0)


def test_a_text_that_repeats_itself_compresses_better() -> None:
    once, often = ("so it goes, ", "so it goes, " * 20)

    assert measures.compression_ratio(once) < 1 < 2.4 < measures.compression_ratio(often)
