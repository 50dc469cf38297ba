"""A decoder process's life: one recording after another, as long as its master sends them."""

import os
import socket
from dataclasses import asdict
from functools import partial

from gpu_service.decoding.reading import Reading
from gpu_service.decoding.sealed_file import SealedFile
from gpu_service.decoding.wire import receive_order, send
from shared.errors import DecoderLimit, RefusedAudio


def serve(channel: socket.socket) -> None:
    """Decode what comes over `channel` until the master goes."""
    while (received := receive_order(channel)) is not None:
        order, (fd,) = received
        try:
            file = SealedFile(order["size"], partial(os.pread, fd))
            answer(channel, file, separate=order["separate"])
        finally:
            os.close(fd)


def answer(channel: socket.socket, file: SealedFile, *, separate: bool) -> None:
    """facts, blocks, end; or a refusal, after which the master throws this process away."""
    try:
        _decode(channel, file, separate)
    except RefusedAudio as refusal:
        send(channel, {"say": "refused", "code": refusal.code, "message": str(refusal)})
    except MemoryError:
        send(channel, {"say": "refused", "code": DecoderLimit.code, "message": ""})


def _decode(channel: socket.socket, file: SealedFile, separate: bool) -> None:
    reading = Reading(file, separate=separate)
    try:
        send(channel, {"say": "facts", "promised": reading.promises, **asdict(reading.facts)})
        for block in reading.blocks():
            send(channel, {"say": "block"}, block)
        said = [{"code": c.code, "message": c.message} for c in reading.cautions()]
        send(channel, {"say": "end", "cautions": said})
    finally:
        reading.close()
