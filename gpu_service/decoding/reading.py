"""bytes -> container -> audio track -> frames -> blocks; runs inside the decoder process.

Everything here meets hostile bytes. Formats and codecs are lists of what is allowed; FFmpeg
may open nothing beside the bytes it is given.
"""

from collections.abc import Iterator
from itertools import chain

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Discard

from gpu_service.decoding.endings import has_frame_count, is_cut
from gpu_service.decoding.references import refers_elsewhere
from gpu_service.decoding.sealed_file import SealedFile
from gpu_service.decoding.shaping import Shaper, silence
from gpu_service.decoding.sniffing import HEAD_BYTES, MP4, Kind, kind_of
from gpu_service.decoding.wire import SAMPLE_BYTES
from shared.domain.sound import MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ, SAMPLE_RATE, Caution, Facts
from shared.errors import (
    DamagedAudio,
    NoAudioTrack,
    ReferencesElsewhere,
    UnsupportedAudio,
    UnusualSignal,
)

#: FFmpeg's names. PCM of every width, G.711, and what the containers we hear usually carry:
#: phones record ALAC into m4a, films carry AC-3, broadcasters keep MP2.
CODECS = frozenset(
    {
        *("pcm_u8", "pcm_s8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le"),
        *("pcm_s32be", "pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be"),
        *("pcm_mulaw", "pcm_alaw", "flac", "alac", "mp3", "mp2", "aac", "opus", "vorbis"),
        *("ac3", "eac3"),
    }
)
#: Decoders that find_stream_info may start: ours under the names FFmpeg gives its variants.
DECODERS = ",".join(sorted(CODECS | {"mp3float", "mp2float"}))
#: Bytes FFmpeg reads to learn what the streams are; its default of 5 MB is for video, whose
#: decoders are not allowed here.
PROBE_BYTES = 1 << 20
#: Bytes a read asks for; PyAV's default of 32 KiB costs WAV a tenth of its decoding in calls.
READ_BYTES = 128 << 10
#: Streams a file may have; FFmpeg's default is 1000.
MAX_STREAMS = 64
#: Seconds the decoded sound may fall short of the header's promise: priming, padding, rounding.
TOLERANCE_S = 0.5
#: Containers whose header is a promise. MP3 without a frame count and ADTS only estimate.
PROMISING = frozenset({"flac", "aiff", "mp4", "mov", "matroska", "webm", "ogg"})

#: Seconds the time stamps may run ahead of the samples before silence is put in: far more than
#: rounding (Matroska counts milliseconds), far less than a word.
GAP_S = 0.1
#: Seconds of silence put in at once, at most; beyond it time stamps are taken for nonsense.
MAX_GAP_S = 600.0

CUT_SHORT = Caution("cut_short", "The file ends early; what is there was heard.")
DAMAGED_PARTS = Caution("damaged_parts", "Parts of the file are damaged and were skipped.")
GAPS = Caution("gaps", "Sound is missing in places; silence stands there to keep times true.")
OTHER_TRACKS = Caution("other_tracks", "The file has several audio tracks; one was heard.")


class Reading:
    """One recording being decoded.

    Raises (from the constructor and from `blocks`): NotAudio, UnsupportedAudio, DamagedAudio,
    NoAudioTrack, UnusualSignal, ReferencesElsewhere; MemoryError where the limit was met.
    """

    def __init__(self, file: SealedFile, *, separate: bool) -> None:
        self._file = file
        self._kind = kind_of(file)
        if self._kind.demuxer == MP4 and refers_elsewhere(file):
            raise ReferencesElsewhere
        self._container = _opened(file, self._kind)
        self._stream = _audio_track(self._container)
        self._broken = self._broken_last = self._ended_badly = False
        self._frames = self._decoded()
        # What the decoder gives is the truth: HE-AAC headers name half the rate and channels.
        self._first = self._first_frame()
        self.facts = self._facts()
        self.promises = self._promise()
        self.n_channels = self.facts.channels if separate else 1
        self._n_samples = 0
        self._clock = _Clock(_start_s(self._container))

    def close(self) -> None:
        self._container.close()

    def blocks(self) -> Iterator[memoryview]:
        """float32, (n_samples, n_channels) in C order, 16 kHz; all but few of one second."""
        for block in self._shaped():
            self._n_samples += len(block) // (SAMPLE_BYTES * self.n_channels)
            yield block

    def cautions(self) -> list[Caution]:
        """What the reader must know; complete once `blocks` has ended."""
        promised_s = (self.facts.duration_s or 0.0) if self.promises else 0.0
        short = promised_s - self._n_samples / SAMPLE_RATE > TOLERANCE_S
        cut = short or self._broken_last or self._ended_badly
        found = [CUT_SHORT] if cut or is_cut(self._file, self._kind.container) else []
        found += [DAMAGED_PARTS] if self._broken and not self._broken_last else []
        found += [GAPS] if self._clock.gaps else []
        found += [OTHER_TRACKS] if len(self._container.streams.audio) > 1 else []
        return found

    def _shaped(self) -> Iterator[memoryview]:
        shaper = Shaper(self._first, self.n_channels)
        for frame in chain([self._first], self._frames):
            gap_s = self._clock.gap_before(frame)
            if gap_s or not shaper.fits(frame):
                _check(frame)
                yield from shaper.flush()
                yield from silence(gap_s, self.n_channels)
                shaper = Shaper(frame, self.n_channels)
            yield from shaper.push(frame)
        yield from shaper.flush()

    def _first_frame(self) -> AudioFrame:
        first = next(self._frames, None)
        if first is None:
            raise DamagedAudio("No sound can be read from this file. Export it again.")
        _check(first)
        return first

    def _decoded(self) -> Iterator[AudioFrame]:
        for packet in self._packets():
            try:
                frames = self._stream.codec_context.decode(packet)
            except MemoryError:
                raise
            except FFmpegError:
                self._broken_last = self._broken = True
                continue
            if packet is not None and packet.size:
                self._broken_last = False
            yield from (frame for frame in frames if frame.samples)

    def _packets(self) -> Iterator["Packet[AudioStream] | None"]:
        """Every packet of the track; None asks the decoder for what it still holds."""
        try:
            yield from self._container.demux(self._stream)
        except MemoryError:
            raise
        except FFmpegError:
            self._ended_badly = True
            yield None

    def _facts(self) -> Facts:
        return Facts(
            container=self._kind.container,
            codec=self._stream.codec_context.codec.canonical_name,
            sample_rate_hz=self._first.sample_rate,
            channels=self._first.layout.nb_channels,
            duration_s=_duration_s(self._container, self._stream),
        )

    def _promise(self) -> bool:
        """True where the duration is what the header says and not an estimate of FFmpeg's."""
        container = self._kind.container
        counted = container == "mp3" and has_frame_count(self._file.at(0, HEAD_BYTES))
        return counted or container in PROMISING


class _Clock:
    """Where the samples so far end, against where the time stamps say a frame begins."""

    def __init__(self, start_s: float) -> None:
        self._start_s = self._end_s = start_s
        self.gaps = False  #: something was missing after the beginning

    def gap_before(self, frame: AudioFrame) -> float:
        """Seconds of silence that belong before this frame: lost pages, a track that starts late.

        Time stamps that jump back (a chained stream begins anew) start the count again.
        """
        time_s = self._end_s if frame.time is None else frame.time
        ahead_s = time_s - self._end_s
        gap_s = ahead_s if GAP_S < ahead_s <= MAX_GAP_S else 0.0
        if abs(ahead_s) > GAP_S:
            self.gaps |= ahead_s > 0 and self._end_s > self._start_s
            self._end_s = time_s
        self._end_s += frame.samples / frame.sample_rate
        return gap_s


def _opened(file: SealedFile, kind: Kind) -> InputContainer:
    try:
        return av.open(
            file,
            "r",
            format=kind.demuxer,
            metadata_errors="replace",
            buffer_size=READ_BYTES,
            io_open=_refuse,
            container_options={
                "codec_whitelist": DECODERS,
                "format_whitelist": kind.demuxer,
                "protocol_whitelist": "none",
                "enable_drefs": "0",
                "use_absolute_path": "0",
                "probesize": str(PROBE_BYTES),
                "max_streams": str(MAX_STREAMS),
            },
        )
    except MemoryError:  # PyAV's own is an FFmpegError too
        raise
    except FFmpegError as error:
        raise DamagedAudio from error


def _refuse(*_: object) -> None:
    """FFmpeg wants to open another file or address."""
    raise ReferencesElsewhere


def _audio_track(container: InputContainer) -> AudioStream:
    """The track to hear: the one FFmpeg calls best; all others are not even read."""
    if not container.streams.audio:
        raise NoAudioTrack
    best = container.streams.best("audio")
    stream = best if isinstance(best, AudioStream) else container.streams.audio[0]
    _check_codec(stream)
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all
    stream.codec_context.thread_count = 1
    return stream


def _check_codec(stream: AudioStream) -> None:
    context = stream.codec_context
    name = context.codec.canonical_name if context is not None else "unknown"
    if name not in CODECS:
        raise UnsupportedAudio(
            f"Sound coded as {name} is not heard. Convert it to WAV, FLAC, MP3, Ogg, M4A or WebM."
        )


def _check(frame: AudioFrame) -> None:
    n, rate = frame.layout.nb_channels, frame.sample_rate
    if not 1 <= n <= MAX_CHANNELS or not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
        raise UnusualSignal(
            f"The sound has {n} channels at {rate} Hz; at most {MAX_CHANNELS} channels and "
            f"{MIN_RATE_HZ} to {MAX_RATE_HZ} Hz are heard. Convert the file first."
        )


def _start_s(container: InputContainer) -> float:
    """Where the whole file begins, sound and picture; players count from here."""
    return (container.start_time or 0) / av.time_base


def _duration_s(container: InputContainer, stream: AudioStream) -> float | None:
    """What the header says; None where it says nothing, or nothing possible."""
    said: float | None = None
    if stream.duration is not None and stream.time_base is not None:
        said = float(stream.duration * stream.time_base)
    elif container.duration is not None and not container.streams.video:
        said = container.duration / av.time_base
    return said if said is not None and said > 0 else None
