"""Words of an engine moved to where the sound begins and ends: energy, and nothing learned.

words, samples -> levels -> pauses -> joints between words, both outer edges -> words

Whisper's own times come from attention: off by a constant that is each checkpoint's own, and at
pauses they know nothing of silence. What is loud and what is not can be measured to the frame.
Where an aligner places the words afterwards, its times stand instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gpu_service.engines.engine import Samples, Span
from shared.domain.answers import Word
from shared.domain.sound import SAMPLE_RATE

#: `Word.source` of what comes from here, and of what may come here.
ENERGY, ENGINE = "engine+energy", "engine"

# Chosen on one voice (flite's awb: 48 sentences, 40 words alone) and left as they are for the
# others; `make truth` prints what they are worth, each voice apart.

#: Samples between two levels, and samples one level is of: 5 and 20 ms, so that a level holds
#: two periods of a low voice (100 Hz).
HOP, WIDTH = 80, 320
HOP_S = HOP / SAMPLE_RATE
#: dB above the noise that is sound. Noise itself stays within 3 dB in levels of 20 ms.
ABOVE_NOISE_DB = 6.0
#: dB below the loud parts that no sound of a word is: the weakest fricatives are 30 dB below
#: vowels (Fletcher 1953, "Speech and Hearing in Communication").
BELOW_SPEECH_DB = 32.0
#: dB below the loud parts that is still called quiet, however loud the noise.
LEAST_DEPTH_DB = 10.0
#: Percentiles of the levels taken for the noise and for the loud parts.
NOISE_PERCENTILE, LOUD_PERCENTILE = 10, 95
#: Seconds of quiet that make a pause; a stop such as "p" closes the mouth for about as long.
LEAST_PAUSE_S = 0.06
#: Seconds a word cannot be silent inside: twice the longest closures.
LONGEST_CLOSURE_S = 0.25
#: Seconds from the engine's time within which a pause belongs to the joint of two words, and to
#: the outer edges (engines place these worst, and no neighbour is there to be robbed).
JOINT_REACH_S, OUTER_REACH_S = 0.1, 0.3
#: Seconds around a joint without a pause where its quietest moment is looked for.
DIP_REACH_S = 0.04
#: Seconds between two words up to which an engine means them to touch.
TOUCHING_S = 0.05
#: Seconds of a word that are left at least, where it had as many.
LEAST_WORD_S = 0.03
#: Seconds of pause that a second of distance from the engine's time outweighs.
DISTANCE_WEIGHT = 0.5
#: Added to the mean square, so that digital silence is -90 dB and not minus infinity.
LEAST_POWER = 1e-9

Levels = NDArray[np.float64]


@dataclass(slots=True)
class _Edges:
    """Where a word begins and ends, while it is being moved; seconds."""

    start: float
    end: float


def refined(words: Sequence[Word], samples: Samples, lead_s: float = 0.0) -> tuple[Word, ...]:
    """The words with starts and ends at onsets and offsets of the sound near them.

    Words stay in order and apart, inside the sound; a joint never passes the far edges of its
    two words. Pauses between words belong to neither. `lead_s` is how much too early the engine's
    times are (`Capabilities.word_lead_s`). Where somebody else placed a word, all stay as they are.

    Args:
        words: times in seconds from the start of `samples`.
        samples: float32, shape (n_samples,), mono, 16 kHz, -1..1.
    """
    if not words or not samples.size or any(word.source != ENGINE for word in words):
        return tuple(words)
    duration_s = samples.size / SAMPLE_RATE
    edges = _in_order(words, lead_s, duration_s)
    levels = _levels(samples)
    pauses = _pauses(levels, duration_s)
    _begin(edges[0], pauses)
    for one, following in pairwise(edges):
        _join(one, following, pauses, levels)
    _finish(edges[-1], pauses, duration_s)
    for each in edges:
        _without_silence(each, pauses)
    return tuple(
        replace(word, start_s=e.start, end_s=e.end, source=ENERGY)
        for word, e in zip(words, edges, strict=True)
    )


def _in_order(words: Sequence[Word], lead_s: float, duration_s: float) -> list[_Edges]:
    """The engine's times, its lead taken away, none before the end of the word before."""
    edges, clock_s = [], 0.0
    for word in words:
        start = min(max(word.start_s + lead_s, clock_s), duration_s)
        clock_s = min(max(word.end_s + lead_s, start), duration_s)
        edges.append(_Edges(start, clock_s))
    return edges


def _levels(samples: Samples) -> Levels:
    """dB of WIDTH samples around the beginning of each HOP, shape (n_levels,)."""
    padded = np.pad(samples.astype(np.float64), WIDTH // 2)
    power = np.concatenate([[0.0], np.cumsum(padded**2)])
    at = np.arange(0, samples.size, HOP)
    means = np.maximum(power[at + WIDTH] - power[at], 0.0) / WIDTH
    levels: Levels = 10 * np.log10(means + LEAST_POWER)
    return levels


def _pauses(levels: Levels, duration_s: float) -> list[Span]:
    """Stretches of quiet; at both ends of the sound also short ones."""
    noise, loud = np.percentile(levels, [NOISE_PERCENTILE, LOUD_PERCENTILE])
    bar = min(max(noise + ABOVE_NOISE_DB, loud - BELOW_SPEECH_DB), loud - LEAST_DEPTH_DB)
    changes = np.diff(np.concatenate([[False], levels < bar, [False]]).astype(np.int8))
    begins, ends = np.flatnonzero(changes == 1), np.flatnonzero(changes == -1)
    return [
        (first * HOP_S, min(last * HOP_S, duration_s))
        for first, last in zip(begins.tolist(), ends.tolist(), strict=True)
        if (last - first) * HOP_S >= LEAST_PAUSE_S or first == 0 or last == levels.size
    ]


def _begin(first: _Edges, pauses: Sequence[Span]) -> None:
    pause = _near(pauses, (first.start, first.start), OUTER_REACH_S, (0.0, _latest(first)))
    if pause:
        first.start = pause[1]


def _finish(last: _Edges, pauses: Sequence[Span], duration_s: float) -> None:
    pause = _near(pauses, (last.end, last.end), OUTER_REACH_S, (_earliest(last), duration_s))
    if pause:
        last.end = pause[0]


def _join(one: _Edges, following: _Edges, pauses: Sequence[Span], levels: Levels) -> None:
    """End one word and begin the next at the two sides of a pause, or both where it is quietest."""
    room = (_earliest(one), _latest(following))
    pause = _near(pauses, (one.end, following.start), JOINT_REACH_S, room)
    if pause:
        one.end, following.start = pause
    elif following.start - one.end <= TOUCHING_S:
        low = max(room[0], one.end - DIP_REACH_S)
        high = min(room[1], following.start + DIP_REACH_S)
        if low < high:
            one.end = following.start = min(max(_quietest(levels, low, high), low), high)


def _near(pauses: Sequence[Span], joint: Span, reach_s: float, room: Span) -> Span | None:
    """The pause that belongs to a joint, cut to the room there is: long and near beats short."""
    low, high = max(room[0], joint[0] - reach_s), min(room[1], joint[1] + reach_s)
    inside = ((max(a, room[0]), min(b, room[1])) for a, b in pauses if b > low and a < high)
    middle = (joint[0] + joint[1]) / 2

    def worth(pause: Span) -> float:
        away_s = max(0.0, pause[0] - middle, middle - pause[1])
        return pause[1] - pause[0] - DISTANCE_WEIGHT * away_s

    return max((pause for pause in inside if pause[1] > pause[0]), key=worth, default=None)


def _quietest(levels: Levels, low_s: float, high_s: float) -> float:
    first = min(int(low_s / HOP_S), levels.size - 1)
    return (first + int(np.argmin(levels[first : int(high_s / HOP_S) + 1]))) * HOP_S


def _without_silence(word: _Edges, pauses: Sequence[Span]) -> None:
    """Of a word with a long silence inside, the longer side: it was said in one piece."""
    for begins, ends in pauses:
        if ends - begins >= LONGEST_CLOSURE_S and word.start < begins and ends < word.end:
            if begins - word.start >= word.end - ends:
                word.end = begins
            else:
                word.start = ends


def _earliest(word: _Edges) -> float:
    """When the word can end at the earliest."""
    return min(word.start + LEAST_WORD_S, word.end)


def _latest(word: _Edges) -> float:
    """When the word can begin at the latest."""
    return max(word.end - LEAST_WORD_S, word.start)
