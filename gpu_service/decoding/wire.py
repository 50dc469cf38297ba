"""How a decoder process and its master speak: small JSON heads, raw samples, sizes checked.

Nothing is ever unpickled: what a decoder says may be what a hostile file made it say. numpy
stays out of here, so that it stays out of the decoder process: 20 MB and its threads.
"""

import json
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.domain.sound import MAX_CHANNELS, SAMPLE_RATE

#: Samples of one channel in a block, at most: one second.
BLOCK_SAMPLES = SAMPLE_RATE
SAMPLE_BYTES = 4  #: float32
#: Bytes. The largest head is a refusal or a list of cautions, well below this.
MAX_HEAD_BYTES = 4096
MAX_BODY_BYTES = MAX_CHANNELS * BLOCK_SAMPLES * SAMPLE_BYTES
#: Two unsigned 32-bit numbers in network order: bytes of the head, bytes of the body.
SIZES = struct.Struct("!II")
#: Bytes of a message towards a decoder or the nursery; the sentences are ours and short.
MAX_ORDER_BYTES = 512

#: Called whenever nothing came for a while; raises what ends the waiting.
Idle = Callable[[], None]


class Broken(Exception):
    """The other side closed the channel, or said what no honest side says."""


@dataclass(frozen=True, slots=True)
class Message:
    head: dict[str, Any]
    body: bytearray


def send(channel: socket.socket, head: Mapping[str, object], body: bytes = b"") -> None:
    """Say one thing; blocks while the other side is busy."""
    said = json.dumps(head).encode()
    channel.sendall(SIZES.pack(len(said), len(body)) + said + body)


def patient(channel: socket.socket, look_s: float) -> None:
    """Let `receive` call its `idle` every `look_s` seconds, and the sender run ahead.

    By a socket option, not Python's timeout, which asks the kernel twice for every read.
    """
    whole = int(look_s)
    wait = struct.pack("@ll", whole, int((look_s - whole) * 1e6))
    channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, wait)


def receive(channel: socket.socket, idle: Idle) -> Message:
    """The next thing the other side says.

    Raises:
        Broken: end of the channel, sizes beyond the limits, or a head that is no JSON object.
        Whatever `idle` raises, when the channel's timeout passes.
    """
    head_bytes, body_bytes = SIZES.unpack(_exactly(channel, SIZES.size, idle))
    if head_bytes > MAX_HEAD_BYTES or body_bytes > MAX_BODY_BYTES:
        raise Broken
    head = _head(_exactly(channel, head_bytes, idle))
    return Message(head, _exactly(channel, body_bytes, idle))


def _head(said: bytearray) -> dict[str, Any]:
    try:
        head = json.loads(said)
    except (ValueError, RecursionError) as error:
        raise Broken from error
    if not isinstance(head, dict):
        raise Broken
    return head


def _exactly(channel: socket.socket, n_bytes: int, idle: Idle) -> bytearray:
    """`n_bytes` from the channel, received in place: no second copy of the samples."""
    received = bytearray(n_bytes)
    rest = memoryview(received)
    while len(rest):
        try:
            # One wake for all of it where the kernel can; in a virtual machine a wake costs more
            # than the copy. A channel of `patient` comes back empty-handed now and then.
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


def send_order(channel: socket.socket, order: Mapping[str, object], fd: int | None = None) -> None:
    """Ask for something, with an open descriptor where it needs one."""
    said = json.dumps(order).encode()
    if fd is None:
        channel.sendall(said)
    else:
        socket.send_fds(channel, [said], [fd])


def receive_order(channel: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """The next order and its descriptors; None when the master has gone."""
    said, fds, _, _ = socket.recv_fds(channel, MAX_ORDER_BYTES, 1)
    return (json.loads(said), fds) if said else None
