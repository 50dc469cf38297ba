"""The worker in this process, without a sandbox: the same sound, the same words."""

import mmap
import socket
import threading
from typing import NamedTuple

import numpy as np
import pytest

from gpu_service.decoding.endings import is_cut
from gpu_service.decoding.nursery import tiny_wav, warm_up
from gpu_service.decoding.sandbox import mapped_bytes, resident_bytes, seccomp_filter
from gpu_service.decoding.sealed_file import SealedFile
from gpu_service.decoding.trays import BYTES, EMPTIED, Emptying
from gpu_service.decoding.wire import receive, send_order
from gpu_service.decoding.worker import answer, serve
from tests.decoding.conftest import on_disk
from tests.decoding.media import Media, wav
from tests.decoding.test_heard import HEARD
from tests.decoding.test_refused import DAMAGED, LYING, NOISE, REFERENCES, REFUSED, WHOLE


@pytest.fixture(scope="module")
def memory():
    return mmap.mmap(-1, BYTES)


@pytest.fixture(scope="module")
def channel(memory):
    """The master's end of a channel to a worker that is a thread."""
    ours, theirs = socket.socketpair()
    worker = threading.Thread(target=serve, args=(theirs, memory))
    worker.start()
    yield Master(ours, memory)
    ours.close()
    worker.join()
    theirs.close()


class Master(NamedTuple):
    channel: socket.socket
    memory: mmap.mmap


def told(master, data, *, separate=False):
    """What the worker says of `data`: its last words, and the samples."""
    channel, trays = master.channel, Emptying(*master)
    with on_disk(data) as sound:
        send_order(channel, {"size": len(data), "separate": separate}, sound.fileno())
        blocks = []
        while (said := receive(channel, lambda: None))["say"] not in {"end", "refused"}:
            if said["say"] == "tray":
                blocks += [bytes(piece) for piece in trays.pieces(said["bytes"], 4)]
    return said, np.frombuffer(b"".join(blocks), np.float32)


def codes(head):
    return [c["code"] for c in head["cautions"]]


@pytest.mark.parametrize("name", HEARD)
def test_sandbox_changes_no_sample(channel, hear, name):
    data = HEARD[name][0].data()

    sandboxed, decoding = hear(data)
    head, free = told(channel, data)

    np.testing.assert_array_equal(sandboxed[0], np.clip(free, -1, 1))
    assert codes(head) == [c.code for c in decoding.cautions]


@pytest.mark.parametrize("name", [n for n, (data, _) in REFUSED.items() if data])
def test_sandbox_changes_no_refusal(channel, name):
    """A refusal comes from the file and not from a call the filter denies."""
    data, refusal = REFUSED[name]

    assert told(channel, data)[0]["code"] == refusal.code


@pytest.mark.parametrize("text", REFERENCES.values(), ids=REFERENCES)
def test_playlists_are_known_by_their_text(channel, text):
    assert told(channel, text.encode())[0]["code"] == "references_elsewhere"


@pytest.mark.parametrize("name", WHOLE)
def test_whole_file_carries_no_caution_and_half_of_it_does(channel, name):
    data = WHOLE[name].data()

    whole, _ = told(channel, data)
    half, _ = told(channel, data[: len(data) * 5 // 8])

    assert codes(whole) == []
    assert "cut_short" in codes(half)


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_is_said(channel, name):
    data = bytearray(WHOLE[name].data())
    data[len(data) // 2 : len(data) // 2 + 2_000] = NOISE[:2_000]

    assert DAMAGED[name][0] in codes(told(channel, bytes(data))[0])


@pytest.mark.parametrize("data", LYING.values(), ids=LYING)
def test_lying_sizes_are_no_cut(channel, data):
    assert codes(told(channel, data)[0]) == []


def test_channels_travel_interleaved(channel):
    samples = np.array([[1, 2], [3, 4]] * 800, "<i2")

    _, free = told(channel, wav(samples.tobytes(), channels=2), separate=True)

    np.testing.assert_array_equal(free, samples.ravel() / np.float32(32768))


def test_warming_up_decodes_what_it_makes(channel):
    warm_up()

    head, samples = told(channel, tiny_wav())

    assert head["say"] == "end"
    assert samples.size == 800


def test_a_process_can_see_its_own_memory():
    virtual, data = mapped_bytes()

    assert virtual > resident_bytes() > 0
    assert virtual > data > 0
    assert resident_bytes("0") == 0  # there is no such process
    assert seccomp_filter() is not None


@pytest.mark.parametrize("after", [0, 1, 3], ids=["sniffing", "opening", "decoding"])
def test_memory_that_runs_out_anywhere_is_a_limit(after, memory):
    """The kernel's answer at RLIMIT_DATA reaches Python as MemoryError, at any point."""
    data = wav(bytes(32_000 * 60))
    reads = iter(range(100))

    def at(n_bytes: int, offset: int) -> bytes:
        if next(reads) >= after:
            raise MemoryError
        return data[offset : offset + n_bytes]

    ours, theirs = socket.socketpair()
    with ours, theirs:
        file = SealedFile(len(data), at)
        worker = threading.Thread(
            target=answer, args=(theirs, memory, file), kwargs={"separate": False}
        )
        worker.start()
        said = receive(ours, lambda: None)
        while said["say"] in {"facts", "tray"}:
            ours.sendall(EMPTIED)
            said = receive(ours, lambda: None)
        worker.join()

    assert said["code"] == "decoder_limit"


@pytest.mark.parametrize("keep", [10, 27, 30, 47])
def test_ogg_that_ends_inside_a_page_head_is_cut(keep):
    whole = WHOLE["ogg-opus"].data()
    data = whole[: whole.rindex(b"OggS") + keep]

    assert is_cut(SealedFile(len(data), lambda n, at: data[at : at + n]), "ogg")


@pytest.mark.parametrize(("missing", "cut"), [(0, False), (1, True)])
def test_wav_is_cut_by_a_byte(missing, cut):
    data = wav(bytes(3_200))
    data = data[: len(data) - missing]

    assert is_cut(SealedFile(len(data), lambda n, at: data[at : at + n]), "wav") is cut


@pytest.mark.parametrize(("missing", "cut"), [(0, False), (1, True)])
def test_rf64_is_cut_by_a_byte(missing, cut):
    data = Media("wav", "pcm_s16le", options=(("rf64", "always"),)).data()
    data = data[: len(data) - missing]

    assert is_cut(SealedFile(len(data), lambda n, at: data[at : at + n]), "wav") is cut


def test_wav_without_an_end_of_chunks_is_no_cut():
    data = wav(b"")[:36] + b"LIST\0\0\0\0" * 100

    assert not is_cut(SealedFile(len(data), lambda n, at: data[at : at + n]), "wav")
