"""What is refused, with which code, and that a refusal costs next to nothing."""

import io
import struct
import zipfile

import numpy as np
import pytest

from shared.domain.sound import Limits
from shared.errors import (
    AudioTooLarge,
    AudioTooLong,
    DamagedAudio,
    EmptyAudio,
    NoAudioTrack,
    NotAudio,
    ReferencesElsewhere,
    UnsupportedAudio,
    UnusualSignal,
)
from tests.decoding.media import Media, chunk, film_without_sound, wav

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)
NOISE = np.random.default_rng(3).integers(0, 256, 100_000, np.uint8).tobytes()


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.wav", wav(bytes(100)))
    return file.getvalue()


def adpcm(codec: str) -> bytes:
    return Media("wav", codec, rate=22_050).data()


WAV = wav(bytes(32_000))
FLAC = Media("flac", "flac").data()
M4A = Media("ipod", "aac", rate=44_100).data()

REFUSED = {
    "empty": (b"", EmptyAudio),
    "text": (b"This is not a recording.\n" * 20, NotAudio),
    "text-with-mark": (b"\xef\xbb\xbfnot a recording", NotAudio),
    "text-utf-16": ("\ufeffnot a recording".encode("utf-16"), NotAudio),
    "one-byte": (b"R", NotAudio),
    "png": (PNG, NotAudio),
    "jpeg": (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(100), NotAudio),
    "gif": (b"GIF89a" + bytes(100), NotAudio),
    "webp": (b"RIFF\x40\x00\x00\x00WEBPVP8 " + bytes(60), NotAudio),
    "heic": (struct.pack(">I", 24) + b"ftypheic" + bytes(12), NotAudio),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", NotAudio),
    "zip": (zipped(), NotAudio),
    "html": (b"<!doctype html><html><body>hello</body></html>", NotAudio),
    "zeros": (bytes(10_000), NotAudio),
    "noise": (NOISE, NotAudio),
    "riff-4-bytes": (b"RIFF", DamagedAudio),
    "riff-cut-in-fmt": (WAV[:30], DamagedAudio),
    "riff-cut-before-samples": (WAV[:44], DamagedAudio),
    "riff-chunk-swallows-all": (
        WAV[:12] + b"LIST" + struct.pack("<I", 1 << 30) + WAV[12:],
        DamagedAudio,
    ),
    "riff-no-data-chunk": (WAV[:36], DamagedAudio),
    "riff-no-channels": (WAV[:22] + b"\x00\x00" + WAV[24:], DamagedAudio),
    "flac-cut": (FLAC[:30], DamagedAudio),
    "flac-header-only": (FLAC[:42], DamagedAudio),
    "ogg-cut": (Media("ogg", "libopus", rate=48_000).data()[:40], DamagedAudio),
    "m4a-without-index": (M4A[: M4A.index(b"moov") - 4], DamagedAudio),
    "mkv-cut": (Media("matroska", "pcm_s16le").data()[:60], DamagedAudio),
    "aiff-cut": (Media("aiff", "pcm_s16be").data()[:20], DamagedAudio),
    "form-cut": (b"FORM\x00\x00\x01\x00", DamagedAudio),
    "film-without-sound": (film_without_sound(), NoAudioTrack),
    "adpcm-ima": (adpcm("adpcm_ima_wav"), UnsupportedAudio),
    "adpcm-ms": (adpcm("adpcm_ms"), UnsupportedAudio),
    "avi": (Media("avi", "pcm_s16le").data(), UnsupportedAudio),
    "wma": (Media("asf", "libmp3lame", rate=44_100).data(), UnsupportedAudio),
    "flv": (Media("flv", "aac", rate=44_100).data(), UnsupportedAudio),
    "mpeg-ts": (Media("mpegts", "aac", rate=44_100).data(), UnsupportedAudio),
    "au": (Media("au", "pcm_s16be").data(), UnsupportedAudio),
    "caf": (Media("caf", "pcm_s16be").data(), UnsupportedAudio),
    "9-channels": (wav(bytes(90_000), channels=9), UnusualSignal),
    "64-channels": (wav(bytes(640_000), channels=64), UnusualSignal),
    "3999-hz": (wav(bytes(32_000), rate=3_999), UnusualSignal),
    "384001-hz": (wav(bytes(32_000), rate=384_001), UnusualSignal),
}


@pytest.mark.parametrize(("data", "refusal"), REFUSED.values(), ids=REFUSED)
def test_refused_with_its_code_and_not_retried(hear, data, refusal):
    with pytest.raises(refusal) as refused:
        hear(data)

    assert type(refused.value) is refusal
    assert not refused.value.retryable
    assert refused.value.context.get("cpu_s", 0) <= 1.0  # S1
    assert refused.value.context.get("peak_bytes", 0) <= 128 << 20


@pytest.mark.parametrize(
    ("channels", "rate"), [(8, 16_000), (1, 4_000), (1, 384_000)], ids=["8ch", "4k", "384k"]
)
def test_heard_at_the_limit(hear, channels, rate):
    samples, _ = hear(wav(bytes(rate * 2 * channels), channels=channels, rate=rate))

    assert samples.shape == (1, 16_000)


def test_figures_stand_in_the_message(hear):
    with pytest.raises(UnusualSignal, match="9 channels at 16000 Hz"):
        hear(wav(bytes(90_000), channels=9))
    with pytest.raises(UnsupportedAudio, match="adpcm_ms"):
        hear(adpcm("adpcm_ms"))
    with pytest.raises(UnsupportedAudio, match="AVI"):
        hear(Media("avi", "pcm_s16le").data())


def test_length_is_counted_on_both_sides_of_the_limit(hear):
    ten_s = wav(bytes(320_000))
    one_more = wav(bytes(320_002))

    samples, _ = hear(ten_s, limits=Limits(max_seconds=10.0, max_bytes=10**6))

    assert samples.shape == (1, 160_000)
    with pytest.raises(AudioTooLong, match="longer than 10 s"):
        hear(one_more, limits=Limits(max_seconds=10.0, max_bytes=10**6))


def test_size_is_counted_on_both_sides_of_the_limit(hear):
    hear(WAV, limits=Limits(max_seconds=10.0, max_bytes=len(WAV)))

    with pytest.raises(AudioTooLarge, match=str(len(WAV))):
        hear(WAV, limits=Limits(max_seconds=10.0, max_bytes=len(WAV) - 1))


LYING = {
    "data-says-zero": wav(bytes(32_000), data_size=0),
    "data-says-unknown": wav(bytes(32_000), data_size=0xFFFFFFFF),
    "riff-says-zero": WAV[:4] + bytes(4) + WAV[8:],
    "byte-rate-wrong": WAV[:28] + struct.pack("<I", 7) + WAV[32:],
    "junk-after": WAV + chunk(b"junk", NOISE),
}


@pytest.mark.parametrize("data", LYING.values(), ids=LYING)
def test_sizes_that_lie_cost_no_samples(hear, data):
    samples, decoding = hear(data)

    assert samples.shape == (1, 16_000)
    assert not decoding.cautions


def test_header_that_hides_the_length_is_still_counted(hear):
    data = wav(bytes(32_000 * 20), data_size=0)

    with pytest.raises(AudioTooLong):
        hear(data, limits=Limits(max_seconds=10.0, max_bytes=10**7))


WHOLE = {
    "wav": Media("wav", "pcm_s16le", seconds=4),
    "flac": Media("flac", "flac", seconds=4),
    "mp3": Media("mp3", "libmp3lame", rate=44_100, seconds=4),
    "ogg-opus": Media("ogg", "libopus", rate=48_000, seconds=4),
    "ogg-vorbis": Media("ogg", "vorbis", 44_100, 2, seconds=4),
    "m4a": Media("ipod", "aac", rate=44_100, seconds=4, options=(("movflags", "faststart"),)),
    "mov": Media("mov", "pcm_s16le", seconds=4, options=(("movflags", "faststart"),)),
    "mkv": Media("matroska", "flac", seconds=4),
    "webm": Media("webm", "libopus", rate=48_000, seconds=4),
    "aiff": Media("aiff", "pcm_s16be", seconds=4),
    "adts": Media("adts", "aac", rate=44_100, seconds=4),
}


@pytest.mark.parametrize("media", WHOLE.values(), ids=WHOLE)
def test_cut_tail_is_heard_and_said(hear, media):
    data = media.data()

    samples, decoding = hear(data[: len(data) * 5 // 8])

    assert 1.0 < samples.shape[1] / 16_000 < 3.9
    assert "cut_short" in [c.code for c in decoding.cautions]


DAMAGED = {
    "flac": ("gaps", 4.0),
    "ogg-opus": ("gaps", 4.0),
    "ogg-vorbis": ("cut_short", 2.0),
    "m4a": ("damaged_parts", 4.0),
    "mp3": ("damaged_parts", 3.7),  # MP3 has no time stamps that could tell what is missing
}


@pytest.mark.parametrize(("name", "said"), DAMAGED.items(), ids=DAMAGED)
def test_damage_in_the_middle_is_said_and_times_stay_true(hear, name, said):
    code, seconds = said
    data = bytearray(WHOLE[name].data())
    middle = len(data) // 2
    data[middle : middle + 2_000] = NOISE[:2_000]

    samples, decoding = hear(bytes(data))

    assert samples.shape[1] / 16_000 == pytest.approx(seconds, abs=0.1)
    assert code in [c.code for c in decoding.cautions]


REFERENCES = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n",
    "hls-after-space": "\n  #EXTM3U\nhttp://127.0.0.1:9/a.ts\n",
    "ffconcat": "ffconcat version 1.0\nfile /etc/passwd\n",
    "concat-lines": "# list\nfile '/etc/passwd'\n",
    "concat-protocol": "concat:/etc/passwd|/etc/hosts",
    "sdp": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=audio 9 RTP/AVP 0\r\n",
    "dash": '<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011"></MPD>',
    "smooth": "<SmoothStreamingMedia MajorVersion='2'></SmoothStreamingMedia>",
    "asx": "<asx version='3.0'><entry><ref href='http://127.0.0.1:9/'/></entry></asx>",
    "asx-reference": "[Reference]\r\nRef1=http://127.0.0.1:9/a\r\n",
    "smil": "<smil><body><audio src='a.wav'/></body></smil>",
    "pls": "[playlist]\nFile1=http://127.0.0.1:9/\n",
    "xspf": "<?xml version='1.0'?><playlist version='1'></playlist>",
    "rtsp-text": "rtsptext\nrtsp://127.0.0.1:9/",
    "plain-address": "http://127.0.0.1:9/a.mp3\n",
    "utf-8-mark": "\ufeff#EXTM3U\n",
}


@pytest.mark.parametrize("text", REFERENCES.values(), ids=REFERENCES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_playlists_are_refused_as_references(hear, text, encoding):
    with pytest.raises(ReferencesElsewhere):
        hear(text.encode(encoding))
