"""Frames to letters to words, by hand."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from gpu_service.ctc import emissions
from gpu_service.ctc.vocabulary import Vocabulary

LETTERS = Vocabulary(("-", "|", "A", "B"), blank=0, delimiter=1, silent=frozenset({0}), lower=True)


def frames(path: str, probability: float = 0.7) -> NDArray[np.float32]:
    """Frames in which each letter of `path` has `probability`, the others the rest."""
    rows = np.full((len(path), 4), (1 - probability) / 3)
    rows[range(len(path)), ["-|AB".index(c) for c in path]] = probability
    return np.log(rows).astype(np.float32)


def read(path: str) -> str:
    emitted = emissions.greedy(frames(path), LETTERS)
    return " ".join(w.text for w in emissions.words(emitted, LETTERS, 0.02, 9.0))


@pytest.mark.parametrize(
    "path, text",
    [
        ("AAA", "a"),
        ("AA-A", "aa"),
        ("-A-B-", "ab"),
        ("A|B", "a b"),
        ("|A||B|", "a b"),
        ("A|-|B", "a b"),
        ("----", ""),
        ("|", ""),
        ("", ""),
    ],
)
def test_repeats_merge_blanks_part_and_gaps_make_words(path: str, text: str) -> None:
    assert read(path) == text


def test_a_word_lasts_from_its_first_letter_to_its_last() -> None:
    emitted = emissions.greedy(frames("--AA-B-|-B"), LETTERS)
    first, second = emissions.words(emitted, LETTERS, 0.02, 0.19)

    assert (first.start_s, first.end_s) == pytest.approx((0.04, 0.12))
    assert (second.start_s, second.end_s) == pytest.approx((0.18, 0.19))  # not beyond the clip


def test_confidence_is_the_geometric_mean_of_the_letters_frames() -> None:
    rows = np.concatenate((frames("AA", 0.9), frames("-", 0.99), frames("B", 0.4)))
    (word,) = emissions.words(emissions.greedy(rows, LETTERS), LETTERS, 0.02, 1.0)

    assert word.confidence == pytest.approx((0.9 * 0.9 * 0.4) ** (1 / 3))


def test_signals_are_those_of_the_emitted_letters_only() -> None:
    sure = (0.9, 0.8, 0.7, 0.6, 0.5)
    rows = np.concatenate([frames("-", 0.97), *(frames("A-", p) for p in sure)])
    found = emissions.signals(rows, emissions.greedy(rows, LETTERS))

    logs = [math.log(p) for p in sure]
    assert found["mean_logprob"] == pytest.approx(np.mean(logs))
    assert found["min_window_logprob"] == pytest.approx(np.mean(logs[1:]))
    assert 0 < found["mean_entropy"] < math.log(4)


def test_nothing_emitted_has_no_signals_and_no_confidence() -> None:
    assert emissions.signals(frames("--"), []) == {}
    assert emissions.confidence(()) is None


def test_a_probability_of_zero_is_not_the_end() -> None:
    sure = np.array([[-np.inf, -np.inf, 0.0, -np.inf]], np.float32)
    emitted = emissions.greedy(sure, LETTERS)

    assert emissions.signals(sure, emitted)["mean_entropy"] == pytest.approx(0.0)
    assert math.isfinite(emissions.emission(sure, 3, 0, 0).logprob)


@pytest.mark.parametrize(
    "letters, case, text",
    [("AB", "auto", "ab"), ("AB", "keep", "AB"), ("aB", "auto", "aB"), ("aB", "lower", "ab")],
)
def test_case_is_the_vocabularys_unless_it_shouts(letters: str, case: str, text: str) -> None:
    ids = {token: i for i, token in enumerate(["<pad>", *letters, "|"])}
    made = Vocabulary.of(ids, blank="<pad>", delimiter="|", silent=[], case=case)

    assert made.written([1, 2]) == text


def test_lists_of_words_may_be_in_any_case() -> None:
    assert LETTERS.spelt("ab") == LETTERS.spelt("AB") == (2, 3)
    assert LETTERS.spelt("abc") is None
