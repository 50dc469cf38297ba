"""Where in the sound the tokens of a known text lie: Viterbi over a CTC model's frames."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

#: Natural logarithms of probabilities, shape (n_frames, n_tokens).
LogProbabilities = NDArray[np.float32]
#: A token that stands for a word nobody can spell: any sound but the blank.
STAR = -1
#: Lowest log-probability: the smallest normal float32 is exp of it. Below, a model says "never",
#: and a text it thinks impossible would have no best alignment at all.
FLOOR = math.log(float(np.finfo(np.float32).tiny))


@dataclass(frozen=True, slots=True)
class Span:
    """The frames of one token, without the blanks around it."""

    first: int
    last: int  #: the last one, not the one after it
    score: float | None  #: mean log-probability of its frames; None for a star


@dataclass(frozen=True, slots=True)
class Alignment:
    """The most probable way to say the tokens in these frames."""

    spans: tuple[Span, ...]  #: one a token, in order
    #: Mean log-probability of the frames that carry a spelled token; None if none does.
    score: float | None
    log_probability: float  #: of the whole path: blanks, and stars at their cost, included
    starred: int  #: frames in which something sounds that the text does not spell


@dataclass(frozen=True, slots=True)
class _Lattice:
    """A state per token and per gap: gap, token, gap, token ... gap."""

    emissions: NDArray[np.float32]  # (n_frames, n_states)
    skips: NDArray[np.bool_]  # (n_states,): may be entered from the token before the gap


def align(
    log_probabilities: LogProbabilities,
    tokens: Sequence[int],
    *,
    blank: int,
    borders: Sequence[bool] | None = None,
    star_cost: float | None = None,
) -> Alignment | None:
    """Place every token, in order; None if there are fewer frames than the tokens need.

    Each token gets a frame at least; equal neighbours need a blank between them. A star, as a
    token or in a gap that `borders` opens, takes frames in which something sounds that the text
    does not spell: a frame costs it `log(1 - p_blank) - star_cost`. Its frames do not count in
    the score, nor do blank ones. So a text that was invented cannot hide: the stars explain the
    sound, but its own tokens must still be put somewhere, and only those frames are counted.

    Source: Graves et al. 2006, "Connectionist Temporal Classification", sec. 3.1 and 4.1, for
    the lattice; Kürzinger et al. 2020, "CTC-Segmentation", sec. 2, for aligning a known text;
    `torchaudio.functional.forced_align` for spans without blanks. The star is ours: unlike
    torchaudio's, whose probability is 1 in every frame, it does not swallow silence.

    Args:
        log_probabilities: rows of a log-softmax, float32, (n_frames, n_tokens).
        tokens: columns of it, or STAR.
        blank: the column of the CTC blank.
        borders: for the gap before each token and the one after the last, whether sound
            outside the text may lie there; by default nowhere.
        star_cost: nats a frame, the lambda of the formula; by default log(n_tokens - 1): some
            token but the blank is spoken, and each is as likely as any other. So a star
            is never preferred to a token or blank that is more probable than by guessing.

    Raises:
        ValueError: the model said NaN.
    """
    if np.isnan(log_probabilities).any():
        raise ValueError("the log-probabilities hold NaN")
    # Before anything is made of their size: a text may be as long as somebody pleases.
    if len(log_probabilities) < len(tokens) + sum(not apart for apart in _apart(tokens)):
        return None
    if not len(log_probabilities):
        return Alignment((), None, 0.0, 0)
    lattice = _lattice(log_probabilities, tokens, blank, borders, star_cost)
    path = _best_path(lattice)
    return _alignment(lattice, path, tokens, log_probabilities, blank)


def _lattice(
    log_probabilities: LogProbabilities,
    tokens: Sequence[int],
    blank: int,
    borders: Sequence[bool] | None,
    star_cost: float | None,
) -> _Lattice:
    n_tokens = log_probabilities.shape[1]
    cost = math.log(max(n_tokens - 1, 1)) if star_cost is None else star_cost
    floored = np.maximum(log_probabilities, np.float32(FLOOR))
    star = _star(floored[:, blank]) - np.float32(cost)
    either = np.maximum(star, floored[:, blank])
    columns = np.column_stack([floored, star, either])  # (n_frames, n_tokens + 2)
    spelled = np.asarray(tokens, np.intp)
    chosen = np.full(2 * len(spelled) + 1, blank, np.intp)
    chosen[1::2] = np.where(spelled == STAR, n_tokens, spelled)
    if borders is not None:
        chosen[::2][np.asarray(borders, np.bool_)] = n_tokens + 1
    skips = np.zeros(len(chosen), np.bool_)
    skips[3::2] = _apart(tokens)
    return _Lattice(columns[:, chosen], skips)


def _apart(tokens: Sequence[int]) -> list[bool]:
    """Of each token after the first: whether it may follow the one before without a blank.

    Two stars in a row may: where one ends is for the frames to say.
    """
    return [token == STAR or token != before for before, token in pairwise(tokens)]


def _star(blank: NDArray[np.float32]) -> NDArray[np.float32]:
    """log(1 - p_blank), (n_frames,)."""
    silent = np.minimum(np.exp(blank.astype(np.float64)), 1.0)
    with np.errstate(divide="ignore"):
        return np.maximum(np.log1p(-silent), FLOOR).astype(np.float32)


def _best_path(lattice: _Lattice) -> NDArray[np.intp]:
    """The state of every frame, (n_frames,). On a tie the path stays where it is."""
    n_frames, n_states = lattice.emissions.shape
    back = np.zeros((n_frames, n_states), np.int8)
    # Two cells of -inf before the first state: nothing comes from there.
    reached = np.full(n_states + 2, -np.inf)
    reached[2 : 2 + min(n_states, 2)] = lattice.emissions[0, :2]
    leap = np.where(lattice.skips, 0.0, -np.inf)
    for frame in range(1, n_frames):
        stay, step, skip = reached[2:], reached[1:-1], reached[:-2] + leap
        best = np.maximum(stay, step)
        back[frame] = step > stay
        back[frame][skip > best] = 2
        reached[2:] = np.maximum(best, skip) + lattice.emissions[frame]
    return _walked_back(back, _last_state(reached[2:]))


def _last_state(reached: NDArray[np.float64]) -> int:
    """The last gap, or the last token where that ends better."""
    last = len(reached) - 1
    return last - 1 if last and reached[last - 1] > reached[last] else last


def _walked_back(back: NDArray[np.int8], state: int) -> NDArray[np.intp]:
    path = np.empty(len(back), np.intp)
    for frame in range(len(back) - 1, -1, -1):
        path[frame] = state
        state -= int(back[frame, state])
    return path


def _alignment(
    lattice: _Lattice,
    path: NDArray[np.intp],
    tokens: Sequence[int],
    log_probabilities: LogProbabilities,
    blank: int,
) -> Alignment:
    frames = np.arange(len(path))
    emitted = lattice.emissions[frames, path].astype(np.float64)
    states = 2 * np.arange(len(tokens)) + 1
    firsts = np.searchsorted(path, states, "left").tolist()
    ends = np.searchsorted(path, states, "right").tolist()
    spans = tuple(
        Span(first, end - 1, None if token == STAR else float(emitted[first:end].mean()))
        for token, first, end in zip(tokens, firsts, ends, strict=True)
    )
    spoken = path % 2 == 1
    stars = np.isin(path, states[np.asarray(tokens, np.intp) == STAR])
    silence = np.maximum(log_probabilities[:, blank], np.float32(FLOOR))
    outside = ~spoken & (emitted > silence)  # a gap is dearer as a blank: a star was taken
    counted = emitted[spoken & ~stars]
    score = float(counted.mean()) if counted.size else None
    return Alignment(spans, score, float(emitted.sum()), int((stars | outside).sum()))
