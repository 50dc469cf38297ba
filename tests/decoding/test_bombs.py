"""S1: files made to cost much. Counts, not clocks: CPU seconds and peak memory of the child."""

import io
import struct
from fractions import Fraction

import av
import pytest

from shared.domain.sound import Limits
from shared.errors import AudioTooLong, DamagedAudio, RefusedAudio
from tests.decoding.conftest import LIMITS, on_disk
from tests.decoding.media import Media, box, chunk, wav

CPU_S, MEMORY_BYTES = 1.0, 128 << 20


def silent_opus(hours: float) -> bytes:
    """One silent packet of 120 ms again and again: two hours in 0.7 MB."""
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as out:
        sound = out.add_stream(
            "libopus", rate=48_000, layout="mono", options={"frame_duration": "120"}
        )
        frame = av.AudioFrame("s16", "mono", 5760)
        frame.planes[0].update(bytes(5760 * 2))
        frame.sample_rate, frame.pts, frame.time_base = 48_000, 0, Fraction(1, 48_000)
        packets = [*sound.encode(frame), *sound.encode(None)]
        data = bytes(packets[0])
        for n in range(int(hours * 3600 / 0.12)):
            packet = av.Packet(data)
            packet.stream, packet.time_base = sound, Fraction(1, 48_000)
            packet.pts = packet.dts = n * 5760
            packet.duration = 5760
            out.mux(packet)
    return file.getvalue()


def flac_without_total() -> bytes:
    """STREAMINFO says 0 samples: not known. 350 s, so that only counting can tell."""
    data = bytearray(Media("flac", "flac", 48_000, 2, seconds=350, silent=True).data())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    return bytes(data)


def wide_flac() -> bytes:
    """Eight channels at 384 kHz, 80 s of silence in 50 kB, of unknown length."""
    data = bytearray(Media("flac", "flac", 384_000, 8, seconds=80, silent=True).data())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    return bytes(data)


def index_of_billions() -> bytes:
    """An MP4 whose sample table claims 2^31 samples of one byte."""
    data = bytearray(Media("ipod", "aac", rate=44_100).data())
    at = data.index(b"stsz")
    data[at + 8 : at + 16] = struct.pack(">II", 1, 0x7FFFFFFF)
    return bytes(data)


def billions_of_chunks() -> bytes:
    """... and one whose time-to-sample table spreads 2^31 samples."""
    data = bytearray(Media("ipod", "aac", rate=44_100).data())
    at = data.index(b"stts")
    data[at + 12 : at + 20] = struct.pack(">II", 0x7FFFFFFF, 1)
    return bytes(data)


def boxes_in_boxes() -> bytes:
    """QuickTime containers nested ten thousand deep."""
    inner = b""
    for _ in range(10_000):
        inner = box(b"moov", inner)
    return box(b"ftyp", b"isom" + bytes(4)) + inner


def streams_without_end() -> bytes:
    """An Ogg file in which every page begins a stream of its own."""
    begin = Media("ogg", "libopus", rate=48_000, seconds=0.1).data()[:47]
    return b"".join(begin[:14] + struct.pack("<I", n) + begin[18:] for n in range(20_000))


def huge_picture() -> bytes:
    """An ID3 tag that claims 256 MB."""
    return b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + bytes(1_000_000)


def matroska_of_ebml() -> bytes:
    """Elements that claim the largest size there is, one in another."""
    head = Media("matroska", "pcm_s16le").data()[:40]
    return head + b"\x18\x53\x80\x67\x01\xff\xff\xff\xff\xff\xff\xff" * 50_000


def flac_of_metadata() -> bytes:
    """A million empty padding blocks before any sound."""
    whole = Media("flac", "flac").data()
    return whole[:42] + b"\x01\x00\x00\x00" * 500_000 + whole[42:]


def chunks_without_end() -> bytes:
    return wav(bytes(100))[:36] + chunk(b"LIST", b"") * 500_000


BOMBS = {
    "two-hours-of-silence-in-opus": (lambda: silent_opus(2), AudioTooLong),
    "opus-just-over": (lambda: silent_opus(0.09), AudioTooLong),
    "flac-of-unknown-length": (flac_without_total, AudioTooLong),
    "flac-of-eight-channels": (wide_flac, AudioTooLong),
    "mp4-index-of-billions": (index_of_billions, RefusedAudio),
    "mp4-boxes-in-boxes": (boxes_in_boxes, RefusedAudio),
    "ogg-streams-without-end": (streams_without_end, RefusedAudio),
    "mp3-huge-picture": (huge_picture, RefusedAudio),
    "matroska-sizes": (matroska_of_ebml, RefusedAudio),
    "wav-chunks-without-end": (chunks_without_end, DamagedAudio),
}


@pytest.mark.parametrize(("make", "refusal"), BOMBS.values(), ids=BOMBS)
def test_bomb_costs_little_and_is_not_retried(hear, make, refusal):
    with pytest.raises(refusal) as refused:
        hear(make(), tenant=make.__name__)

    assert not refused.value.retryable
    assert refused.value.context["cpu_s"] <= CPU_S
    assert refused.value.context["peak_bytes"] <= MEMORY_BYTES


def test_long_recording_within_its_limit_is_no_bomb(hear):
    samples, _ = hear(silent_opus(0.08))

    assert samples.shape[1] == pytest.approx(288 * 16_000, abs=2_000)


@pytest.mark.parametrize("make", [billions_of_chunks, flac_of_metadata])
def test_strange_but_audible_costs_little(decoder, make):
    with on_disk(make()) as sound, decoder.open(sound, tenant="x", limits=LIMITS) as decoding:
        heard = sum(block.shape[1] for block in decoding)
        spent = decoding._child.end()

    assert heard
    assert spent.cpu_s <= CPU_S
    assert spent.peak_bytes <= MEMORY_BYTES


@pytest.mark.parametrize("seconds", [20, 300], ids=["short", "long"])
def test_memory_does_not_grow_with_the_recording(decoder, seconds):
    """P4: streaming; the child holds a second of sound and the demuxer's buffers."""
    lying = wav(bytes(192_000 * seconds), rate=48_000, channels=2, data_size=0)
    with (
        on_disk(lying) as sound,
        decoder.open(sound, tenant=f"flat-{seconds}", limits=Limits(400, 10**9)) as decoding,
    ):
        n_samples = sum(block.shape[1] for block in decoding)
        child = decoding._child

    assert n_samples == seconds * 16_000
    assert child.end().peak_bytes < 48 << 20
