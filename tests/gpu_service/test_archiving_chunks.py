"""Which files become FLAC: what `layout_of` takes and refuses, and how much it reads for that."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as some

from gpu_service.archiving.chunks import (
    CHUNK_BYTES,
    CHUNKS,
    DESCRIPTION_BYTES,
    KEPT_BYTES,
    RATE_HZ,
    Stretch,
    layout_of,
)
from shared.errors import NotCompressible
from tests.gpu_service.originals import (
    Sparse,
    Store,
    aiff,
    chunk,
    common,
    extended,
    extensible_format,
    pcm_format,
    riff,
    wave,
)

FMT, SOUND = chunk(b"fmt ", pcm_format()), bytes(range(48))
DATA = chunk(b"data", SOUND)
#: Whatever the bytes are: the header, each chunk's, the description, SSND's fields, a pad byte.
MOST_READ = 12 + 8 * CHUNKS + DESCRIPTION_BYTES + 8 + 1


def laid_out(content):
    return layout_of(Store(content), len(content))


def test_every_byte_of_a_wave_file_has_its_place():
    content = wave(
        bytes(9),
        pcm_format(1, 44_100, 24),
        before=[chunk(b"bext", b"abc")],
        between=[chunk(b"fact", bytes(4))],
        after=[chunk(b"LIST", b"x")],
    )

    found = laid_out(content)

    assert [s.size_bytes for s in found.before] == [12, 12, 24, 12, 8]
    assert found.before[-1].end == found.sound.start
    assert found.sound.size_bytes == 9
    assert found.after == (Stretch(found.sound.end + 1, 10),)
    assert found.after[-1].end == len(content)


def test_every_byte_of_an_aiff_file_has_its_place():
    content = aiff(SOUND, 2, 96_000, 24, between=[chunk(b"NAME", b"abc", ">")])

    found = laid_out(content)

    assert [s.size_bytes for s in found.before] == [12, 26, 12, 16]
    assert found.sound == Stretch(len(content) - 48, 48)
    assert (found.shape.channels, found.shape.rate_hz, found.shape.bits) == (2, 96_000, 24)
    assert found.shape.order == "big"


def of(*arguments, **other):
    """A file of three frames of this form."""
    form = extensible_format if len(arguments) > 3 else pcm_format
    channels, _, bits = arguments[:3]
    return wave(bytes(3 * channels * bits // 8), form(*arguments, **other))


def said(content: bytes, at: int, number: int, kind: str = "<I") -> bytes:
    """The file with another number at one place."""
    return content[:at] + struct.pack(kind, number) + content[at + struct.calcsize(kind) :]


ODD = wave(bytes(3), pcm_format(1, 8_000, 24))
TAKEN = {
    "16 bits": of(1, 8_000, 16),
    "24 bits": of(1, 8_000, 24),
    "1 Hz": of(1, 1, 16),
    "the highest rate": of(1, RATE_HZ, 16),
    "8 channels": of(8, 8_000, 16),
    "8 channels, named": of(8, 8_000, 24, 0x63F),
    "other speakers": of(2, 8_000, 16, 0x30),
    "no sound": wave(b""),
    "a pad byte": ODD,
    "aiff": aiff(SOUND),
    "aiff without sound": aiff(b""),
    "aiff of the highest rate": aiff(SOUND, rate=RATE_HZ),
    "aiff of 1 Hz": aiff(SOUND, rate=1),
}
REFUSED = {
    "nothing": (b"", "only WAV and AIFF"),
    "half a header": (wave(SOUND)[:11], "only WAV and AIFF"),
    "ogg": (b"OggS" + bytes(40), "only WAV and AIFF"),
    "avi": (riff(FMT, DATA, kind=b"AVI "), "only WAV and AIFF"),
    "rf64": (b"RF64" + wave(SOUND)[4:], "^RF64"),
    "bw64": (b"BW64" + wave(SOUND)[4:], "^BW64"),
    "wave64": (bytes.fromhex("726966662e91cf11a5d628db") + bytes(99), "^Wave64"),
    "aiff-c": (aiff(SOUND, kind=b"AIFC"), "^AIFF-C"),
    "cut by two bytes": (wave(SOUND)[:-2], "the file ends after 90"),
    "cut to its header": (wave(SOUND)[:12], "the file ends after 12"),
    "of unknown size": (said(wave(SOUND), 4, 0xFFFFFFFF), "says 4294967303 bytes"),
    "two bytes more": (wave(SOUND) + b"ab", "behind the file's own end: 2"),
    "an odd size": (said(wave(SOUND), 4, 83), "behind the file's own end: 1"),
    "a sound of unknown size": (said(wave(SOUND), 40, 0xFFFFFFFF), "longer than the file"),
    "a sound longer by two": (said(wave(SOUND), 40, 50), "longer than the file"),
    "a sound shorter by two": (said(wave(SOUND), 40, 46), "within the header of a chunk"),
    "a chunk's header cut": (riff(FMT, DATA, b"LIST\0\0"), "within the header of a chunk"),
    "no pad byte": (riff(FMT, chunk(b"data", bytes(3), pad=b"")), "pad byte .* missing"),
    "another pad byte": (
        riff(chunk(b"fmt ", pcm_format(1, 8_000, 24)), chunk(b"data", bytes(3), pad=b"\1")),
        "pad byte .* not zero",
    ),
    "part of a frame": (wave(bytes(6), pcm_format(2)), "part of a frame"),
    "part of a sample": (wave(bytes(3)), "part of a frame"),
    "two sounds": (riff(FMT, DATA, DATA), "2 chunks 'data'"),
    "no sound chunk": (riff(FMT), "0 chunks 'data'"),
    "two descriptions": (riff(FMT, FMT, DATA), "2 chunks 'fmt '"),
    "no description": (riff(DATA), "0 chunks 'fmt '"),
    "described behind": (riff(DATA, FMT), "before what describes it"),
    "described by nothing": (wave(SOUND, b""), "cut short"),
    "described too shortly": (wave(SOUND, pcm_format()[:14]), "cut short"),
    "described with a rest": (wave(SOUND, pcm_format() + bytes(2)), "flac tool loses"),
    "described too long": (wave(SOUND, of(1, 8_000, 16, 4)[20:60] + bytes(2)), "flac tool loses"),
    "extended too shortly": (wave(SOUND, pcm_format(tag=0xFFFE)), "cut short"),
    "another frame's size": (said(wave(SOUND), 32, 4, "<H"), "flac tool loses"),
    "another speed": (said(wave(SOUND), 28, 16_001), "flac tool loses"),
    "float": (wave(SOUND, pcm_format(bits=32, tag=3)), "its format is 3"),
    "adpcm": (wave(SOUND, pcm_format(tag=2)), "its format is 2"),
    "extended float": (of(1, 8_000, 16, 4, guid=b"\3" + bytes(15)), "extended format"),
    "another extension": (of(1, 8_000, 16, 4, extra=24), "extended format"),
    "8 bits": (of(1, 8_000, 8), "8 bits"),
    "32 bits": (of(1, 8_000, 32), "32 bits"),
    "20 bits of 24": (of(1, 8_000, 24, 4, valid=20), "Only 20 of the 24 bits"),
    "no speakers": (of(2, 8_000, 16, 0), "which speaker"),
    "too many speakers": (of(2, 8_000, 16, 7), "which speaker"),
    "no channels": (wave(b"", pcm_format(0)), "these are 0"),
    "9 channels": (of(9, 8_000, 16), "these are 9"),
    "0 Hz": (of(1, 0, 16), "this has 0"),
    "a rate too high": (of(1, RATE_HZ + 1, 16), "this has 1048576"),
    "aiff too high": (aiff(SOUND, rate=RATE_HZ + 1), "this has 0"),
    "aiff of half a hertz": (
        aiff(SOUND, comm=common(1, 24, 16, struct.pack(">HQ", 16_383, 3 << 62))),
        "this has 0",
    ),
    "aiff not normal": (
        aiff(SOUND, comm=common(1, 24, 16, struct.pack(">HQ", 16_385, 1 << 62))),
        "this has 0",
    ),
    "aiff below zero": (
        aiff(SOUND, comm=common(1, 24, 16, b"\xc0" + extended(8_000)[1:])),
        "this has 0",
    ),
    "aiff of more frames": (aiff(SOUND, comm=common(1, 25, 16, extended(8_000))), "of frames"),
    "aiff of fewer frames": (aiff(SOUND, comm=common(1, 23, 16, extended(8_000))), "of frames"),
    "aiff with a rest": (
        aiff(SOUND, comm=common(1, 24, 16, extended(8_000)) + bytes(2)),
        "flac tool loses",
    ),
    "aiff of no channels": (aiff(b"", channels=0), "these are 0"),
    "aiff, aligned": (aiff(SOUND, aligned=struct.pack(">II", 0, 512)), "aligned"),
    "aiff, later": (aiff(SOUND, aligned=struct.pack(">II", 2, 0)), "aligned"),
}


@pytest.mark.parametrize("content", TAKEN.values(), ids=TAKEN)
def test_what_comes_back_is_taken(content):
    found = laid_out(content)

    assert (found.after or (found.sound,))[-1].end + found.sound.size_bytes % 2 == len(content)


@pytest.mark.parametrize(("content", "why"), REFUSED.values(), ids=REFUSED)
def test_what_would_not_come_back_is_refused(content, why):
    with pytest.raises(NotCompressible, match=why):
        laid_out(content)


def sparse(*sizes: int) -> Sparse:
    """A file with chunks of these many bytes, their headers not counted."""
    total, file = len(FMT) + len(DATA) + 4 + sum(8 + n + n % 2 for n in sizes), Sparse()
    file.put(b"RIFF" + struct.pack("<I", total) + b"WAVE")
    file.put(FMT)
    for size in sizes:
        file.put(b"LIST" + struct.pack("<I", size), size + size % 2)
    file.put(DATA)
    return file


#: The longest chunk whose block FLAC can hold, pad byte and all.
LONGEST = CHUNK_BYTES - CHUNK_BYTES % 2 - 8
AROUND = [LONGEST, LONGEST, LONGEST, 1 << 20]
#: What is left of `KEPT_BYTES` beside chunks of these sizes.
LEFT = KEPT_BYTES - 12 - len(FMT) - sum(8 + n for n in AROUND) - 8


@pytest.mark.parametrize("sizes", [[LONGEST], [LONGEST - 1], [*AROUND, LEFT], [0] * (CHUNKS - 2)])
def test_as_much_as_fits_is_kept(sizes):
    file = sparse(*sizes)

    assert layout_of(file, file.size_bytes).sound.end == file.size_bytes


@pytest.mark.parametrize(
    ("sizes", "why"),
    [
        ([LONGEST + 1], "that FLAC can keep"),
        ([LONGEST + 2], "that FLAC can keep"),
        ([*AROUND, LEFT + 2], "are no sound"),
        ([0] * (CHUNKS - 1), "more than 200 chunks"),
    ],
)
def test_more_than_fits_is_refused(sizes, why):
    file = sparse(*sizes)

    with pytest.raises(NotCompressible, match=why):
        layout_of(file, file.size_bytes)


def test_a_store_that_gives_less_is_refused():
    content = wave(SOUND)

    with pytest.raises(NotCompressible, match="fewer bytes"):
        layout_of(Store(content[:-50]), len(content))


NAMES = some.sampled_from([b"fmt ", b"data", b"COMM", b"SSND", b"LIST"]) | some.binary(
    min_size=4, max_size=4
)
#: Lengths as liars write them.
LENGTHS = some.integers(0, 64) | some.sampled_from([0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF])
HEADERS = some.sampled_from([(b"RIFF", b"WAVE", "<I"), (b"FORM", b"AIFF", ">I")])


@given(some.binary(max_size=300))
def test_arbitrary_bytes_are_only_ever_refused(content):
    with pytest.raises(NotCompressible):
        laid_out(content)


@given(HEADERS, some.lists(some.tuples(NAMES, LENGTHS, some.binary(max_size=64)), max_size=250))
def test_hostile_chunks_are_refused_and_little_is_read(header, told):
    name, kind, number = header
    body = kind + b"".join(n + struct.pack(number, size) + rest for n, size, rest in told)
    store = Store(name + struct.pack(number, len(body)) + body)

    with suppress(NotCompressible):
        layout_of(store, len(store.content))

    assert store.given <= MOST_READ


def test_many_chunks_are_not_read_to_the_end():
    store = Store(riff(FMT, *[chunk(b"junk", b"")] * 100_000, DATA))

    with pytest.raises(NotCompressible):
        layout_of(store, len(store.content))

    assert store.given <= MOST_READ
