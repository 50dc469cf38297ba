"""How a decoder process and its master speak: small JSON objects, their sizes checked.

Nothing is ever unpickled: what a decoder says may be what a hostile file made it say. numpy
stays out of here, so that it stays out of the decoder process: 20 MB and its threads.
"""

import json
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any

from shared.domain.sound import SAMPLE_RATE

#: Samples of one channel in a block, at most: one second.
BLOCK_SAMPLES = SAMPLE_RATE
SAMPLE_BYTES = 4  #: float32
#: Bytes. The largest message is a refusal or a list of cautions, well below this.
MAX_SAID_BYTES = 4096
#: An unsigned 32-bit number in network order: bytes of the message.
SIZE = struct.Struct("!I")
#: Bytes of a message towards a decoder or the nursery; the sentences are ours and short.
MAX_ORDER_BYTES = 512
#: A birth takes a channel and the trays; a recording is one.
MAX_ORDER_FDS = 2

#: Called whenever nothing came for a while; raises what ends the waiting.
Idle = Callable[[], None]


class Broken(Exception):
    """The other side closed the channel, or said what no honest side says."""


def send(channel: socket.socket, message: Mapping[str, object]) -> None:
    """Say one thing; blocks while the other side is busy."""
    said = json.dumps(message).encode()
    channel.sendall(SIZE.pack(len(said)) + said)


def patient(channel: socket.socket, look_s: float) -> None:
    """Let `receive` call its `idle` every `look_s` seconds.

    By a socket option, not Python's timeout, which asks the kernel twice for every read.
    """
    whole = int(look_s)
    wait = struct.pack("@ll", whole, int((look_s - whole) * 1e6))
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)


def receive(channel: socket.socket, idle: Idle) -> dict[str, Any]:
    """The next thing the other side says.

    Raises:
        Broken: end of the channel, a size beyond the limit, or what is no JSON object.
        Whatever `idle` raises, when the channel's timeout passes.
    """
    (n_bytes,) = SIZE.unpack(_exactly(channel, SIZE.size, idle))
    if n_bytes > MAX_SAID_BYTES:
        raise Broken
    try:
        message = json.loads(_exactly(channel, n_bytes, idle))
    except (ValueError, RecursionError) as error:
        raise Broken from error
    if not isinstance(message, dict):
        raise Broken
    return message


def _exactly(channel: socket.socket, n_bytes: int, idle: Idle) -> bytearray:
    """`n_bytes` from the channel."""
    received = bytearray(n_bytes)
    rest = memoryview(received)
    while len(rest):
        try:
            # A channel of `patient` comes back empty-handed now and then.
            n = channel.recv_into(rest, 0, socket.MSG_WAITALL)
        except (BlockingIOError, TimeoutError):
            idle()
            continue
        except OSError as error:
            raise Broken from error
        if not n:
            raise Broken
        rest = rest[n:]
    return received


def send_order(channel: socket.socket, order: Mapping[str, object], *fds: int) -> None:
    """Ask for something, with the open descriptors it needs."""
    said = json.dumps(order).encode()
    if fds:
        socket.send_fds(channel, [said], fds)
    else:
        channel.sendall(said)


def receive_order(channel: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The next order and its descriptors; None when the master has gone."""
    said, fds, _, _ = socket.recv_fds(channel, MAX_ORDER_BYTES, MAX_ORDER_FDS)
    return (json.loads(said), fds) if said else None
