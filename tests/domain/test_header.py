"""The header probe: what it says of real files, and that hostile bytes end in an answer."""

import io
import struct
from fractions import Fraction
from functools import cache

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared import errors
from shared.domain.header import HEAD_BYTES, TAIL_BYTES, Probe, probe

MIB = 1 << 20


class Counting:
    """A ranged read that remembers what it was asked for."""

    def __init__(self, data: bytes) -> None:
        self.data, self.asked = data, []

    def __call__(self, start: int, length: int, /) -> bytes:
        self.asked.append((start, length))
        return self.data[start : start + length]


class Sparse:
    """A big file of zeros with something at some places; nobody makes the zeros."""

    def __init__(self, size: int, **pieces: tuple[int, bytes]) -> None:
        self.size, self.pieces, self.asked = size, list(pieces.values()), []

    def __call__(self, start: int, length: int, /) -> bytes:
        self.asked.append((start, length))
        window = bytearray(min(length, self.size - start))
        for at, data in self.pieces:
            low, high = max(at, start), min(at + len(data), start + len(window))
            if low < high:
                window[low - start : high - start] = data[low - at : high - at]
        return bytes(window)


def look(data: bytes) -> Probe:
    return probe(len(data), Counting(data))


def look_sparsely(file: Sparse) -> Probe:
    found = probe(file.size, file)
    assert len(file.asked) <= 3
    assert sum(length for _, length in file.asked) <= MIB
    return found


# Files


@cache
def made(
    container: str,
    codec: str | None,
    rate: int = 16_000,
    layout: str = "mono",
    seconds: float = 6.0,
    video: bool = False,
    **options: str,
) -> bytes:
    """A file with a tone (and a black picture), made by FFmpeg."""
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options) as out:
        picture = out.add_stream("mpeg4", rate=10) if video else None
        # FFmpeg's own Vorbis encoder asks to be called experimental.
        strict = {"strict": "experimental"}
        sound = codec and out.add_stream(codec, rate=rate, options=strict, layout=layout)
        if picture:
            _black(out, picture, seconds)
        if sound:
            _tone(out, sound, seconds)
    return file.getvalue()


def _black(out, stream, seconds: float) -> None:
    stream.width = stream.height = 32
    for n in range(int(10 * seconds)):
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")
        frame.pts = n
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def _tone(out, stream, seconds: float) -> None:
    context = stream.codec_context
    rate, channels = context.sample_rate, context.layout.nb_channels
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)
    planes = np.tile(tone.astype(np.float32), (channels, 1))
    frame = av.AudioFrame.from_ndarray(planes, "fltp", context.layout.name)
    frame.sample_rate, frame.pts, frame.time_base = rate, 0, Fraction(1, rate)
    if not context.is_open:  # the first packet of any stream opens all
        context.open()
    shape = av.AudioResampler(context.format, context.layout, rate, context.frame_size)
    for part in (*shape.resample(frame), *shape.resample(None)):
        out.mux(stream.encode(part))
    out.mux(stream.encode(None))


HEARD = {
    "wav_u8": ("wav", "pcm_u8"),
    "wav_16": ("wav", "pcm_s16le", 8_000, "stereo"),
    "wav_24": ("wav", "pcm_s24le", 96_000),
    "wav_32": ("wav", "pcm_s32le"),
    "wav_float": ("wav", "pcm_f32le"),
    "wav_double": ("wav", "pcm_f64le"),
    "wav_mu_law": ("wav", "pcm_mulaw", 8_000),
    "wav_a_law": ("wav", "pcm_alaw", 8_000, "stereo"),
    "wav_extensible": ("wav", "pcm_s16le", 48_000, "5.1"),
    "flac": ("flac", "flac", 44_100, "stereo"),
    "mp3": ("mp3", "libmp3lame", 44_100, "stereo"),
    "mp3_mono_22k": ("mp3", "libmp3lame", 22_050),
    "mp3_8k": ("mp3", "libmp3lame", 8_000),
    "mp2": ("mp2", "mp2", 48_000, "stereo"),
    "ogg_vorbis": ("ogg", "vorbis", 44_100, "stereo"),
    "ogg_opus": ("ogg", "libopus", 48_000),
    "ogg_flac": ("ogg", "flac", 16_000),
    "m4a": ("ipod", "aac", 44_100, "stereo"),
    "m4a_alac": ("ipod", "alac", 44_100),
    "mp4": ("mp4", "aac", 48_000),
    "mp4_96k": ("mp4", "aac", 96_000),
    "mp4_opus": ("mp4", "libopus", 48_000),
    "mov": ("mov", "pcm_s16le", 44_100, "stereo"),
    "mov_be": ("mov", "pcm_s16be", 44_100),
    "mov_float": ("mov", "pcm_f32le", 44_100),
    "mov_192k": ("mov", "pcm_s24le", 192_000),
    "webm": ("webm", "libopus", 48_000, "stereo"),
    "mkv": ("matroska", "aac", 44_100),
    "mkv_flac": ("matroska", "flac", 44_100),
    "mkv_pcm": ("matroska", "pcm_s16le", 44_100),
    "mka_u8": ("matroska", "pcm_u8", 44_100),
    "aiff": ("aiff", "pcm_s16be", 44_100, "stereo"),
    "aiff_24": ("aiff", "pcm_s24be", 48_000),
    "aifc_mu_law": ("aiff", "pcm_mulaw", 8_000),
    "adts": ("adts", "aac", 44_100, "stereo"),
}
PICTURED = {
    "mp4_video": ("mp4", "aac", 44_100, "stereo", 6.0, True),
    "mov_video": ("mov", "pcm_s16le", 44_100, "stereo", 6.0, True),
    "mkv_video": ("matroska", "vorbis", 44_100, "stereo", 6.0, True),
}
CONTAINERS = {"ipod": "mp4", "adts": "aac", "mp2": "mp3"}


@pytest.mark.parametrize("name", HEARD | PICTURED)
def test_probe_agrees_with_ffmpeg(name):
    data = made(*(HEARD | PICTURED)[name])
    with av.open(io.BytesIO(data)) as file:
        stream = file.streams.audio[0]
        next(file.decode(stream))  # the codec knows its rate for sure once it has decoded
        context = stream.codec_context
        codec = context.codec.canonical_name

        found = look(data)

        assert found.codec == codec
        assert found.sample_rate_hz == context.sample_rate
        assert found.channels == context.layout.nb_channels
    asked = (HEARD | PICTURED)[name][0]
    assert found.container == CONTAINERS.get(asked, asked)
    assert found.duration_s == pytest.approx(6.0, rel=0.05)


def test_tag_in_front_of_another_container_does_not_matter():
    tag = b"ID3\x04\0\0\0\0\x02\0" + bytes(256)

    assert look(tag + made("flac", "flac")).codec == "flac"


def test_webm_as_a_browser_records_it_has_no_duration():
    data = made("webm", "libopus", 48_000, live="1")

    assert look(data) == Probe("webm", "opus", 48_000, 1, None)


def test_fragmented_mp4_is_known_from_its_empty_movie_header():
    data = made("mp4", "aac", movflags="frag_keyframe+empty_moov")

    found = look(data)

    assert (found.codec, found.sample_rate_hz, found.channels) == ("aac", 16_000, 1)


# What only other programs write


def box(kind: bytes, *inside: bytes) -> bytes:
    body = b"".join(inside)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def esds(config: bytes, object_type: int = 0x40) -> bytes:
    specific = bytes((5, len(config))) + config
    decoder = bytes((4, 13 + len(specific), object_type)) + bytes(12) + specific
    stream = b"\x03\x80\x80\x80" + bytes((3 + len(decoder),)) + bytes(3) + decoder
    return box(b"esds", bytes(4), stream)


def sample(kind: bytes, *inside: bytes, rate: int = 22_050, version: int = 0, bits: int = 16):
    head = struct.pack(">6xHHHIHHHHI", 1, version, 0, 0, 2, bits, 0, 0, rate << 16)
    return box(kind, head, *inside)


def m4a(entry: bytes, *, long: bool = False, length: int = 80_000, dinf: bytes = b"") -> bytes:
    times = struct.pack(">IQQIQ" if long else ">IIIII", long << 24, 0, 0, 8_000, length)
    media = (
        box(b"mdhd", times, bytes(4)),
        box(b"hdlr", bytes(8), b"soun", bytes(12)),
        box(b"minf", dinf, box(b"stbl", box(b"stsd", bytes(7), b"\1", entry))),
    )
    moov = box(b"moov", box(b"trak", box(b"tkhd", bytes(80)), box(b"mdia", *media)))
    return box(b"ftyp", b"M4A \0\0\0\0") + moov + struct.pack(">I4s", 0, b"mdat") + bytes(99)


def bit_string(*values: tuple[int, int]) -> bytes:
    bits = "".join(f"{value:0{width}b}" for value, width in values)
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")


AAC_LC = bit_string((2, 5), (4, 4), (2, 4))  # 44.1 kHz, stereo
AAC_SBR = bit_string((5, 5), (7, 4), (1, 4), (4, 4), (2, 5))  # 22.05 kHz doubled, mono
AAC_PS = bit_string((29, 5), (7, 4), (1, 4), (4, 4), (2, 5))
AAC_ODD = bit_string((2, 5), (15, 4), (12_345, 24), (0, 4))  # no layout: the entry's channels


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (sample(b"mp4a", esds(AAC_LC)), ("aac", 44_100, 2)),
        (sample(b"mp4a", esds(AAC_SBR)), ("aac", 44_100, 1)),
        (sample(b"mp4a", esds(AAC_PS)), ("aac", 44_100, 2)),
        (sample(b"mp4a", esds(AAC_ODD)), ("aac", 12_345, 2)),
        (sample(b"mp4a", esds(bit_string((2, 5), (14, 4), (1, 4)))), ("aac", 22_050, 1)),
        (sample(b"mp4a", esds(b"", 0x6B)), ("mp3", 22_050, 2)),
        (sample(b"mp4a"), ("aac", 22_050, 2)),
        (sample(b"mp4a", rate=0), ("aac", 8_000, 2)),
        (sample(b"twos", bits=8), ("pcm_s8", 22_050, 2)),
        (sample(b"in24", box(b"enda", b"\0\1")), ("pcm_s24le", 22_050, 2)),
        (sample(b"in24"), ("pcm_s24be", 22_050, 2)),
        (
            sample(b"lpcm", struct.pack(">IdI4sIIII", 72, 96e3, 4, b"", 32, 3, 0, 0), version=2),
            ("pcm_f32be", 96_000, 4),
        ),
        (
            sample(b"sowt", struct.pack(">IdI4sIIII", 72, -1.0, 4, b"", 16, 0, 0, 0), version=2),
            ("pcm_s16le", 8_000, 4),
        ),
    ],
)
def test_sample_description_says_codec_rate_and_channels(entry, said):
    assert look(m4a(entry)) == Probe("mp4", *said, 10.0)


def test_movie_clock_of_64_bits_is_read():
    assert look(m4a(sample(b"mp4a"), long=True)).duration_s == 10.0


@pytest.mark.parametrize(
    "dinf", [box(b"dinf"), box(b"dinf", box(b"dref", bytes(8), box(b"alis", b"\0\0\0\1")))]
)
def test_sound_in_the_same_file_refers_nowhere(dinf):
    assert look(m4a(sample(b"mp4a"), dinf=dinf)).codec == "aac"


@pytest.mark.parametrize("entry", [sample(b"enca"), sample(b"mp4a", esds(b"", 0xE1))])
def test_encrypted_or_foreign_sound_in_mp4_is_unsupported(entry):
    with pytest.raises(errors.UnsupportedAudio):
        look(m4a(entry))


def test_movie_without_the_table_of_samples_is_damaged():
    with pytest.raises(errors.DamagedAudio):
        look(m4a(sample(b"mp4a")).replace(b"stsd", b"xxxx"))


def test_sound_track_behind_tracks_out_of_reach_is_left_to_decoding():
    clock = box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1_000, 7_000), bytes(80))
    hole, size = struct.pack(">I4s", 300 * MIB, b"trak"), 1_000 * MIB
    mdia = struct.pack(">I4s", 300 * MIB - 8, b"mdia") + struct.pack(">I4s", 40 * MIB, b"xxxx")
    front = struct.pack(">I4s", size, b"moov") + clock + hole + mdia
    more = {f"at_{n}": (len(front) + n * 40 * MIB - 8, mdia[8:]) for n in range(1, 5)}

    found = look_sparsely(Sparse(size, front=(0, front), **more))

    assert found == Probe("mov", duration_s=7.0)


def test_common_chunk_out_of_reach_leaves_aiff_to_decoding():
    chunk = struct.pack(">4sI", b"junk", 50 * MIB)
    pieces = {f"at_{n}": (12 + n * (8 + 50 * MIB), chunk) for n in range(4)}
    file = Sparse(400 * MIB, front=(0, b"FORM\0\0\0\0AIFF"), **pieces)

    assert look_sparsely(file) == Probe("aiff")


def test_flac_behind_pictures_out_of_reach_is_known_from_its_first_block():
    info = made("flac", "flac")[:42].replace(b"fLaC\x80", b"fLaC\0")
    picture = b"\6" + (15 * MIB).to_bytes(3, "big")
    pieces = {f"at_{n}": (42 + n * (4 + 15 * MIB), picture) for n in range(4)}

    found = look_sparsely(Sparse(100 * MIB, front=(0, info), **pieces))

    assert (found.codec, found.sample_rate_hz, found.duration_s) == ("flac", 16_000, 6.0)


def test_number_of_frames_in_a_vbri_tag_is_believed():
    silent = b"\xff\xfb\x90\x00" + bytes(413)  # 128 kbit/s, 44.1 kHz, stereo: 417 bytes
    tag = b"VBRI" + struct.pack(">HHHII", 1, 0, 75, 9_999, 1_000)
    first = silent[:36] + tag + silent[36 + len(tag) :]

    assert look(first + 9 * silent).duration_s == pytest.approx(1_000 * 1_152 / 44_100)


def test_single_frame_is_a_file_only_when_nothing_else_is_in_it():
    silent = b"\xff\xfb\x90\x00" + bytes(413)

    assert look(silent).codec == "mp3"
    with pytest.raises(errors.NotAudio):
        look(silent + b"something else")


# What is read


@pytest.mark.parametrize("name", HEARD | PICTURED)
def test_three_reads_and_a_mebibyte_are_enough(name):
    read = Counting(made(*(HEARD | PICTURED)[name]))

    probe(len(read.data), read)

    assert len(read.asked) <= 3
    assert sum(length for _, length in read.asked) <= MIB


def cut_out(data: bytes, kind: bytes) -> bytes:
    """The first box of this kind in a file."""
    at = data.index(kind) - 4
    return data[at : at + struct.unpack_from(">I", data, at)[0]]


M4A = "ipod", "aac", 44_100, "stereo"


def test_movie_header_behind_gigabytes_of_sound_is_found():
    moov, size = cut_out(made(*M4A), b"moov"), 3_000_000_000
    front = box(b"ftyp", b"M4A \0\0\0\0") + struct.pack(">I4sQ", 1, b"mdat", size)
    at = len(front) - 16 + size

    found = look_sparsely(Sparse(at + len(moov), front=(0, front), moov=(at, moov)))

    assert (found.container, found.codec, found.channels) == ("mp4", "aac", 2)
    assert found.duration_s == pytest.approx(6.0, rel=0.05)


def test_movie_header_behind_too_many_pointers_is_left_to_decoding():
    pieces, at = {"ftyp": (0, box(b"ftyp", b"isom\0\0\0\0"))}, 16
    for n in range(8):
        pieces[f"free{n}"] = (at, struct.pack(">I4s", 10 * MIB, b"free"))
        at += 10 * MIB

    assert look_sparsely(Sparse(at, **pieces)) == Probe("mp4")


def test_sound_behind_a_picture_of_megabytes_is_found():
    mp3 = made("mp3", "libmp3lame", 44_100)
    mp3 = mp3[mp3.index(b"\xff\xfb") :]
    tag = b"ID3\x04\0\0\x02\0\0\0"  # 4 MiB
    at = 10 + (2 << 21)

    found = look_sparsely(Sparse(at + len(mp3), tag=(0, tag), sound=(at, mp3)))

    assert (found.container, found.codec, found.channels) == ("mp3", "mp3", 1)
    assert found.duration_s == pytest.approx(6.0, rel=0.05)


def test_last_page_of_a_long_ogg_file_is_read_from_its_tail():
    data = made("ogg", "libopus", 48_000)
    gap = 500 * MIB
    last = data.rindex(b"OggS")
    pieces = {"head": (0, data[:last]), "tail": (last + gap, data[last:])}

    found = look_sparsely(Sparse(len(data) + gap, **pieces))

    assert found.duration_s == pytest.approx(6.0, rel=0.05)
    assert len(data) - last < TAIL_BYTES < HEAD_BYTES


def counted_from(data: bytes, start: int) -> bytes:
    """The Ogg file with `start` samples added to the count of every page that has one."""
    out = bytearray(data)
    at = 0
    while (at := data.find(b"OggS", at)) >= 0:
        granule = struct.unpack_from("<q", data, at + 6)[0]
        struct.pack_into("<q", out, at + 6, granule + start if granule > 0 else granule)
        at += 4
    return bytes(out)


def test_recorded_broadcast_is_not_as_long_as_the_broadcast():
    days = 7 * 86_400 * 48_000

    found = look(counted_from(made("ogg", "libopus", 48_000), days))

    assert found.duration_s == pytest.approx(5.0, abs=1.1)  # all but the first page


def test_ogg_whose_last_page_is_of_another_stream_has_no_duration():
    data = made("ogg", "libopus", 48_000)
    last = data.rindex(b"OggS")
    first = data.index(b"OggS", data.index(b"OpusTags"))

    assert look(data[:first] + b"".join((data[last : last + 14], b"else", data[last + 18 :]))) == (
        Probe("ogg", "opus", 48_000, 1, None)
    )


def test_variable_bit_rate_without_a_count_is_estimated_from_its_frames():
    data = made("mp3", "libmp3lame", 44_100, write_xing="0", id3v2_version="0")

    found = look(data)

    assert b"Xing" not in data and b"Info" not in data
    assert found.duration_s == pytest.approx(6.0, rel=0.05)


def test_object_shorter_than_announced_is_answered():
    data = made("wav", "pcm_s16le")

    assert probe(10 * len(data), Counting(data)).codec == "pcm_s16le"


def test_what_reading_raises_passes_through():
    def gone(start: int, length: int, /) -> bytes:
        raise errors.NotFound

    with pytest.raises(errors.NotFound):
        probe(10, gone)


# Hand-made headers


def fmt(tag=1, channels=1, rate=8_000, bits=16) -> bytes:
    frame = channels * bits // 8
    return struct.pack("<4sIHHIIHH", b"fmt ", 16, tag, channels, rate, rate * frame, frame, bits)


def riff(*chunks: bytes, magic: bytes = b"RIFF") -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return struct.pack("<4sI", magic, len(body)) + body


def data_chunk(size: int, there: int) -> bytes:
    return struct.pack("<4sI", b"data", size) + bytes(there)


SECOND = data_chunk(16_000, 16_000)


@pytest.mark.parametrize(
    ("data", "duration_s"),
    [
        (riff(fmt(), SECOND), 1.0),
        (riff(b"LIST\3\0\0\0abc\0", fmt(), SECOND), 1.0),
        (riff(fmt(), data_chunk(0xFFFFFFFF, 32_000)), 2.0),
        (riff(fmt(), data_chunk(0, 32_000)), 2.0),
        (riff(fmt(), data_chunk(999_999, 8_000)), 0.5),
        (
            riff(
                struct.pack("<4sIQQQI", b"ds64", 28, 0, 16_000, 0, 0),
                fmt(),
                data_chunk(0xFFFFFFFF, 16_000),
                bytes(500),
                magic=b"RF64",
            ),
            1.0,
        ),
    ],
    ids=["plain", "odd_chunk", "streamed", "zero", "cut_tail", "rf64"],
)
def test_wav_duration_is_what_is_there(data, duration_s):
    assert look(data) == Probe("wav", "pcm_s16le", 8_000, 1, duration_s)


def test_rifx_has_its_numbers_the_other_way_round():
    form = struct.pack(">4sIHHIIHH", b"fmt ", 16, 1, 2, 8_000, 32_000, 4, 16)
    data = b"RIFX" + struct.pack(">I", 16_036) + b"WAVE" + form
    data += struct.pack(">4sI", b"data", 16_000) + bytes(16_000)

    assert look(data) == Probe("wav", "pcm_s16be", 8_000, 2, 0.5)


@pytest.mark.parametrize("rate", [4_000, 384_000])
def test_rate_at_the_limits_is_heard(rate):
    assert look(riff(fmt(rate=rate), SECOND)).sample_rate_hz == rate


@pytest.mark.parametrize("rate", [3_999, 384_001])
def test_rate_beyond_the_limits_is_unusual(rate):
    with pytest.raises(errors.UnusualSignal, match=str(rate)):
        look(riff(fmt(rate=rate), SECOND))


def test_eight_channels_are_heard_and_nine_are_unusual():
    assert look(riff(fmt(channels=8), SECOND)).channels == 8
    with pytest.raises(errors.UnusualSignal):
        look(riff(fmt(channels=9), SECOND))


def extended(rate: int) -> bytes:
    shift = 63 - (rate.bit_length() - 1)
    return struct.pack(">HQ", 16_383 + 63 - shift, rate << shift)


def aiff(rate: bytes, frames: int = 8_000, sound: int = 16_000, after: bool = False) -> bytes:
    comm = struct.pack(">4sIHIH", b"COMM", 18, 1, frames, 16) + rate
    ssnd = struct.pack(">4sI", b"SSND", sound + 8) + bytes(8 + sound)
    body = b"AIFF" + (ssnd + comm if after else comm + ssnd)
    return b"FORM" + struct.pack(">I", len(body)) + body


@pytest.mark.parametrize("after", [False, True])
def test_aiff_chunks_come_in_either_order(after):
    assert look(aiff(extended(8_000), after=after)).duration_s == 1.0


@pytest.mark.parametrize(
    ("rate", "error"),
    [
        (extended(384_001), errors.UnusualSignal),
        (b"\x7f\xff" + b"\xff" * 8, errors.UnusualSignal),
        (bytes(10), errors.DamagedAudio),
    ],
    ids=["high", "infinite", "zero"],
)
def test_aiff_rate_that_cannot_be(rate, error):
    with pytest.raises(error):
        look(aiff(rate))


# Refusals

TS = (b"\x47" + bytes(187)) * 4
GIVEN = {
    "empty": (b"", errors.EmptyAudio),
    "text": (b"Dear Sir or Madam,\n" * 40, errors.NotAudio),
    "json": (b'{"url": "http://x/y.mp3"}', errors.NotAudio),
    "html": (b"<!DOCTYPE html><a href='http://x'>", errors.NotAudio),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", errors.NotAudio),
    "png": (b"\x89PNG\r\n\x1a\n" + bytes(99), errors.NotAudio),
    "jpeg": (b"\xff\xd8\xff\xe0\0\x10JFIF", errors.NotAudio),
    "gif": (b"GIF89a" + bytes(99), errors.NotAudio),
    "webp": (b"RIFF\x20\0\0\0WEBPVP8 " + bytes(20), errors.NotAudio),
    "bmp": (b"BM\x46\0\0\0\0\0\0\0" + bytes(60), errors.NotAudio),
    "heic": (box(b"ftyp", b"heic\0\0\0\0") + box(b"meta"), errors.NotAudio),
    "avif": (box(b"ftyp", b"avif\0\0\0\0"), errors.NotAudio),
    "pdf": (b"%PDF-1.7\n" + bytes(99), errors.NotAudio),
    "docx": (b"PK\x03\x04" + bytes(99), errors.NotAudio),
    "gzip": (b"\x1f\x8b\x08" + bytes(99), errors.NotAudio),
    "tar": (bytes(257) + b"ustar\x0000", errors.NotAudio),
    "elf": (b"\x7fELF\x02" + bytes(99), errors.NotAudio),
    "exe": (b"MZ\x90\0" + bytes(99), errors.NotAudio),
    "sqlite": (b"SQLite format 3\0" + bytes(99), errors.NotAudio),
    "zeros": (bytes(9_999), errors.NotAudio),
    "ones": (b"\xff" * 70_000, errors.NotAudio),
    "one_byte": (b"R", errors.NotAudio),
    "hls": (b"#EXTM3U\nhttp://canary/x.ts\n", errors.ReferencesElsewhere),
    "hls_bom": (b"\xef\xbb\xbf \n#extm3u\n", errors.ReferencesElsewhere),
    "hls_utf16": ("\ufeff#EXTM3U\n".encode("utf-16-le"), errors.ReferencesElsewhere),
    "hls_two_marks": ("\ufeff\ufeff#EXTM3U\n".encode("utf-16-be"), errors.ReferencesElsewhere),
    "hls_behind_id3": (
        b"ID3\x04\0\0\0\0\0\x05" + bytes(5) + b"#EXTM3U",
        errors.ReferencesElsewhere,
    ),
    "m3u": (b"# mine\nhttp://canary/x.mp3\n", errors.ReferencesElsewhere),
    "ffconcat": (b"ffconcat version 1.0\nfile '/etc/passwd'", errors.ReferencesElsewhere),
    "concat_script": (b"file 'a.wav'\nfile 'b.wav'", errors.ReferencesElsewhere),
    "concat": (b"concat:/etc/passwd|x", errors.ReferencesElsewhere),
    "sdp": (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n", errors.ReferencesElsewhere),
    "sdp_hidden": (b"hello\nc=IN IP4 127.0.0.1\r\n", errors.ReferencesElsewhere),
    "dash": (b"<?xml version='1.0'?>\n<MPD xmlns='x'>", errors.ReferencesElsewhere),
    "asx": (b"<ASX version='3'>", errors.ReferencesElsewhere),
    "smooth": (b"<SmoothStreamingMedia >", errors.ReferencesElsewhere),
    "pls": (b"[playlist]\nFile1=http://canary/", errors.ReferencesElsewhere),
    "rtsptext": (b"RTSPtext\rrtsp://canary/", errors.ReferencesElsewhere),
    "rmra": (box(b"moov", box(b"rmra", box(b"rmda"))), errors.ReferencesElsewhere),
    "avi": (b"RIFF\xff\0\0\0AVI LIST", errors.UnsupportedAudio),
    "midi": (b"MThd\0\0\0\6", errors.UnsupportedAudio),
    "asf": (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), errors.UnsupportedAudio),
    "amr": (b"#!AMR\n\x3c", errors.UnsupportedAudio),
    "real": (b".RMF\0\0\0\x12", errors.UnsupportedAudio),
    "dsf": (b"DSD \x1c", errors.UnsupportedAudio),
    "ape": (b"MAC \x96\x0f", errors.UnsupportedAudio),
    "wavpack": (b"wvpk\0\0", errors.UnsupportedAudio),
    "tta": (b"TTA1\1\0", errors.UnsupportedAudio),
    "caf": (b"caff\0\1\0\0", errors.UnsupportedAudio),
    "ts": (TS, errors.UnsupportedAudio),
    "adpcm": (riff(fmt(tag=2, bits=4), SECOND), errors.UnsupportedAudio),
    "ima_adpcm": (riff(fmt(tag=0x11, bits=4), SECOND), errors.UnsupportedAudio),
    "gsm": (riff(fmt(tag=0x31, bits=0), SECOND), errors.UnsupportedAudio),
    "pcm_64": (riff(fmt(bits=64), SECOND), errors.UnsupportedAudio),
    "pcm_0": (riff(fmt(bits=0), SECOND), errors.DamagedAudio),
    "wav_no_data": (riff(fmt()), errors.DamagedAudio),
    "wav_empty": (riff(fmt(), data_chunk(0, 0)), errors.DamagedAudio),
    "wav_no_fmt": (riff(SECOND), errors.DamagedAudio),
    "wav_half_frame": (riff(fmt(), data_chunk(1, 1)), errors.DamagedAudio),
    "wav_lying_chunk": (
        riff(fmt(), struct.pack("<4sI", b"LIST", 1 << 31), SECOND),
        errors.DamagedAudio,
    ),
    "wav_no_channels": (riff(fmt(channels=0), SECOND), errors.DamagedAudio),
    "wav_no_rate": (riff(fmt(rate=0), SECOND), errors.DamagedAudio),
    "riff_only": (b"RIFF", errors.DamagedAudio),
    "flac_only": (b"fLaC", errors.DamagedAudio),
    "flac_header_only": (made("flac", "flac")[:42], errors.DamagedAudio),
    "flac_no_info": (b"fLaC\x04\0\0\x22" + bytes(99), errors.DamagedAudio),
    "ogg_only": (b"OggS", errors.DamagedAudio),
    "ogg_midway": (b"OggS" + bytes(99), errors.DamagedAudio),
    "aiff_no_sound": (aiff(extended(8_000), sound=0), errors.DamagedAudio),
    "aiff_no_frames": (aiff(extended(8_000), frames=0), errors.DamagedAudio),
    "aiff_cut": (aiff(extended(8_000))[:30], errors.DamagedAudio),
    "id3_only": (b"ID3\x04\0\0\0\0\x08\0", errors.DamagedAudio),
    "id3_for_ever": (b"ID3\x04\0\0\0\0\0\0" * 50, errors.DamagedAudio),
    "mp4_no_moov": (box(b"ftyp", b"isom\0\0\0\0") + box(b"mdat", bytes(99)), errors.DamagedAudio),
    "mp4_cut_box": (box(b"ftyp", b"isom\0\0\0\0") + b"\0\0\0\3moov", errors.DamagedAudio),
    "mp4_no_tracks": (box(b"moov", box(b"udta")), errors.DamagedAudio),
    "mp4_cmov": (box(b"moov", box(b"cmov")), errors.UnsupportedAudio),
    "ebml_other": (b"\x1aE\xdf\xa3\x87\x42\x82\x84book", errors.UnsupportedAudio),
    "ebml_only": (b"\x1aE\xdf\xa3", errors.DamagedAudio),
    "ebml_no_segment": (b"\x1aE\xdf\xa3\x87\x42\x82\x84webm", errors.DamagedAudio),
}


@pytest.mark.parametrize(("data", "error"), GIVEN.values(), ids=GIVEN)
def test_bad_input_is_refused_with_its_reason(data, error):
    with pytest.raises(errors.RefusedAudio) as refused:
        look(data)

    assert type(refused.value) is error
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska"])
def test_video_without_sound_has_no_audio_track(container):
    with pytest.raises(errors.NoAudioTrack):
        look(made(container, None, video=True))


def test_ogg_with_pictures_only_has_no_audio_track():
    page = made("ogg", "libopus", 48_000).replace(b"OpusHead", b"fishead\0")

    with pytest.raises(errors.NoAudioTrack):
        look(page)


@pytest.mark.parametrize(
    ("name", "known", "other"),
    [
        ("ogg_opus", b"OpusHead", b"Speex   "),
        ("m4a", b"mp4a", b"samr"),
        ("mov", b"sowt", b"ima4"),
        ("mkv_flac", b"A_FLAC", b"A_DTS\0"),
        ("aifc_mu_law", b"ulaw", b"ima4"),
    ],
)
def test_codec_that_is_not_heard_is_unsupported(name, known, other):
    data = made(*HEARD[name])
    assert known in data

    with pytest.raises(errors.UnsupportedAudio):
        look(data.replace(known, other))


def test_codec_without_a_name_here_is_left_to_decoding():
    assert look(made(*HEARD["mov"]).replace(b"sowt", b"zzzz")).codec is None


def test_track_whose_sound_lies_in_another_file_refers_elsewhere():
    data = made(*M4A)
    own = box(b"url ", b"\0\0\0\1")
    assert own in data

    with pytest.raises(errors.ReferencesElsewhere):
        look(data.replace(own, box(b"url ", b"\0\0\0\0")))


@pytest.mark.parametrize("name", ["wav_16", "flac", "ogg_opus", "m4a", "webm", "aiff"])
def test_header_cut_anywhere_is_damaged_until_there_is_sound(name):
    data = made(*HEARD[name])
    ends = {type(cut_at(data, n)) for n in range(12, 300)}

    assert ends <= {errors.DamagedAudio, Probe}
    assert errors.DamagedAudio in ends


def cut_at(data: bytes, length: int) -> Probe | errors.RefusedAudio:
    try:
        return look(data[:length])
    except errors.RefusedAudio as refused:
        return refused


# Hostile bytes

SEEDS = [made(*args)[:3_000] + made(*args)[-1_500:] for args in (HEARD | PICTURED).values()]
EDITS = st.lists(
    st.tuples(
        st.integers(0, 4_499),
        st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"\xff" * 4, bytes(4)])),
    ),
    max_size=8,
)


def answered(data: bytes, size: int) -> None:
    """A probe or a refusal, within the allowance; anything else fails the test."""
    read = Counting(data)
    try:
        found = probe(size, read)
    except errors.RefusedAudio:
        pass
    else:
        assert found.duration_s is None or 0 < found.duration_s < 1e9
        assert found.channels is None or 1 <= found.channels <= 8
    assert len(read.asked) <= 3
    assert sum(length for _, length in read.asked) <= MIB


@settings(max_examples=2_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(SEEDS), EDITS, st.integers(0, 4_500), st.integers(0, 1 << 40))
def test_mutated_headers_end_in_a_probe_or_a_refusal(seed, edits, length, more):
    data = bytearray(seed)
    for at, change in edits:
        data[at : at + len(change)] = change
    answered(bytes(data[:length]), length if more % 2 else length + more)


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(
        [b"", b"RIFF\0\0\0\0WAVE", b"fLaC", b"OggS", b"\x1aE\xdf\xa3", b"\0\0\0\0moov"]
    ),
    st.binary(max_size=400),
)
def test_random_bytes_end_in_a_probe_or_a_refusal(magic, data):
    answered(magic + data, len(magic + data))


@pytest.mark.parametrize(
    "data",
    [
        b"\0\0\0\x08free" * 40_000,
        riff(b"JUNK\0\0\0\0" * 40_000),
        b"\x1aE\xdf\xa3\x87\x42\x82\x84webm\x18\x53\x80\x67\xff" + b"\xec\x80" * 100_000,
        b"\xff\xfb\x90\x00" * 60_000,
        b"\xff\xf1\x50\x80\x01\x1f\xfc" * 40_000,
    ],
    ids=["boxes", "chunks", "elements", "mp3_syncs", "adts_syncs"],
)
def test_header_of_endless_parts_ends_soon(data):
    answered(data, len(data))
