"""Sound as it comes -> pieces of speech as they end."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpu_service.engines.engine import Samples, Span
from gpu_service.hearing.segmentation import FILLED
from gpu_service.hearing.voice_activity import RULES, WINDOW, VoiceActivity, spans
from shared.domain.sound import MAX_SEGMENT_S, SAMPLE_RATE

#: Seconds of silence beyond the padding (0.25 s) that end a segment: together 0.75 s. Shorter
#: answers sooner and cuts sentences at a breath; files are cut at 2 s, for nobody waits there.
END_SILENCE_S = 0.5
#: Seconds after which speech that does not pause is cut, while there is room for what comes.
LONGEST_OPEN_S = MAX_SEGMENT_S - 1.0
#: Seconds without speech that are kept: a segment reaches back by its padding, and a run needs
#: two windows to be one.
KEEP_S = 1.0
#: Windows looked at in one go: 96 ms, so that small chunks cost no more than large ones.
EXAMINE = 3 * WINDOW
#: Samples held at most: the longest segment, what is kept before it, and one look.
CAPACITY = round((MAX_SEGMENT_S + KEEP_S + 1.0) * SAMPLE_RATE)


@dataclass(frozen=True, slots=True)
class Piece:
    """Speech on its way to an engine; seconds from the first sample heard."""

    index: int
    start_s: float
    end_s: float
    samples: Samples
    speech: tuple[Span, ...]  #: in seconds from its own start

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


class Listener:
    """Finds segments in one stream. Holds CAPACITY samples, whatever comes. Not thread-safe."""

    def __init__(self, first_segment: int = 0) -> None:
        self._voices = VoiceActivity()
        self._next = first_segment
        self._held = np.empty(CAPACITY, np.float32)
        self._n_held = 0  # how many of them are filled
        self._judged = 0  # how many of those the detector has heard; whole windows
        self._base = 0  # where `_held` begins in the stream; a multiple of WINDOW
        self._floor_s = 0.0  # nothing before is told again
        self._padding = 0  # silence that fills up the last window of all

    @property
    def held_s(self) -> float:
        """Sound in memory."""
        return self._n_held / SAMPLE_RATE

    @property
    def settled_s(self) -> float:
        """All before is silence, or lies in a piece that was told."""
        return max(self._base / SAMPLE_RATE, self._floor_s)

    def add(self, block: Samples) -> list[Piece]:
        """Take the next samples (16 kHz); gives the pieces that ended with them."""
        found: list[Piece] = []
        while block.size:
            room = min(EXAMINE, CAPACITY - self._n_held)
            self._held[self._n_held : self._n_held + min(room, block.size)] = block[:room]
            self._n_held += min(room, block.size)
            block = block[room:]
            if self._n_held - self._judged >= EXAMINE:
                found += self._examined()
        return found

    def end(self) -> list[Piece]:
        """The sound is over: what is still open ends here."""
        self._padding = -(self._n_held - self._judged) % WINDOW
        self._held[self._n_held : self._n_held + self._padding] = 0.0
        self._n_held += self._padding
        found = self._examined()
        rest = self.open()
        if rest:
            found.append(rest)
            self._next += 1
        self._forget(self._now_s)
        return found

    def open(self) -> Piece | None:
        """The speech that goes on now, so far."""
        spoken = self._spoken()
        return self._piece((spoken[0][0], spoken[-1][1]), spoken) if spoken else None

    @property
    def _now_s(self) -> float:
        return (self._base + self._judged - self._padding) / SAMPLE_RATE

    def _examined(self) -> list[Piece]:
        """Let the detector hear what is new, and take off what ended."""
        whole = (self._n_held - self._judged) // WINDOW * WINDOW
        self._voices.add(self._held[self._judged : self._judged + whole])
        self._judged += whole
        found: list[Piece] = []
        while (spoken := self._spoken()) and (ended := self._ended(spoken)):
            found.append(self._piece(ended, spoken))
            self._next += 1
            self._forget(ended[1])
        # Until it ends, a segment begins where it begins; silence is kept for a moment.
        self._drop(spoken[0][0] if spoken else self._now_s - KEEP_S)
        return found

    def _spoken(self) -> list[Span]:
        """Spans of speech that no piece holds yet, in seconds of the stream."""
        start_s = self._base / SAMPLE_RATE
        levels = self._levels()
        found = spans(levels, self._now_s - start_s, RULES)
        moved = ((max(a + start_s, self._floor_s), b + start_s) for a, b in found)
        return [(a, b) for a, b in moved if b > a]

    def _levels(self) -> NDArray[np.float32]:
        return self._voices.so_far(self._base // WINDOW)

    def _ended(self, spoken: list[Span]) -> Span | None:
        """The first segment that is over: by a silence, or because it is as long as may be."""
        start_s, end_s = spoken[0]
        over = False
        for a, b in [*spoken[1:], (self._now_s, self._now_s)]:
            if over := a - end_s >= END_SILENCE_S:
                break
            end_s = b
        if end_s - start_s > (MAX_SEGMENT_S if over else LONGEST_OPEN_S):
            # As files are cut: where somebody speaks least, in the last two fifths.
            latest = min(end_s, start_s + MAX_SEGMENT_S)
            end_s = self._voices.quietest(start_s + FILLED * MAX_SEGMENT_S, latest)
            over = True
        return (start_s, end_s) if over else None

    def _piece(self, span: Span, spoken: list[Span]) -> Piece:
        start_s, end_s = span
        first, last = (round(t * SAMPLE_RATE) - self._base for t in span)
        inside = ((max(a, start_s), min(b, end_s)) for a, b in spoken)
        speech = tuple((a - start_s, b - start_s) for a, b in inside if b > a)
        return Piece(self._next, start_s, end_s, self._held[first:last].copy(), speech)

    def _forget(self, until_s: float) -> None:
        self._floor_s = until_s
        self._drop(until_s)

    def _drop(self, until_s: float) -> None:
        """Let go of whole windows before `until_s`."""
        n = max(0, int(until_s * SAMPLE_RATE) // WINDOW * WINDOW - self._base)
        n = min(n, self._judged)
        self._held[: self._n_held - n] = self._held[n : self._n_held].copy()
        self._n_held, self._judged, self._base = self._n_held - n, self._judged - n, self._base + n
