"""Prefix beam search against all paths, on cases small enough to write them out."""

from collections import defaultdict
from itertools import groupby, product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gpu_service.ctc.beam import Lexicon, Prefix, Search, listed
from gpu_service.ctc.vocabulary import Vocabulary

#: blank, delimiter, two letters.
SMALL = Vocabulary(("-", "|", "a", "b"), blank=0, delimiter=1, silent=frozenset({0}))
WORDS = ("a", "ab", "bb")
#: Probabilities from 1/13 to 10/13: nothing is pruned, so the search must be exact.
ROWS = st.lists(st.lists(st.integers(1, 10), min_size=4, max_size=4), min_size=1, max_size=5).map(
    lambda rows: np.log(np.array(rows, np.float64) / np.sum(rows, axis=1, keepdims=True))
)


@settings(deadline=None, max_examples=60)
@given(ROWS)
def test_the_most_probable_text_over_all_paths_is_found(frames: NDArray[np.float64]) -> None:
    sums = _all_texts(frames)

    found = Search(SMALL, size=256)(frames.astype(np.float32))
    assert sums[found] >= max(sums.values()) * (1 - 1e-5)


@settings(deadline=None, max_examples=60)
@given(ROWS)
def test_under_a_lexicon_it_is_the_most_probable_of_its_texts(frames: NDArray[np.float64]) -> None:
    allowed = {text: p for text, p in _all_texts(frames).items() if _listed(text)}

    found = Search(SMALL, 256, Lexicon.of(WORDS, SMALL))(frames.astype(np.float32))
    assert _listed(found)
    assert allowed[found] >= max(allowed.values()) * (1 - 1e-5)


def test_the_sum_over_paths_may_beat_the_best_path() -> None:
    """Blank is likeliest in both frames (0.36 together), yet three paths say "a" (0.64).

    Source: Graves 2012, "Supervised Sequence Labelling", chapter 7, on best path decoding.
    """
    frames = np.log(np.array([[0.6, 1e-9, 0.4, 1e-9], [0.6, 1e-9, 0.4, 1e-9]], np.float32))

    assert Search(SMALL, size=8)(frames) == (2,)


def test_a_word_broken_off_is_not_written_under_a_lexicon() -> None:
    frames = np.log(np.array([[0.01, 0.01, 0.01, 0.97]], np.float32))

    assert Search(SMALL, 8)(frames) == (3,)
    assert Search(SMALL, 8, Lexicon.of(["bb"], SMALL))(frames) == ()


def test_words_the_vocabulary_cannot_write_are_named() -> None:
    lexicon = Lexicon.of(["a", "AB", "cab", "a"], SMALL)

    assert (lexicon.size, lexicon.unspellable) == (2, ("cab",))


def test_no_frames_give_no_text() -> None:
    assert Search(SMALL, 8)(np.zeros((0, 4), np.float32)) == ()


def test_a_list_of_words_may_have_remarks() -> None:
    assert list(listed(["# names", "", " anna ", "bob"])) == ["anna", "bob"]


def _all_texts(frames: NDArray[np.float64]) -> dict[Prefix, float]:
    """Probability of every text: its paths added up, gaps merged, none at the beginning."""
    sums: dict[Prefix, float] = defaultdict(float)
    for path in product(range(4), repeat=len(frames)):
        tokens = [token for token, _ in groupby(path) if token != SMALL.blank]
        merged: list[int] = []
        for token in tokens:
            if token != SMALL.delimiter or (merged and merged[-1] != SMALL.delimiter):
                merged.append(token)
        sums[tuple(merged)] += float(np.exp(frames[range(len(path)), path].sum()))
    return sums


def _listed(text: Prefix) -> bool:
    written = "".join(SMALL.tokens[token] for token in text).removesuffix("|")
    return not written or all(word in WORDS for word in written.split("|"))
