"""From frames to tokens to words: greedy CTC, word times and confidence."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from gpu_service.ctc.vocabulary import Vocabulary
from shared.domain.answers import Token, Word

#: Natural logarithms, float32, shape (n_frames, n_tokens); each row sums to 1 as probabilities.
LogProbabilities = NDArray[np.float32]
#: Tokens in a row whose mean log-probability is a window: see `Answer.signals`.
WINDOW = 4
#: A token's frames have at least this log-probability each, so that one zero is not everything.
FLOOR = math.log(1e-6)


@dataclass(frozen=True, slots=True)
class Emission:
    """One token and the frames it was said in, `last` included."""

    token: int
    first: int
    last: int
    logprob: float  #: mean over its frames of the natural log of its posterior

    @property
    def n_frames(self) -> int:
        return self.last + 1 - self.first


def greedy(frames: LogProbabilities, vocabulary: Vocabulary) -> list[Emission]:
    """The most probable token of every frame, repeats merged, blanks and silent tokens dropped.

    Source: Graves et al. 2006, "Connectionist Temporal Classification", section 3.2 (best path).
    """
    best = frames.argmax(axis=1)  # (n_frames,)
    edges = np.flatnonzero(np.diff(best)) + 1
    starts = np.concatenate(([0], edges)) if best.size else edges
    ends = np.concatenate((edges, [best.size])) if best.size else edges
    runs = zip(starts.tolist(), ends.tolist(), strict=True)
    return [
        emission(frames, int(best[start]), start, end - 1)
        for start, end in runs
        if best[start] not in vocabulary.silent
    ]


def emission(frames: LogProbabilities, token: int, first: int, last: int) -> Emission:
    """`token` said in the frames `first` to `last`, with what the model thought of it there."""
    heard = np.maximum(frames[first : last + 1, token], FLOOR)
    return Emission(token, first, last, float(heard.mean(dtype=np.float64)))


def words(
    emitted: Sequence[Emission], vocabulary: Vocabulary, frame_s: float, duration_s: float
) -> tuple[Word, ...]:
    """Words with times and confidence.

    Times come from the CTC spikes (`source: engine`): from the first frame of the first letter
    to the end of the last frame of the last one. CTC places spikes inside the sound of a letter,
    so words come out shorter than they were said; alignment is better where times matter.
    Confidence: geometric mean of the posteriors of the frames that emitted the word's letters,
    blanks left out (a blank says nothing of the word; with them every slow word would score
    high). Source: the choice of frames is Kürzinger et al. 2020, "CTC-Segmentation", section 2,
    who average log posteriors over the frames of an utterance; ours leaves the blanks out.
    """
    return tuple(
        _word(group, vocabulary, frame_s, duration_s)
        for group in _between(emitted, vocabulary.delimiter)
    )


def confidence(said: Sequence[Word]) -> float | None:
    """Geometric mean of the words' confidences; None where there is no word."""
    logs = [math.log(word.confidence) for word in said if word.confidence]
    return math.exp(sum(logs) / len(logs)) if logs else None


def tokens(emitted: Iterable[Emission], vocabulary: Vocabulary) -> tuple[Token, ...]:
    """Every letter with its log-probability; the delimiter as a space."""
    return tuple(
        Token(" " if e.token == vocabulary.delimiter else vocabulary.written([e.token]), e.logprob)
        for e in emitted
    )


def signals(frames: LogProbabilities, emitted: Sequence[Emission]) -> dict[str, float]:
    """`mean_logprob`, `min_window_logprob` and `mean_entropy` (nats) over the emitted tokens."""
    if not emitted:
        return {}
    each = np.array([e.logprob for e in emitted])
    width = min(WINDOW, each.size)
    windows = np.convolve(each, np.full(width, 1 / width), "valid")
    rows = np.concatenate([frames[e.first : e.last + 1] for e in emitted]).astype(np.float64)
    # A probability of zero has no entropy; its logarithm would make 0 · -inf.
    entropy = -(np.exp(rows) * np.maximum(rows, -100.0)).sum(axis=1)
    return {
        "mean_logprob": float(each.mean()),
        "min_window_logprob": float(windows.min()),
        "mean_entropy": float(entropy.mean()),
    }


def _between(emitted: Iterable[Emission], delimiter: int | None) -> Iterator[list[Emission]]:
    for is_gap, group in groupby(emitted, lambda e: e.token == delimiter):
        if not is_gap:
            yield list(group)


def _word(
    group: Sequence[Emission], vocabulary: Vocabulary, frame_s: float, duration_s: float
) -> Word:
    total = sum(e.logprob * e.n_frames for e in group)
    confidence = math.exp(total / sum(e.n_frames for e in group))
    end = min((group[-1].last + 1) * frame_s, duration_s)
    text = vocabulary.written([e.token for e in group])
    return Word(group[0].first * frame_s, end, text, confidence)
