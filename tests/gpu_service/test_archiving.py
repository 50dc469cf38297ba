"""An upload becomes FLAC and comes back byte for byte, or stays as it came."""

import hashlib
import io
import random
import shutil
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from gpu_service.archiving.flac import BLOCK, compress, encode
from gpu_service.archiving.restoring import restore
from shared.errors import DamagedAudio, NotCompressible
from tests.gpu_service.originals import (
    Store,
    aiff,
    chunk,
    extensible_format,
    pcm_format,
    wave,
)
from tests.sounds import tone_wav

#: The flac tool as (1, 4, 2), or nothing where it is not installed.
VERSION = (
    tuple(
        int(part)
        for part in subprocess.run(["flac", "--version"], capture_output=True, text=True)
        .stdout.split()[-1]
        .split(".")
    )
    if shutil.which("flac")
    else ()
)
needs_tool = pytest.mark.skipif(not VERSION, reason="flac is not installed (apt-get install flac)")
#: From this one on, `flac -d --keep-foreign-metadata` restores every way to describe PCM.
RESTORES_ALL = (1, 4, 3)


def compressed(content, into=None, alive=lambda: None):
    into = into or io.BytesIO()
    sha256 = compress(Store(content), len(content), into, alive)
    assert sha256 == hashlib.sha256(content).hexdigest()
    return into.getvalue()


def encoded(content):
    into = io.BytesIO()
    told = encode(Store(content), len(content), into)
    assert told.sha256 == hashlib.sha256(content).hexdigest()
    return into.getvalue(), told.sizes


def restored(flac, sizes=None):
    out = io.BytesIO()
    restore(io.BytesIO(flac), out, sizes)
    return out.getvalue()


def music(frames, channels=1, bits=16, order="little", seed=1):
    """Bytes of a sound that FLAC makes smaller."""
    dice = np.random.default_rng(seed)
    time = np.arange(frames)[:, np.newaxis] * np.linspace(0.02, 0.05, channels)
    loud = np.sin(time) * 0.3 * 2 ** (bits - 1) + dice.normal(0, 50, (frames, channels))
    wide = loud.astype(np.int64).reshape(-1, 1).view(np.uint8).reshape(-1, 8)[:, : bits // 8]
    return (wide if order == "little" else wide[:, ::-1]).tobytes()


LIST = chunk(b"LIST", b"INFOISFT\x05\0\0\0Lavf\0")
FORMS = {
    "16 bits": pcm_format(2, 44_100, 16),
    "24 bits, extended": extensible_format(2, 48_000, 24, 0x3),
    "6 channels": extensible_format(6, 48_000, 16, 0x60F),
    "8 channels of 24 bits": extensible_format(8, 48_000, 24, 0x63F),
    "other speakers": extensible_format(6, 48_000, 16, 0x3F),
    "unusual stereo": extensible_format(2, 48_000, 16, 0x30),
    "384 kHz": pcm_format(1, 384_000, 16),
    "a rate that no frame names": pcm_format(1, 88_201, 16),
}
#: What the flac tool before 1.4.3 restores with another description of the same sound.
LATER = {
    "24 bits": pcm_format(2, 44_100, 24),
    "4 channels, not extended": pcm_format(4, 44_100, 16),
    "16 bits, extended": extensible_format(2, 44_100, 16, 0x3),
}


def of(form, frames=20_000, **around):
    channels, bits = form[2], form[14]
    return wave(music(frames, channels, bits), form, **around)


ORIGINALS = {name: of(form) for name, form in FORMS.items()} | {
    "chunks behind": of(FORMS["16 bits"], after=[LIST, chunk(b"id3 ", b"ID3")]),
    "chunks before": of(
        FORMS["16 bits"],
        before=[chunk(b"JUNK", bytes(27)), chunk(b"bext", bytes(602))],
        between=[chunk(b"fact", bytes(4))],
    ),
    "a pad byte": of(extensible_format(1, 48_000, 24, 0x4), 9_999, after=[LIST]),
    "aiff": aiff(music(20_000, 2, 16, "big"), 2, 44_100, 16),
    "aiff of 24 bits": aiff(music(20_001, 1, 24, "big"), 1, 96_000, 24),
    "aiff with chunks": aiff(
        music(20_000, 2, 24, "big"),
        2,
        44_100,
        24,
        before=[chunk(b"FVER", b"abcd", ">")],
        between=[chunk(b"NAME", b"abc", ">")],
        after=[chunk(b"ANNO", b"said", ">")],
    ),
}
ALL = ORIGINALS | {name: of(form, after=[LIST]) for name, form in LATER.items()}


@pytest.mark.parametrize("content", ALL.values(), ids=ALL)
def test_comes_back_byte_for_byte_and_is_smaller(content):
    flac = compressed(content)

    assert len(flac) < len(content)
    assert restored(flac) == content


ODD_BODIES = some.binary(max_size=9)
NAMES = some.sampled_from([b"LIST", b"bext", b"cue ", b"iXML", b"\0\0\0\0"])
EXTREMES = some.sampled_from([b"\0", b"\x7f\xff", b"\x80\x00", b"\xff\x7f", b"\xff", b"\x01"])


@some.composite
def files(draw):
    """Any sound, chunks of any size around it."""
    big = draw(some.booleans())
    channels, bits = draw(some.integers(1, 8)), draw(some.sampled_from([16, 24]))
    rate = draw(some.integers(1, 1_048_575) | some.sampled_from([8_000, 44_100, 48_000]))
    frames = draw(some.sampled_from([0, 1, 2, 15, 16, 17, 4_095, 4_096, 4_097]))
    size = frames * channels * bits // 8
    seed = draw(some.binary(min_size=1, max_size=64) | EXTREMES)
    dice = random.Random(draw(some.integers(0, 1 << 32)))
    sound = dice.randbytes(size) if draw(some.booleans()) else (seed * size)[:size]
    around = {
        place: [chunk(n, b, ">" if big else "<") for n, b in told]
        for place in ("before", "between", "after")
        if (told := draw(some.lists(some.tuples(NAMES, ODD_BODIES), max_size=3)))
    }
    if big:
        return aiff(sound, channels, rate, bits, **around)
    return wave(sound, pcm_format(channels, rate, bits), **around)


@settings(deadline=None)
@given(files())
def test_any_file_that_is_taken_comes_back(content):
    flac, sizes = encoded(content)

    assert restored(flac) == restored(flac, sizes) == content


def test_longer_than_a_block_comes_back():
    content = of(pcm_format(3, 44_100, 24), BLOCK // 3)

    assert restored(compressed(content)) == content


def feigned():
    """A file whose samples are FLAC frames for a while, and the first of these."""
    frames, sizes = encoded(wave(music(4_096 * 40), pcm_format(1, 44_100)))
    found = frames[-sum(sizes) // 2 * 2 :]
    samples = np.frombuffer(found, ">u2").astype("<u2").tobytes()
    around = music(4_096 * 20)
    return wave(around + samples + around, pcm_format(1, 44_100)), found[:3_000]


def test_frames_feigned_by_the_sound_itself_deceive_nobody():
    """Frames of FLAC as samples stand in ours as they are, where samples are not worth coding.

    FFmpeg's demuxer takes them for frames, so that its decoder gets what a stranger wrote; with
    the sizes known it is never asked. Who asks it hears that the file is damaged, not other sound.
    """
    content, frames = feigned()

    flac = compressed(content)

    assert frames in flac
    with pytest.raises(DamagedAudio):
        restored(flac)
    assert restored(flac, encoded(content)[1]) == content


def test_noise_stays_as_it_came():
    noise = wave(random.Random(1).randbytes(200_000))

    with pytest.raises(NotCompressible, match="As FLAC it has"):
        compressed(noise)


def test_a_file_without_sound_stays_as_it_came():
    with pytest.raises(NotCompressible, match="As FLAC it has"):
        compressed(wave(b""))


class Rotten(io.BytesIO):
    """A disk that turns one bit of what is written at one place."""

    def __init__(self, place):
        super().__init__()
        self._place = place

    def write(self, data):
        at = self._place - self.tell()
        if 0 <= at < len(data):
            data = data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]
        return super().write(data)


CHUNKY = of(FORMS["16 bits"], between=[chunk(b"bext", bytes(64))])


@pytest.mark.parametrize("place", [0, 8 + 17, 8 + 20, 60, 150, 4_000, 20_000, 30_000])
def test_a_bit_turned_on_the_disk_is_found(place, caplog):
    """In the magic, the length, the MD5, a chunk and the frames; somebody hears of it."""
    with pytest.raises(NotCompressible, match=r"byte for byte|read again"):
        compressed(CHUNKY, Rotten(place))

    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_a_store_that_tells_another_story_later_is_found():
    """What follows the sound is read twice; the hash is of what the store gave last."""

    class Changing(Store):
        def __call__(self, start, length):
            found = super().__call__(start, length)
            late = start > len(self.content) // 2 and self.given > len(self.content)
            return bytes(length) if late else found

    content = of(FORMS["16 bits"], after=[chunk(b"LIST", bytes(range(64)))])

    with pytest.raises(NotCompressible, match="byte for byte"):
        compress(Changing(content), len(content), io.BytesIO(), lambda: None)


def test_a_store_that_gives_less_is_found():
    class Short(Store):
        def __call__(self, start, length):
            return super().__call__(start, length)[: max(100, length // 2)]

    content = of(FORMS["16 bits"])

    with pytest.raises(NotCompressible, match="fewer bytes"):
        compress(Short(content), len(content), io.BytesIO(), lambda: None)


class Stopped(Exception):
    """What somebody raises to whom the work is no longer worth it."""


@pytest.mark.parametrize("calls", [0, 3, 7, 10])
def test_stops_when_told_to(calls):
    """While the chunks are looked for, while it is encoded, and while it is compared."""
    left = iter(range(calls))

    def alive():
        if next(left, None) is None:
            raise Stopped

    content = of(FORMS["16 bits"], BLOCK)
    into = io.BytesIO()

    with pytest.raises(Stopped):
        compress(Store(content), len(content), into, alive)
    if not calls:
        assert into.getvalue() == b""


def test_says_about_every_mib_that_it_works():
    calls = []

    compressed(of(FORMS["16 bits"], 2 * BLOCK), alive=lambda: calls.append(1))

    # 8 MiB are read and compared; three chunks are looked at, kept, and hashed again.
    assert 16 <= len(calls) <= 30


@pytest.mark.parametrize(
    ("flac", "why"),
    [
        (b"", "ends too soon"),
        (b"OggS" + bytes(80), "no FLAC file"),
        (b"fLaC\0\0", "ends too soon"),
        (b"fLaC\x80\0\0\x22" + bytes(34), "no chunks"),
        (b"fLaC\0\0\0\x22" + bytes(34) + b"\x82\0\0\x08riffRIFF", "where the sound stood"),
        (b"fLaC\0\0\0\x22" + bytes(34) + b"\x82\0\0\x08riffdata", "has 1 bits"),
        (b"fLaC\0\0\0\x22" + bytes(34) + b"\2\0\0\4riff\x82\0\0\x08aiffSSND", "no chunks"),
    ],
)
def test_what_holds_no_file_is_not_restored(flac, why):
    with pytest.raises(DamagedAudio, match=why):
        restored(flac)


@given(some.binary(max_size=400))
def test_arbitrary_bytes_are_only_ever_damaged(tail):
    for start in (b"fLaC", b"", encoded(wave(b""))[0], compressed(CHUNKY)[:300]):
        with suppress(DamagedAudio):
            restored(start + tail)


PEAK = """
import re, sys, tempfile
from gpu_service.archiving.flac import compress
from tests.gpu_service.originals import pcm_format, wave
from tests.gpu_service.test_archiving import music

sound, mb = music(250_000, 2), int(sys.argv[1])  # a MB
size = 44 + mb * len(sound)
head = bytearray(wave(b"", pcm_format(2, 44_100)))
head[4:8], head[40:44] = ((size - 8).to_bytes(4, "little"), (size - 44).to_bytes(4, "little"))

def read(start, length):
    if start < 44:
        return bytes(head[start : start + length])
    at = (start - 44) % len(sound)
    return (sound * 3)[at : at + length]

with tempfile.TemporaryFile() as into:
    compress(read, size, into, lambda: None)
print(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
"""


def peak_mb(megabytes):
    """Of a process of its own; VmHWM, as ru_maxrss would begin with what its parent has."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(megabytes)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout) / 1024


@pytest.mark.slow
def test_memory_does_not_follow_the_size():
    small, large = peak_mb(3), peak_mb(300)

    assert large < small + 5
    assert large < 150


def tool(folder, *arguments):
    """The flac tool's exit status and what it says."""
    done = subprocess.run(
        ["flac", "--totally-silent", "--keep-foreign-metadata", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    return done.returncode


def decoded_by_tool(folder, content):
    suffix = "aiff" if content.startswith(b"FORM") else "wav"
    (folder / "a.flac").write_bytes(compressed(content))
    assert tool(folder, "-d", "a.flac", "-o", f"back.{suffix}") == 0
    return (folder / f"back.{suffix}").read_bytes()


@needs_tool
@pytest.mark.parametrize("content", ALL.values(), ids=ALL)
def test_the_flac_tool_finds_nothing_wrong(content, tmp_path):
    """Frames, their sums and the MD5 of the sound."""
    (tmp_path / "a.flac").write_bytes(compressed(content))

    assert subprocess.run(["flac", "-t", "-s", "-w", tmp_path / "a.flac"]).returncode == 0


@needs_tool
@pytest.mark.parametrize("content", ORIGINALS.values(), ids=ORIGINALS)
def test_the_flac_tool_brings_it_back_byte_for_byte(content, tmp_path):
    assert decoded_by_tool(tmp_path, content) == content


@needs_tool
def test_the_flac_tool_is_not_deceived_by_feigned_frames(tmp_path):
    content, _ = feigned()

    assert decoded_by_tool(tmp_path, content) == content


@needs_tool
@pytest.mark.parametrize("name", LATER)
def test_older_flac_tools_describe_the_same_sound_otherwise(name, tmp_path):
    """Before 1.4.3 it wrote the description that it found fitting; the rest is the same."""
    content = of(LATER[name], after=[LIST])

    back = decoded_by_tool(tmp_path, content)

    if VERSION >= RESTORES_ALL:
        assert back == content
    else:
        assert back[back.index(b"data") :] == content[content.index(b"data") :]


#: The tool writes the others' speakers but does not read them.
ENCODED = {name: content for name, content in ORIGINALS.items() if name != "unusual stereo"}


@needs_tool
@pytest.mark.parametrize("content", ENCODED.values(), ids=ENCODED)
def test_what_the_flac_tool_made_is_restored(content, tmp_path):
    suffix = "aiff" if content.startswith(b"FORM") else "wav"
    (tmp_path / f"a.{suffix}").write_bytes(content)

    assert tool(tmp_path, "--lax", f"a.{suffix}", "-o", "a.flac") == 0
    assert restored((tmp_path / "a.flac").read_bytes()) == content


def test_a_tone_becomes_much_smaller():
    content = tone_wav(5, 44_100)

    assert len(compressed(content)) < 0.2 * len(content)
