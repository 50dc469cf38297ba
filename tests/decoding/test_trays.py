"""Samples through shared memory: all of them, in order, whatever the decoder says."""

import mmap
import os
import random
import socket
import sys
import threading

import pytest

from gpu_service.decoding.trays import (
    BYTES,
    SOURCE_SAMPLES,
    TRAY_BYTES,
    Emptying,
    Filling,
    room_bytes,
    shared_memory,
)
from gpu_service.decoding.wire import BLOCK_SAMPLES, Broken, receive, send
from shared.domain.sound import MAX_CHANNELS, MAX_RATE_HZ, Facts

SECOND = BLOCK_SAMPLES * 4


@pytest.fixture
def pair():
    """A decoder's channel, its master's, and the memory they share."""
    theirs, ours = socket.socketpair()
    with theirs, ours, mmap.mmap(-1, BYTES) as memory:
        yield theirs, ours, memory


def source(channels, rate_hz):
    return Facts("wav", "pcm_s16le", rate_hz, channels, None)


def emptied(channel, memory):
    """Everything that is handed over until the end."""
    trays, heard = Emptying(channel, memory), []
    while (said := receive(channel, lambda: None))["say"] == "tray":
        heard += [bytes(piece) for piece in trays.pieces(said["bytes"], 4)]
    return heard


@pytest.mark.parametrize("seed", range(5))
def test_blocks_of_any_length_arrive_whole_and_in_order(pair, seed):
    theirs, ours, memory = pair
    chance = random.Random(seed)
    room = SECOND * chance.randint(1, TRAY_BYTES // SECOND)
    blocks = [chance.randbytes(4 * chance.randint(1, BLOCK_SAMPLES)) for _ in range(90)]

    def decode():
        trays = Filling(theirs, memory, room)
        for block in blocks:
            trays.lay(memoryview(block))
        trays.finish()
        send(theirs, {"say": "end"})

    decoder = threading.Thread(target=decode)
    decoder.start()
    heard = emptied(ours, memory)
    decoder.join()

    assert b"".join(heard) == b"".join(blocks)
    assert {len(piece) for piece in heard[:-1]} == {SECOND}
    with pytest.raises(BlockingIOError):  # the next recording finds a silent channel
        theirs.recv(1, socket.MSG_DONTWAIT)


@pytest.mark.parametrize("read", [False, True], ids=["unread", "read"])
def test_decoder_whose_master_has_gone_is_told(pair, read):
    theirs, ours, memory = pair
    trays = Filling(theirs, memory, SECOND)
    trays.lay(memoryview(bytes(SECOND)))
    if read:
        receive(ours, lambda: None)
    ours.close()

    with pytest.raises(ConnectionError):
        trays.finish()


@pytest.mark.parametrize(
    "n_bytes",
    [None, "4", 4.0, True, -4, 0, 2, TRAY_BYTES + 4, 1 << 63],
    ids=repr,
)
def test_size_no_tray_has_is_refused(pair, n_bytes):
    _, ours, memory = pair

    with pytest.raises(Broken):
        list(Emptying(ours, memory).pieces(n_bytes, 4))


@pytest.mark.parametrize(("n_bytes", "goes_on"), [(SECOND, True), (SECOND - 4, False)])
def test_only_the_last_tray_holds_less_than_a_second(pair, n_bytes, goes_on):
    _, ours, memory = pair
    trays = Emptying(ours, memory)
    list(trays.pieces(n_bytes, 4))

    if goes_on:
        assert len(list(trays.pieces(SECOND, 4))) == 1
    else:
        with pytest.raises(Broken):
            list(trays.pieces(SECOND, 4))


def test_decoder_that_takes_nothing_back_is_noticed_and_blocks_nobody(pair):
    _, ours, memory = pair
    trays = Emptying(ours, memory)

    with pytest.raises(Broken):
        while True:  # until the channel is full of what nobody reads
            list(trays.pieces(SECOND, 4))


def test_decoder_that_died_is_left_to_the_next_look(pair):
    theirs, ours, memory = pair
    theirs.close()

    assert len(list(Emptying(ours, memory).pieces(SECOND, 4))) == 1


def test_costly_sources_are_handed_over_sooner():
    assert room_bytes(source(2, 44_100), 1) == TRAY_BYTES
    assert room_bytes(source(8, 96_000), 1) == TRAY_BYTES
    assert room_bytes(source(8, 384_000), 1) == 4 * SECOND
    assert room_bytes(source(8, 48_000), 8) == TRAY_BYTES
    assert SOURCE_SAMPLES >= MAX_CHANNELS * MAX_RATE_HZ  # a second always fits


@pytest.mark.skipif(sys.platform != "linux", reason="seals are Linux's")
def test_shared_memory_is_never_cut_or_grown_or_unsealed():
    import fcntl

    fd = shared_memory()

    for size in (0, BYTES - 1, BYTES + 1):
        with pytest.raises(PermissionError):
            os.ftruncate(fd, size)
    with pytest.raises(PermissionError):
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    assert os.fstat(fd).st_size == BYTES
    os.close(fd)


def test_shared_memory_is_a_nameless_file_where_there_are_no_seals(monkeypatch):
    monkeypatch.setattr(sys, "platform", "elsewhere")

    fd = shared_memory()

    assert os.fstat(fd).st_size == BYTES
    assert os.fstat(fd).st_nlink == 0
    os.close(fd)
