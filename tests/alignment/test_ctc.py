import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_service.alignment.ctc import FLOOR, STAR, align
from tests.alignment.emissions import frames

BLANK, A, B = 0, 1, 2
#: A letter per token, for the regular expressions that say which labellings spell a text.
LETTER = {BLANK: "-", A: "a", B: "b", STAR: "*"}


def spelled(tokens, borders):
    """Matches every way to label frames with `tokens`: Graves 2006, section 3.1, and stars."""
    pattern = gap(borders[0])
    for k, token in enumerate(tokens):
        repeated = k and token == tokens[k - 1] != STAR
        pattern += gap(borders[k], least=1) if repeated else gap(borders[k]) if k else ""
        pattern += re.escape(LETTER[token]) + "+"
    return re.compile(pattern + (gap(borders[-1]) if tokens else ""))


def gap(is_border, least=0):
    return f"[-{'*' if is_border else ''}]" + ("+" if least else "*")


def cost(label, row, star_cost):
    """What a label adds to the path in one frame, from the formula in the docstring."""
    if label == "*":
        heard = 1.0 - math.exp(row[BLANK])
        return (max(math.log(heard), FLOOR) if heard > 0 else FLOOR) - star_cost
    return max(row["-ab".index(label)], FLOOR)


def brute_force(log_probabilities, tokens, borders, star_cost):
    """The best labelling among all there are; None if none spells the tokens."""
    rows, fits = log_probabilities.astype(float).tolist(), spelled(tokens, borders)
    labellings = map("".join, itertools.product("-ab*", repeat=len(rows)))
    sums = (
        sum(cost(c, row, star_cost) for c, row in zip(labels, rows, strict=True))
        for labels in labellings
        if fits.fullmatch(labels)
    )
    return max(sums, default=None)


@st.composite
def cases(draw):
    n_frames = draw(st.integers(0, 6))
    tokens = draw(st.lists(st.sampled_from([A, B, STAR]), max_size=4))
    borders = draw(st.lists(st.booleans(), min_size=len(tokens) + 1, max_size=len(tokens) + 1))
    weight = st.floats(0.001, 1.0)
    rows = draw(st.lists(st.tuples(weight, weight, weight), min_size=n_frames, max_size=n_frames))
    shares = np.array(rows).reshape(n_frames, 3)
    shares /= shares.sum(axis=1, keepdims=True)
    return np.log(shares).astype(np.float32), tokens, borders, draw(st.floats(0.0, 4.0))


@settings(deadline=None)
@given(cases())
def test_no_labelling_of_the_frames_is_more_probable(case):
    log_probabilities, tokens, borders, star_cost = case

    found = align(log_probabilities, tokens, blank=BLANK, borders=borders, star_cost=star_cost)

    best = brute_force(*case)
    assert (found is None) == (best is None)
    if found is not None:
        assert found.log_probability == pytest.approx(best, abs=1e-4)


@settings(deadline=None)
@given(cases())
def test_the_spans_are_those_of_that_path(case):
    """In order, apart, inside; and labelling the frames by them costs what the path costs."""
    log_probabilities, tokens, borders, star_cost = case

    found = align(log_probabilities, tokens, blank=BLANK, borders=borders, star_cost=star_cost)

    if found is None:
        return
    assert len(found.spans) == len(tokens)
    edges = [f for span in found.spans for f in (span.first, span.last + 1)]
    assert edges == sorted(edges) and all(s.first <= s.last for s in found.spans)
    assert all(0 <= edge <= len(log_probabilities) for edge in edges)
    assert relabelled(found, *case) == pytest.approx(found.log_probability, abs=1e-4)


def relabelled(found, log_probabilities, tokens, borders, star_cost):
    """What the frames cost if each span is its token and the rest the best its gap allows."""
    rows, total, inside = log_probabilities.astype(float).tolist(), 0.0, set()
    for token, span in zip(tokens, found.spans, strict=True):
        for frame in range(span.first, span.last + 1):
            inside.add(frame)
            total += cost(LETTER[token], rows[frame], star_cost)
    for frame, row in enumerate(rows):
        if frame not in inside:
            k = sum(span.last < frame for span in found.spans)
            total += max(cost(c, row, star_cost) for c in ("-*" if borders[k] else "-"))
    return total


@settings(deadline=None)
@given(cases())
def test_the_score_counts_the_frames_of_spelled_tokens_only(case):
    log_probabilities, tokens, borders, star_cost = case

    found = align(log_probabilities, tokens, blank=BLANK, borders=borders, star_cost=star_cost)

    if found is None:
        return
    counted = [
        float(log_probabilities[frame, token])
        for token, span in zip(tokens, found.spans, strict=True)
        for frame in range(span.first, span.last + 1)
        if token != STAR
    ]
    if counted:
        assert found.score == pytest.approx(np.mean(counted), abs=1e-4)
    else:
        assert found.score is None


def test_equal_neighbours_need_a_blank_between():
    log_probabilities = frames([A, A, A], 3, 0.9)

    found = align(log_probabilities, [A, A], blank=BLANK)

    assert [(s.first, s.last) for s in found.spans] == [(0, 0), (2, 2)]
    assert align(log_probabilities[:2], [A, A], blank=BLANK) is None


def test_stars_in_a_row_share_the_sound_without_one():
    found = align(frames([A, B], 3, 0.9), [STAR, STAR], blank=BLANK)

    assert [(s.first, s.last) for s in found.spans] == [(0, 0), (1, 1)]


def test_more_tokens_than_frames_have_no_place():
    assert align(frames([A, B], 3, 0.9), [A, B, A], blank=BLANK) is None
    assert align(np.zeros((0, 3), np.float32), [A], blank=BLANK) is None


def test_no_tokens_leave_only_blanks():
    found = align(frames([BLANK, BLANK], 3, 0.9), [], blank=BLANK)

    assert (found.spans, found.score, found.starred) == ((), None, 0)
    assert align(np.zeros((0, 3), np.float32), [], blank=BLANK).spans == ()


def test_tokens_the_model_calls_impossible_are_placed_all_the_same():
    log_probabilities = np.array([[0.0, -np.inf, -np.inf]] * 4, np.float32)

    found = align(log_probabilities, [A, STAR, B], blank=BLANK)

    assert len(found.spans) == 3
    assert found.score == pytest.approx(FLOOR)
    assert math.isfinite(found.log_probability)


def test_nan_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        align(np.full((3, 3), np.nan, np.float32), [A], blank=BLANK)


def test_sound_beside_the_text_goes_to_a_star_where_words_part():
    """B is spoken before A and the text has only A: it must not be stretched over B."""
    log_probabilities = frames([B, B, B, BLANK, A, A], 3, 0.98)

    found = align(log_probabilities, [A], blank=BLANK, borders=[True, True])

    assert (found.spans[0].first, found.spans[0].last) == (4, 5)
    assert found.starred == 3


def test_a_star_does_not_swallow_silence():
    found = align(frames([A, BLANK, BLANK, B], 3, 0.98), [A, STAR], blank=BLANK)

    assert (found.spans[1].first, found.spans[1].last) == (3, 3)


def test_a_cheaper_star_takes_more():
    """At the default cost a token that is likelier than by guessing keeps its frames."""
    doubtful = np.log(np.array([[0.02, 0.55, 0.43]] * 4, np.float32))

    guessing = align(doubtful, [A], blank=BLANK, borders=[True, True])
    free = align(doubtful, [A], blank=BLANK, borders=[True, True], star_cost=0.0)

    assert (guessing.starred, free.starred) == (0, 3)
