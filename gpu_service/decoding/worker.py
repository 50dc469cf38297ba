"""A decoder process's life: one recording after another, as long as its master sends them."""

import mmap
import os
import socket
from dataclasses import asdict
from functools import partial

from gpu_service.decoding.reading import Reading
from gpu_service.decoding.sealed_file import SealedFile
from gpu_service.decoding.trays import Filling, room_bytes
from gpu_service.decoding.wire import receive_order, send
from shared.errors import DecoderLimit, RefusedAudio


def serve(channel: socket.socket, memory: mmap.mmap) -> None:
    """Decode what comes over `channel` into the trays in `memory` until the master goes."""
    while (received := receive_order(channel)) is not None:
        order, (fd,) = received
        try:
            file = SealedFile(order["size"], partial(os.pread, fd))
            answer(channel, memory, file, separate=order["separate"])
        finally:
            os.close(fd)


def answer(channel: socket.socket, memory: mmap.mmap, file: SealedFile, *, separate: bool) -> None:
    """facts, trays, end; or a refusal, after which the master throws this process away."""
    try:
        _decode(channel, memory, file, separate)
    except RefusedAudio as refusal:
        send(channel, {"say": "refused", "code": refusal.code, "message": str(refusal)})
    except MemoryError:
        send(channel, {"say": "refused", "code": DecoderLimit.code, "message": ""})


def _decode(channel: socket.socket, memory: mmap.mmap, file: SealedFile, separate: bool) -> None:
    reading = Reading(file, separate=separate)
    try:
        send(channel, {"say": "facts", "promised": reading.promises, **asdict(reading.facts)})
        trays = Filling(channel, memory, room_bytes(reading.facts, reading.n_channels))
        for block in reading.blocks():
            trays.lay(block)
        trays.finish()
        said = [{"code": c.code, "message": c.message} for c in reading.cautions()]
        send(channel, {"say": "end", "cautions": said})
    finally:
        reading.close()
