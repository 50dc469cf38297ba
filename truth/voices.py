"""Who speaks: Debian's two synthesizers, and which voice belongs to which part of the set."""

import hashlib
import io
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from gpu_service.engines.engine import Samples
from shared.domain.sound import SAMPLE_RATE
from truth.corpus import Part


@dataclass(frozen=True, slots=True)
class Voice:
    """A speaker. `timbre` is what makes two of them different people: flite's voice, or
    espeak-ng's variant; no two parts share one.
    """

    program: str  #: flite or espeak-ng
    timbre: str
    accent: str = ""  #: espeak-ng's voice, such as en-gb-scotland
    words_per_minute: int = 0  #: espeak-ng only
    stretch: float = 1.0  #: flite only: how many times as long as usual
    pitch: int = 0  #: espeak-ng 0..99, flite Hz; 0 = the voice's own

    @property
    def id(self) -> str:
        """Short and unique: voice, then what is unusual about it."""
        manner = [f"x{self.stretch:g}"] if self.stretch != 1.0 else []
        manner += [f"p{self.pitch}"] if self.pitch else []
        return "-".join([self.timbre, *([self.accent] if self.accent else []), *manner])

    def command(self, words: str) -> list[str]:
        """What makes the program write `words` as a WAV file to its output."""
        if self.program == "flite":
            how = ["--setf", f"duration_stretch={self.stretch}"]
            how += ["--setf", f"int_f0_target_mean={self.pitch}"] if self.pitch else []
            return ["flite", "-voice", self.timbre, *how, "-t", words, "-o", "/dev/stdout"]
        pitch = ["-p", str(self.pitch)] if self.pitch else []
        name = f"{self.accent}+{self.timbre}"
        pace = str(self.words_per_minute)
        return ["espeak-ng", "-v", name, "-s", pace, *pitch, "--stdout", words]


def flite(voice: str, stretch: float = 1.0, pitch: int = 0) -> Voice:
    return Voice("flite", voice, stretch=stretch, pitch=pitch)


def espeak(accent: str, variant: str, words_per_minute: int = 165, pitch: int = 0) -> Voice:
    return Voice("espeak-ng", variant, accent, words_per_minute, pitch=pitch)


#: (language, part) -> its voices. kal and kal16 are one man at two rates, so they stay together.
#: flite speaks English only. espeak-ng has two Spanish and three French accents for three
#: parts; there the variants alone keep the parts apart.
VOICES: Mapping[tuple[str, Part], tuple[Voice, ...]] = {
    ("en", Part.TRAIN): (
        flite("kal16"),
        flite("kal16", 0.85),
        flite("kal", 1.0, 130),
        espeak("en-us", "m1", 150),
        espeak("en-us-nyc", "f2", 150),
    ),
    ("en", Part.CALIBRATION): (
        flite("awb"),
        flite("awb", 0.85),
        flite("awb", 1.0, 160),
        espeak("en-gb-x-rp", "m2", 150),
        espeak("en-gb", "f1", 150),
    ),
    ("en", Part.TEST): (
        flite("slt"),
        flite("rms"),
        flite("slt", 0.85),
        flite("rms", 0.85),
        flite("slt", 1.0, 210),
        flite("rms", 1.0, 130),
        flite("slt", 1.2),
        flite("rms", 1.2),
        espeak("en-gb-scotland", "m3", 150),
    ),
    ("es", Part.TRAIN): (
        espeak("es", "m1", 140),
        espeak("es-419", "f2", 140),
        espeak("es", "m1", 140, 30),
        espeak("es-419", "f2", 140, 30),
        espeak("es", "klatt4", 140),
        espeak("es-419", "klatt4", 140),
    ),
    ("es", Part.CALIBRATION): (
        espeak("es", "m2", 140),
        espeak("es-419", "f1", 140),
        espeak("es", "m2", 140, 30),
        espeak("es-419", "f1", 140, 30),
        espeak("es", "klatt2", 140),
        espeak("es-419", "klatt2", 140),
    ),
    ("es", Part.TEST): (
        espeak("es", "m3", 140),
        espeak("es-419", "f3", 140),
        espeak("es-419", "Andrea", 140),
    ),
    # Of French as espeak-ng says it Whisper base hears 2 % of the train part right; of this, slow
    # and low, 8 %. So it takes many to learn from.
    ("fr", Part.TRAIN): (
        espeak("fr", "m1", 120, 30),
        espeak("fr-be", "m4", 120, 30),
        espeak("fr", "m1", 120, 40),
        espeak("fr", "m1", 120, 20),
        espeak("fr-be", "m1", 120, 30),
        espeak("fr", "klatt4", 120),
        espeak("fr", "klatt4", 120, 20),
        espeak("fr-be", "klatt4", 120),
        espeak("fr", "klatt4", 120, 30),
        espeak("fr-be", "m4", 120, 20),
    ),
    ("fr", Part.CALIBRATION): (
        espeak("fr", "m2", 120, 30),
        espeak("fr-be", "m5", 120, 30),
        espeak("fr", "m2", 120, 40),
        espeak("fr", "m2", 120, 20),
        espeak("fr-be", "m2", 120, 30),
        espeak("fr", "klatt2", 120),
        espeak("fr", "klatt2", 120, 20),
        espeak("fr-be", "klatt2", 120),
    ),
    ("fr", Part.TEST): (
        espeak("fr", "m3", 120, 30),
        espeak("fr-ch", "m7", 120, 30),
        espeak("fr-ch", "m8", 120, 30),
    ),
}


def say(voice: Voice, words: str, kept: Path) -> Samples:
    """`words` in that voice; float32, shape (n_samples,), mono, 16 kHz, -1..1.

    What the program wrote is kept in `kept` by the digest of its command, so saying it again
    reads a file. Safe to repeat.

    Raises:
        FileNotFoundError: the program is not installed.
    """
    command = voice.command(words)
    path = kept / f"{hashlib.sha256(repr(command).encode()).hexdigest()[:24]}.wav"
    if not path.exists():
        wav = subprocess.run(command, check=True, capture_output=True).stdout
        kept.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{id(wav)}")
        part.write_bytes(_with_sizes(wav))
        part.replace(path)
    samples, rate = soundfile.read(io.BytesIO(path.read_bytes()), dtype="float32")
    return np.ascontiguousarray(soxr.resample(samples, rate, SAMPLE_RATE), np.float32)


def _with_sizes(wav: bytes) -> bytes:
    """Put in the sizes that a program writing to a pipe could not know."""
    at = wav.index(b"data") + 4
    sized = wav[:4] + (len(wav) - 8).to_bytes(4, "little") + wav[8:at]
    return sized + (len(wav) - at - 4).to_bytes(4, "little") + wav[at + 4 :]
