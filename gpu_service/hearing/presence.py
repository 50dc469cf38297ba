"""Where somebody may be speaking in one channel: two detectors, and what is loud to neither."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gpu_service.hearing.energy_gate import SHORTEST_S, EnergyGate
from gpu_service.hearing.fire_red import FireRed
from gpu_service.hearing.voice_activity import RULES, VoiceActivity
from shared.domain.sound import Span
from shared.domain.stretches import joined, without

#: Seconds only FireRed must hear beyond Silero's padded spans to count: its own shortest span.
#: Of 195 s of speech in 52 clips, clean and in noise down to -5 dB, it heard 0.06 s in one piece
#: there; so what it adds is speech that Silero missed, not longer edges of what it found.
ALONE_S = 0.2
#: Silero's probability below which, all through a stretch, it is sure that nobody speaks there:
#: that at which it stays in a span. FireRed takes steady tones of 440 to 445 Hz for a voice, alone
#: and up to 10 dB above white noise; Silero gives those 0.24 at most, and 0.92 and more to the
#: speech FireRed finds (12 sentences, clean and in white noise down to -5 dB).
DOUBT = RULES.stay_at


class Presence:
    """Give it a channel block by block, then ask. Not thread-safe."""

    def __init__(self) -> None:
        self._silero, self._fire_red, self._gate = VoiceActivity(), FireRed(), EnergyGate()
        self.quietest, self.goes_on = self._silero.quietest, self._silero.goes_on

    def add(self, block: NDArray[np.float32]) -> None:
        """Take the next samples: float32, shape (n,), mono, 16 kHz, -1..1, any n."""
        self._silero.add(block)
        self._fire_red.add(block)
        self._gate.add(block)

    def result(self, duration_s: float) -> tuple[list[Span], list[Span]]:
        """Where a detector hears a voice, and what is loud where none does. Ends the sound."""
        silero = self._silero.result()
        likely = [s for s in self._fire_red.result() if self._silero.highest(*s) >= DOUBT]
        voiced = union(silero, likely, duration_s)
        loud = without(self._gate.result(), joined([*voiced, *likely]))
        return voiced, [s for s in loud if s[1] - s[0] >= SHORTEST_S]


def union(silero: Sequence[Span], fire_red: Sequence[Span], duration_s: float) -> list[Span]:
    """Silero's spans, and with the same padding what only FireRed hears; pure."""
    more = [s for s in without(fire_red, silero) if s[1] - s[0] >= ALONE_S]
    padded = [(max(0.0, a - RULES.pad_s), min(duration_s, b + RULES.pad_s)) for a, b in more]
    return joined([*silero, *padded])
