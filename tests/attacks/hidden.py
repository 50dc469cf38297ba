"""Words hidden in sound: speech whose lowest bits spell a text, for engines that hear everything.

The pipeline is the real one: the file is decoded, surveyed and cut, and what reaches an engine is
sound. A test engine that reads the lowest bits "hears" the text, whatever it is and in no time,
where a real model would need seconds and might not understand it.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from tests.sounds import speech, wav

MARK = b"\x0fEAR\xf0"
#: Of full scale. Vendors' files scale by 32,767 and ours by 32,768: up to half of full scale that
#: rounds to the same number.
PEAK = 0.4


@cache
def carrier() -> NDArray[np.int16]:
    """About five seconds of somebody speaking, 16 kHz."""
    said = "The train to the coast leaves at nine, and the tickets are on the kitchen table."
    heard = np.frombuffer(speech(said)[44:], "<i2").astype(np.float64)
    return np.asarray(heard / np.abs(heard).max() * PEAK * 32_767, np.int16)


def hidden(text: str) -> bytes:
    """A WAV of the carrier that says `text` again and again in its lowest bits."""
    said = text.encode()
    spelled = np.unpackbits(np.frombuffer(MARK + len(said).to_bytes(2, "big") + said, np.uint8))
    samples = carrier()
    bits = np.resize(spelled, samples.size).astype(np.int16)
    # `wav` scales by 32,767 and rounds down: half a step above the sample it is this one.
    return wav(((samples & ~1) | bits) / 32_767 + np.sign(samples | 1) * 1e-9)


def heard(samples: NDArray[np.float32]) -> str:
    """What is hidden in sound of -1..1 at 16 kHz; "" where nothing is."""
    bits = (np.rint(samples * 32_768).astype(np.int64) & 1).astype(np.uint8)
    for shift in range(8):
        content = np.packbits(bits[shift:]).tobytes()
        at = content.find(MARK)
        while at >= 0:
            start = at + len(MARK) + 2
            length = int.from_bytes(content[start - 2 : start], "big")
            if len(said := content[start : start + length]) == length:
                return said.decode()
            at = content.find(MARK, at + 1)
    return ""
