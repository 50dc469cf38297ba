"""What happens to speech on its way to us, at graded levels; and sounds that are no speech."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
import soxr
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, sosfilt

from gpu_service.engines.engine import Samples
from shared.domain.sound import SAMPLE_RATE

#: Root mean square that speech is brought to before anything is added: -26 dBov, the active
#: speech level of ITU-T P.56 and P.830.
SPEECH_RMS = 0.05
#: Highest sample that leaves here; louder mixtures are turned down, not clipped.
PEAK = 0.98
#: The band of a telephone line (ITU-T G.712), Hz.
TELEPHONE_HZ = (300.0, 3400.0)


@dataclass(frozen=True, slots=True)
class Condition:
    kind: str  #: a key of KINDS or OTHER_SOUNDS
    level: float = 0.0  #: unit by kind

    @property
    def id(self) -> str:
        return f"{self.kind}{self.level:g}" if self.level else self.kind


#: From mild to hopeless, so that answers are a mix of right and wrong. Levels were chosen on
#: voices and texts of the train part.
CONDITIONS: tuple[Condition, ...] = (
    Condition("clean"),
    Condition("white", 20),
    Condition("white", 12),
    Condition("white", 4),
    Condition("pink", 15),
    Condition("pink", 9),
    Condition("pink", 1),
    Condition("babble", 15),
    Condition("babble", 10),
    Condition("babble", 3),
    Condition("reverberation", 0.4),
    Condition("reverberation", 0.8),
    Condition("reverberation", 2.0),
    Condition("clipping", 20),
    Condition("clipping", 32),
    Condition("opus", 8),
    Condition("opus", 6),
    Condition("mp3", 8),
    Condition("amr", 4.75),
    Condition("telephone", 15),
    Condition("telephone", 8),
    Condition("lowpass", 2000),
    Condition("lowpass", 1200),
    Condition("speed", 1.3),
    Condition("speed", 1.6),
)
#: For voices that are hard to understand already: of espeak-ng's clean Spanish half is heard
#: right, of its French less.
MILD_CONDITIONS: tuple[Condition, ...] = (
    Condition("clean"),
    Condition("white", 25),
    Condition("pink", 18),
    Condition("babble", 18),
    Condition("reverberation", 0.3),
    Condition("clipping", 10),
    Condition("opus", 12),
    Condition("mp3", 16),
    Condition("amr", 12.2),
    Condition("telephone", 20),
    Condition("lowpass", 3400),
    Condition("speed", 1.15),
)


def degraded(speech: Samples, condition: Condition, others: Samples, dice: Generator) -> Samples:
    """`speech` under `condition`; `others` are the voices of a babble, at least as long.

    float32, shape (n_samples,), mono, 16 kHz, at most PEAK.
    """
    level = SPEECH_RMS / max(_rms(speech), 1e-6)
    changed = KINDS[condition.kind](speech * level, condition.level, others, dice)
    return _bounded(changed)


def _clean(speech: Samples, _level: float, _others: Samples, _dice: Generator) -> Samples:
    return speech


def _white(speech: Samples, snr_db: float, _others: Samples, dice: Generator) -> Samples:
    return _mixed(speech, coloured(speech.size, 0.0, dice), snr_db)


def _pink(speech: Samples, snr_db: float, _others: Samples, dice: Generator) -> Samples:
    return _mixed(speech, coloured(speech.size, 0.5, dice), snr_db)


def _babble(speech: Samples, snr_db: float, others: Samples, _dice: Generator) -> Samples:
    return _mixed(speech, np.resize(others, speech.size), snr_db)


def _reverberation(speech: Samples, t60_s: float, _others: Samples, dice: Generator) -> Samples:
    """A room whose sound falls by 60 dB in `t60_s`: noise under an exponential (Schroeder 1965),
    as loud as the direct sound is together with it (direct-to-reverberant ratio 0 dB).
    """
    time_s = np.arange(round(t60_s * SAMPLE_RATE)) / SAMPLE_RATE
    tail = dice.standard_normal(time_s.size) * 10 ** (-3 * time_s / t60_s)
    tail /= np.sqrt((tail**2).sum())
    tail[0] += 1.0
    return _samples(fftconvolve(speech, tail)[: speech.size + SAMPLE_RATE // 4])


def _clipping(speech: Samples, over_db: float, _others: Samples, _dice: Generator) -> Samples:
    """Recorded `over_db` above full scale, then turned down again."""
    return _samples(np.clip(speech * 10 ** (over_db / 20), -1.0, 1.0) * 0.3)


def _opus(speech: Samples, kbit_s: float, _others: Samples, _dice: Generator) -> Samples:
    return coded(speech, "ogg", "libopus", 16_000, kbit_s)


def _mp3(speech: Samples, kbit_s: float, _others: Samples, _dice: Generator) -> Samples:
    return coded(speech, "mp3", "libmp3lame", 16_000, kbit_s)


def _amr(speech: Samples, kbit_s: float, _others: Samples, _dice: Generator) -> Samples:
    return coded(speech, "amr", "libopencore_amrnb", 8_000, kbit_s)


def _telephone(speech: Samples, snr_db: float, _others: Samples, dice: Generator) -> Samples:
    """A noisy line: the noise passes the same band and code as the voice."""
    noisy = _mixed(speech, coloured(speech.size, 0.5, dice), snr_db)
    return coded(_band(_bounded(noisy), *TELEPHONE_HZ), "wav", "pcm_mulaw", 8_000)


def _lowpass(speech: Samples, to_hz: float, _others: Samples, _dice: Generator) -> Samples:
    return _samples(sosfilt(butter(8, to_hz, fs=SAMPLE_RATE, output="sos"), speech))


def _speed(speech: Samples, times: float, _others: Samples, _dice: Generator) -> Samples:
    """Played `times` as fast: shorter and higher."""
    return _samples(soxr.resample(speech, SAMPLE_RATE * times, SAMPLE_RATE))


Change = Callable[[Samples, float, Samples, Generator], Samples]
#: The unit of a level: dB of signal over noise for noises, seconds to -60 dB, dB over full
#: scale, kbit/s, Hz, times.
KINDS: Mapping[str, Change] = {
    "clean": _clean,
    "white": _white,
    "pink": _pink,
    "babble": _babble,
    "reverberation": _reverberation,
    "clipping": _clipping,
    "opus": _opus,
    "mp3": _mp3,
    "amr": _amr,
    "telephone": _telephone,
    "lowpass": _lowpass,
    "speed": _speed,
}


def silence(seconds: float, dice: Generator) -> Samples:
    """Nothing, or the last bit of a converter at rest."""
    quiet = dice.integers(-1, 2, round(seconds * SAMPLE_RATE)) / 32_768
    return (quiet * dice.integers(0, 2)).astype(np.float32)


def tone(seconds: float, dice: Generator) -> Samples:
    """A steady tone, as of a line or a machine."""
    return _note(seconds, float(dice.uniform(80, 4000))) * np.float32(dice.uniform(0.02, 0.5))


def beeps(seconds: float, dice: Generator) -> Samples:
    """A tone that is on and off, as of a busy line."""
    period = round(dice.uniform(0.2, 1.0) * SAMPLE_RATE)
    on = np.arange(round(seconds * SAMPLE_RATE)) % period < period // 2
    return (tone(seconds, dice) * on).astype(np.float32)


def chords(seconds: float, dice: Generator) -> Samples:
    """Music-like: triads of decaying harmonics, two a second."""
    parts = []
    for _ in range(int(2 * seconds)):
        root = 110.0 * 2 ** (int(dice.integers(0, 24)) / 12)
        third = 2 ** (int(dice.integers(3, 5)) / 12)
        triad = sum(_plucked(0.5, root * up) for up in (1.0, third, 2 ** (7 / 12)))
        parts.append(triad)
    return _bounded(np.concatenate(parts) * dice.uniform(0.05, 0.3))


def hiss(seconds: float, dice: Generator) -> Samples:
    """Noise alone, white to brown."""
    noise = coloured(round(seconds * SAMPLE_RATE), float(dice.choice([0.0, 0.5, 1.0])), dice)
    return _bounded(noise * 10 ** (dice.uniform(-50, -10) / 20))


#: Sounds nobody speaks in (A4).
OTHER_SOUNDS: Mapping[str, Callable[[float, Generator], Samples]] = {
    "silence": silence,
    "tone": tone,
    "beeps": beeps,
    "chords": chords,
    "hiss": hiss,
}


def coded(
    speech: Samples, container: str, codec: str, rate_hz: int, kbit_s: float | None = None
) -> Samples:
    """`speech` written with `codec` and read back, at the length it had."""
    sound = soxr.resample(speech, SAMPLE_RATE, rate_hz)
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream: Any = out.add_stream(codec, rate=rate_hz, layout="mono")
        if kbit_s:
            stream.bit_rate = round(kbit_s * 1000)
        for packet in _packets(stream, np.rint(_bounded(sound) * 32_767).astype(np.int16), rate_hz):
            out.mux(packet)
    heard = _read(file.getvalue())
    return np.resize(np.append(heard, np.zeros(speech.size, np.float32)), speech.size)


def _packets(stream: Any, sound: NDArray[np.int16], rate_hz: int) -> list[Any]:
    frame = av.AudioFrame.from_ndarray(sound[None, :], format="s16", layout="mono")
    frame.sample_rate, frame.pts = rate_hz, 0
    return [*stream.encode(frame), *stream.encode(None)]


def _read(data: bytes) -> Samples:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
    with av.open(io.BytesIO(data), "r") as file:
        frames = [f for frame in file.decode(audio=0) for f in resampler.resample(frame)]
    frames += resampler.resample(None)
    return np.concatenate([f.to_ndarray()[0] for f in frames]).astype(np.float32)


def coloured(size: int, slope: float, dice: Generator) -> Samples:
    """Noise whose amplitude falls with frequency to the power of `slope` (0 white, 0.5 pink,
    1 brown), at a root mean square of 1.
    """
    spectrum = np.fft.rfft(dice.standard_normal(size))
    # From 20 Hz, or the rumble below what is heard holds most of the energy of a steep slope.
    frequencies = np.maximum(np.fft.rfftfreq(size, 1 / SAMPLE_RATE), 20.0)
    shaped = np.fft.irfft(spectrum / frequencies**slope, size)
    return _samples(shaped / _rms(shaped))


def _mixed(speech: Samples, noise: Samples, snr_db: float) -> Samples:
    gain = _rms(speech) / max(_rms(noise), 1e-9) * 10 ** (-snr_db / 20)
    return (speech + noise * gain).astype(np.float32)


def _band(speech: Samples, low_hz: float, high_hz: float) -> Samples:
    sections = butter(6, (low_hz, high_hz), "bandpass", fs=SAMPLE_RATE, output="sos")
    return _samples(sosfilt(sections, speech))


def _note(seconds: float, hz: float) -> Samples:
    time_s = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return np.sin(2 * np.pi * hz * time_s).astype(np.float32)


def _plucked(seconds: float, hz: float) -> Samples:
    decay = np.exp(-3 * np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE)
    partials = sum(_note(seconds, hz * n) / n for n in range(1, 6))
    return (partials * decay / 3).astype(np.float32)


def _bounded(sound: NDArray[Any]) -> Samples:
    peak = float(np.abs(sound).max(initial=0.0))
    return _samples(sound * (PEAK / peak) if peak > PEAK else sound)


def _samples(values: NDArray[Any]) -> Samples:
    return np.asarray(values, np.float32)


def _rms(sound: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))
