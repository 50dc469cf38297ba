"""Speech made by flite, sounds that are none, and the word error rate of what was heard."""

import io
import re
import shutil
import subprocess
from functools import cache

import numpy as np
import pytest
import soundfile
import soxr

from gpu_service.engines.engine import Clip, Samples, Span
from shared.domain.agreement import edits
from shared.domain.sound import SAMPLE_RATE

VOICES = ("slt", "rms", "awb", "kal16")
SENTENCES = (
    "The weather report promised heavy rain and strong winds along the coast.",
    "Our train was delayed because a tree had fallen across the tracks.",
    "We should meet at the station and walk to the museum together.",
    "The children laughed when the clown dropped his enormous red hat.",
    "Nobody remembered where the keys to the garden shed were kept.",
    "The engineer explained how the bridge carries the weight of the traffic.",
    "In winter the mountains are covered with deep snow for several months.",
    "The company will announce its new product at the end of the month.",
    "He opened the window and listened to the birds singing in the trees.",
    "My grandmother told wonderful stories about her life on the farm.",
    "The library closes early today because of the public holiday.",
    "They painted the kitchen walls yellow and the ceiling white.",
)


@cache
def said(text: str, voice: str = "slt") -> Samples:
    """`text` spoken by flite; float32, mono, 16 kHz."""
    return _spoken("flite", "-voice", voice, "-t", text, "-o", "/dev/stdout")


@cache
def pronounced(text: str, language: str) -> Samples:
    """`text` spoken by espeak-ng in `language`; as `said`, but harder to understand."""
    return _spoken("espeak-ng", "-v", language, "-s", "140", "--stdout", text)


@cache
def slowly(text: str, voice: str) -> Samples:
    """`text` spoken by a deep, slow voice of espeak-ng: Whisper base takes its French for French
    (0.62), while it takes that of `pronounced` for Thai.
    """
    return _spoken("espeak-ng", "-v", voice, "-s", "120", "-p", "30", "--stdout", text)


def _spoken(program: str, *arguments: str) -> Samples:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed (apt-get install {program})")
    wav = subprocess.run([program, *arguments], check=True, capture_output=True).stdout
    samples, rate = soundfile.read(io.BytesIO(_with_sizes(wav)), dtype="float32")
    heard = samples if rate == SAMPLE_RATE else soxr.resample(samples, rate, SAMPLE_RATE)
    return np.ascontiguousarray(heard, np.float32)


def _with_sizes(wav: bytes) -> bytes:
    """Put in the sizes that a program writing to a pipe could not know."""
    at = wav.index(b"data") + 4
    sized = wav[:4] + (len(wav) - 8).to_bytes(4, "little") + wav[8:at]
    return sized + (len(wav) - at - 4).to_bytes(4, "little") + wav[at + 4 :]


def clip(
    samples: Samples,
    tenant: str = "acme",
    language: str | None = None,
    speech: tuple[Span, ...] | None = None,
) -> Clip:
    return Clip(np.asarray(samples, np.float32), tenant, language, speech)


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)


def noise(seconds: float, slope: float = 0.0, peak: float = 0.3, seed: int = 7) -> Samples:
    """Noise whose amplitude falls with frequency to the power of `slope`: 0 white, 0.5 pink."""
    size = round(seconds * SAMPLE_RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(size))
    shaped = np.fft.irfft(spectrum / np.arange(1, spectrum.size + 1) ** slope, size)
    return (peak * shaped / np.abs(shaped).max()).astype(np.float32)


def tone(seconds: float, hz: float, peak: float = 0.3) -> Samples:
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (peak * np.sin(2 * np.pi * hz * t)).astype(np.float32)


def music(seconds: float, beat_s: float = 0.5) -> Samples:
    """Chords with overtones, struck anew at every beat."""
    chords = ((262, 330, 392), (220, 262, 330), (175, 220, 262), (196, 247, 294))
    t = np.arange(round(beat_s * SAMPLE_RATE)) / SAMPLE_RATE
    stroke = np.exp(-2 * t) * np.minimum(1, 50 * t)
    beats = [
        stroke * sum(np.sin(2 * np.pi * f * h * t) / h for f in chord for h in (1, 2, 3, 4))
        for chord in chords
    ]
    return (0.08 * np.concatenate(beats * round(seconds / beat_s / 4))).astype(np.float32)


NO_SPEECH = {
    "silence": silence(8),
    "almost silence": noise(8, peak=0.001),
    "white noise": noise(8),
    "loud white noise": noise(8, peak=0.95),
    "pink noise": noise(8, slope=0.5),
    "brown noise": noise(8, slope=1.0),
    "tone 440 Hz": tone(8, 440),
    "tone 1 kHz": tone(8, 1_000),
    "mains hum": tone(8, 50),
    "music": music(8),
    "fast music": music(8, beat_s=0.25),
    "28 s of noise": noise(28),
}


def normal(text: str) -> list[str]:
    """Lower-case words without punctuation."""
    return re.sub(r"[^a-z' ]", " ", text.lower()).split()


def word_error_rate(references: list[str], heard: list[str]) -> float:
    """Insertions, deletions and substitutions over all pairs, per reference word."""
    pairs = [(normal(r), normal(h)) for r, h in zip(references, heard, strict=True)]
    return sum(edits(r, h) for r, h in pairs) / sum(len(r) for r, _ in pairs)
