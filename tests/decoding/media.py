"""Media the tests make themselves, with PyAV: every container and codec that is heard."""

import io
import struct
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

#: Hz; channel n carries TONES[n], so that channels can be told apart.
TONES = (440, 880, 1320, 660, 1100, 220, 1540, 330)
LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 6: "5.1", 8: "7.1"}
AMPLITUDE = 0.5


@dataclass(frozen=True, slots=True)
class Media:
    """What to encode."""

    muxer: str
    codec: str
    rate: int = 16_000
    channels: int = 1
    seconds: float = 2.0
    video: bool = False
    silent: bool = False
    options: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()  #: title, comment and the like

    def data(self) -> bytes:
        """The whole file."""
        # By name: a muxer that moves the index to the front opens its own file again.
        with tempfile.NamedTemporaryFile() as file:
            self.write(file.name)
            return Path(file.name).read_bytes()

    def write(self, path: str) -> None:
        """The same, to a file."""
        with av.open(path, "w", format=self.muxer, options=dict(self.options)) as out:
            out.metadata.update(self.tags)
            # FFmpeg calls its Vorbis encoder experimental.
            sound = out.add_stream(
                self.codec,
                rate=self.rate,
                layout=LAYOUTS[self.channels],
                options={"strict": "experimental"},
            )
            if self.video:
                self._film(out)
            for frame in self._frames(sound.codec_context.format.name):
                out.mux(sound.encode(frame))
            out.mux(sound.encode(None))

    def _frames(self, sample_format: str):
        """One-second frames in the encoder's own sample format."""
        resampler = av.AudioResampler(format=sample_format)
        n_samples = round(self.rate * self.seconds)
        silence = np.zeros((self.channels, n_samples), "f4")
        signal = silence if self.silent else tones(self.rate, self.channels, self.seconds)
        for start in range(0, signal.shape[1], self.rate):
            piece = signal[:, start : start + self.rate]
            # Interleaved: PyAV cannot fill eight planes.
            packed = np.ascontiguousarray(piece.T).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(packed, "flt", LAYOUTS[self.channels])
            frame.sample_rate, frame.pts = self.rate, start
            frame.time_base = Fraction(1, self.rate)
            yield from resampler.resample(frame)

    def _film(self, out) -> None:
        picture = out.add_stream("mpeg4", rate=10, width=64, height=64, pix_fmt="yuv420p")
        for n in range(int(self.seconds * 10)):
            frame = av.VideoFrame(64, 64, "yuv420p")
            frame.pts, frame.time_base = n, Fraction(1, 10)
            out.mux(picture.encode(frame))
        out.mux(picture.encode(None))


def tones(rate: int, channels: int, seconds: float) -> NDArray[np.float32]:
    """One sine a channel, shape (channels, n)."""
    t = np.arange(round(rate * seconds)) / rate
    return np.stack([AMPLITUDE * np.sin(2 * np.pi * f * t) for f in TONES[:channels]]).astype("f4")


def film_without_sound() -> bytes:
    """A video of a second."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as out:
        Media("mp4", "aac", seconds=1.0)._film(out)
    return file.getvalue()


def wav(
    samples: bytes, *, rate: int = 16_000, channels: int = 1, bits: int = 16, data_size: int = -1
) -> bytes:
    """A RIFF file by hand, for headers no encoder would write."""
    width = channels * bits // 8
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * width & 0xFFFFFFFF, width, bits)
    size = len(samples) if data_size < 0 else data_size
    body = b"WAVE" + chunk(b"fmt ", form) + b"data" + struct.pack("<I", size) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body


def box(name: bytes, body: bytes) -> bytes:
    """An ISO base media box."""
    return struct.pack(">I4s", 8 + len(body), name) + body


def loudest_hz(samples: NDArray[np.float32], rate: int = 16_000) -> float:
    """The frequency that carries most of the sound."""
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(samples.size)))
    return float(np.argmax(spectrum) * rate / samples.size)


def level(samples: NDArray[np.float32], hz: float, rate: int = 16_000) -> float:
    """Amplitude of the tone at `hz`."""
    t = np.arange(samples.size) / rate
    return float(2 * abs(np.mean(samples * np.exp(-2j * np.pi * hz * t))))
