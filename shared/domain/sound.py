"""What we know of a piece of sound before any engine has heard it."""

from dataclasses import dataclass

#: Hz. Every engine we serve was trained at this rate; decoding resamples to it.
SAMPLE_RATE = 16_000
#: Seconds. Whisper and Qwen2-Audio see 30 s at most; 2 s stay free for the padding around speech.
MAX_SEGMENT_S = 28.0
MAX_CHANNELS = 8
MIN_RATE_HZ, MAX_RATE_HZ = 4_000, 384_000

#: From and to, in seconds.
Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a tenant's tier lets one file be; counted while decoding, whatever the header says."""

    max_seconds: float
    max_bytes: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What the container says of the sound; `duration_s` is replaced by what was decoded."""

    container: str  #: our short name: wav, flac, mp3, ogg, mp4, matroska, aiff, caf ...
    codec: str  #: as FFmpeg names it: pcm_s16le, mp3, opus, aac ...
    sample_rate_hz: int
    channels: int
    duration_s: float | None  #: None where the header does not say


@dataclass(frozen=True, slots=True)
class Quality:
    """How well the sound was recorded, measured on the 16 kHz mono mix."""

    peak_dbfs: float | None  #: highest absolute sample; None for digital silence
    clipped_share: float  #: share of samples at or above 0.999 of full scale, 0..1
    loudness_lufs: float | None  #: integrated, ITU-R BS.1770-4; None below the absolute gate
    silence_share: float  #: share of 20 ms frames below -60 dBFS, 0..1
    noise_dbfs: float | None  #: 10th percentile of frame levels that are not digital silence


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of sound of at most MAX_SEGMENT_S: the unit of work, checkpoint and payment."""

    index: int  #: position in the plan of its task, from 0
    start_s: float
    end_s: float
    channel: int | None = None  #: None = the mix

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class Caution:
    """Something the reader of a result must know: what was cut, skipped or degraded."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Survey:
    """All that one pass over a recording tells: what it is, how good, and where speech is."""

    facts: Facts  #: with the decoded duration
    quality: Quality
    speech: tuple[Segment, ...]  #: where somebody may speak, cut at silences
    windows: tuple[Segment, ...]  #: the whole time line in pieces, for tasks that need all of it
    cautions: tuple[Caution, ...]
    plan: str  #: names the way the segments were cut; checkpoints of another plan are void
    #: For each channel, sorted and apart: where one of two detectors hears a voice. Empty where
    #: nobody looked: then segments are taken for speech from end to end.
    voiced: tuple[tuple[Span, ...], ...] = ()
    #: For each channel, sorted and apart: what is loud and what neither detector takes for speech.
    unexplained: tuple[tuple[Span, ...], ...] = ()
