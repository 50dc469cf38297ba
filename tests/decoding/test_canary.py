"""S2: media that refer elsewhere open no connection and read no file, whatever they try."""

import socket
import struct
import subprocess
import sys
import threading

import pytest

from gpu_service.decoding.references import refers_elsewhere
from gpu_service.decoding.sealed_file import SealedFile
from shared.errors import EarwitnessError, ReferencesElsewhere
from tests.decoding.media import Media, box

#: 4 s of a tone the decoder would hear if it ever followed a reference.
CANARY = Media("wav", "pcm_s16le", seconds=4.0)


class Listener:
    """Counts who calls."""

    def __init__(self) -> None:
        self.calls = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while True:
            try:
                caller, _ = self._socket.accept()
            except OSError:
                return
            self.calls += 1
            caller.close()

    def close(self) -> None:
        # Whoever called before us in the queue has been counted when we have.
        before = self.calls
        socket.create_connection(("127.0.0.1", self.port)).recv(1)
        assert self.calls == before + 1
        self.calls -= 1
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


def quicktime(reference: bytes) -> bytes:
    """A QuickTime film whose samples lie where `reference` says."""
    data = bytearray(Media("mov", "pcm_s16le", seconds=1.0).data())
    at = data.index(b"dref") - 4
    (old,) = struct.unpack_from(">I", data, at)
    dref = box(b"dref", struct.pack(">II", 0, 1) + reference)
    grown = bytes(data[:at]) + dref + bytes(data[at + old :])
    return _with_sizes_grown(grown, at, len(dref) - old)


def _with_sizes_grown(data: bytes, at: int, by: int) -> bytes:
    """Every box that holds offset `at`, longer by `by`."""
    grown, start, end = bytearray(data), 0, len(data)
    while start < at:
        size, name = struct.unpack_from(">I4s", grown, start)
        if start + size > at:
            struct.pack_into(">I", grown, start, size + by)
            inner = name in {b"moov", b"trak", b"mdia", b"minf", b"dinf"}
            start += 8 if inner else end
        else:
            start += size
    return bytes(grown)


def alias(path: str) -> bytes:
    """A Macintosh alias record with an absolute path, as QuickTime reference films have."""
    name = path.rsplit("/", 1)[-1].encode()[:63]
    head = bytes(4) + struct.pack(">HHH", 0, 2, 0) + b"\x06volume".ljust(28, b"\0") + bytes(12)
    head += bytes([len(name)]) + name.ljust(63, b"\0") + bytes(16)
    head += struct.pack(">hh", 1, 1) + bytes(16)
    target = path.encode()
    tail = struct.pack(">hH", 2, len(target)) + target + b"\0" * (len(target) & 1)
    return box(b"alis", bytes(4) + head + tail + struct.pack(">hH", -1, 0))


def url(address: str) -> bytes:
    return box(b"url ", bytes(4) + address.encode() + b"\0")


def references(port: int, canary: str) -> dict[str, bytes]:
    web = f"http://127.0.0.1:{port}/canary.wav"
    texts = {
        "hls": f"#EXTM3U\n#EXTINF:4,\n{web}\n#EXTINF:4,\n{canary}\n#EXT-X-ENDLIST\n",
        "hls-key": f'#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{web}"\n#EXTINF:4,\n{canary}\n',
        "ffconcat": f"ffconcat version 1.0\nfile '{canary}'\nfile '{web}'\n",
        "concat": f"concat:{canary}|{canary}",
        "subfile": f"subfile,,start,0,end,0,,:{canary}",
        "sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=audio {port} RTP/AVP 0\n",
        "dash": f"<MPD><Period><BaseURL>{web}</BaseURL></Period></MPD>",
        "asx": f'<ASX version="3.0"><ENTRY><REF HREF="{web}"/></ENTRY></ASX>',
        "rtsp": f"rtsptext\nrtsp://127.0.0.1:{port}/canary",
        "tagged-hls": "ID3\x04\0\0\0\0\0\0" + f"#EXTM3U\n#EXTINF:4,\n{web}\n",
    }
    films = {
        "mov-alias": alias(canary),
        "mov-url": url(web),
        "mov-file-url": url(f"file://{canary}"),
    }
    sounds = {
        "riff-hls": b"RIFF" + struct.pack("<I", 99) + f"WAVE#EXTM3U\n{web}\n".encode(),
        "ogg-hls": f"OggS#EXTM3U\n{web}\n".encode(),
    }
    return (
        {name: text.encode("latin-1") for name, text in texts.items()}
        | {name: quicktime(entry) for name, entry in films.items()}
        | sounds
    )


def test_references_call_nobody_and_read_nothing(hear, tmp_path):
    canary = tmp_path / "canary.wav"
    canary.write_bytes(CANARY.data())
    read_at = canary.stat().st_atime_ns
    listener = Listener()
    outcomes = {}
    for name, data in references(listener.port, str(canary)).items():
        with pytest.raises(EarwitnessError) as refused:
            hear(data)
        outcomes[name] = refused.value
    listener.close()

    assert listener.calls == 0
    assert canary.stat().st_atime_ns == read_at
    assert not any(outcome.retryable for outcome in outcomes.values())
    expected = {"tagged-hls": "not_audio", "riff-hls": "damaged_audio", "ogg-hls": "damaged_audio"}
    assert {n: o.code for n, o in outcomes.items()} == {
        name: expected.get(name, "references_elsewhere") for name in outcomes
    }


def test_canary_would_sing_if_a_playlist_were_followed(tmp_path):
    """The trap works: bare PyAV, in a process of its own, follows the same playlist."""
    canary = tmp_path / "canary.wav"
    canary.write_bytes(CANARY.data())
    (tmp_path / "list.ffconcat").write_text("ffconcat version 1.0\nfile canary.wav\n")
    code = "import av, sys; print(sum(f.samples for f in av.open(sys.argv[1]).decode(audio=0)))"

    heard = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "list.ffconcat")],
        capture_output=True,
        text=True,
    )

    assert heard.stdout.strip() == "64000"


def test_film_with_its_own_samples_refers_nowhere():
    data = Media("mov", "pcm_s16le", seconds=1.0).data()

    assert not refers_elsewhere(SealedFile(len(data), lambda n, at: data[at : at + n]))


def test_forgotten_flag_without_a_place_means_the_file_itself(hear):
    samples, _ = hear(quicktime(url("")))

    assert samples.shape == (1, 16_000)


def test_film_with_a_reference_is_known_without_ffmpeg():
    data = quicktime(url("http://127.0.0.1:9/"))

    assert refers_elsewhere(SealedFile(len(data), lambda n, at: data[at : at + n]))


def test_wild_box_sizes_end_the_search():
    for body in (b"", struct.pack(">I4s", 4, b"moov"), struct.pack(">I4sQ", 1, b"moov", 1 << 60)):
        assert not refers_elsewhere(SealedFile(len(body), lambda n, at, b=body: b[at : at + n]))


def test_reference_in_a_film_is_refused(hear):
    with pytest.raises(ReferencesElsewhere):
        hear(quicktime(url("http://127.0.0.1:9/")))
