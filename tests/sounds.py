"""Small sound files made by hand."""

import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np


def wav(samples: np.ndarray, rate: int = 16_000) -> bytes:
    """Mono PCM 16 of float samples in -1..1."""
    data = (np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes()
    head = struct.pack(
        "<4sI4s4sIHHIIHH",
        b"RIFF",
        36 + len(data),
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        rate,
        2 * rate,
        2,
        16,
    )
    return head + struct.pack("<4sI", b"data", len(data)) + data


def silence_wav(seconds: float, rate: int = 16_000) -> bytes:
    return wav(np.zeros(round(seconds * rate)), rate)


def tone_wav(seconds: float, rate: int = 16_000, hertz: float = 440.0) -> bytes:
    t = np.arange(round(seconds * rate)) / rate
    return wav(0.3 * np.sin(2 * np.pi * hertz * t), rate)


def speech(text: str, voice: str = "slt") -> bytes:
    """Debian's flite says it: 16 kHz mono PCM 16."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", path], check=True)
        return path.read_bytes()


def stereo_wav(left: bytes, right: bytes) -> bytes:
    """Two mono PCM 16 files of ours side by side; the shorter is padded with silence."""
    channels = [np.frombuffer(one[44:], dtype="<i2") for one in (left, right)]
    both = np.zeros((max(map(len, channels)), 2), dtype="<i2")
    for n, samples in enumerate(channels):
        both[: len(samples), n] = samples
    data = both.tobytes()
    head = struct.pack(
        *("<4sI4s4sIHHIIHH", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 2),
        *(16_000, 64_000, 4, 16),
    )
    return head + struct.pack("<4sI", b"data", len(data)) + data
