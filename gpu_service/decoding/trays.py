"""Where a decoder lays its samples: two trays of memory that it shares with its master.

Samples that crossed a socket were copied three times and woke both sides every second of sound,
which cost 7 to 17 % of the decoding. Now the decoder fills one tray while the master empties the
other, and a short word passes when a tray is full or empty. A word costs 0.15 ms where machines
are virtual, so trays are large: 2 s of sound in each cost 14 % of a WAV, 8 s 4 %, 16 s 1 %.

The decoder may write into a tray at any time, also into one that the master has: the master
copies samples before it looks at them. The memory can be made neither shorter nor longer, so
that nobody's reading ends in SIGBUS.
"""

import mmap
import os
import socket
import sys
import tempfile
from collections.abc import Iterator

from gpu_service.decoding.wire import BLOCK_SAMPLES, SAMPLE_BYTES, Broken, send
from shared.domain.sound import MAX_CHANNELS, Facts

TRAYS = 2
#: Bytes: two seconds of as many channels as we hear, 16 seconds of one; 250 pages.
TRAY_BYTES = 2 * MAX_CHANNELS * BLOCK_SAMPLES * SAMPLE_BYTES
BYTES = TRAYS * TRAY_BYTES
#: Samples over all channels that are decoded for one tray, 16 s of 8 channels at 96 kHz: at
#: most 0.15 s of work. A recording made to cost much is not far ahead of whoever counts.
SOURCE_SAMPLES = 16 * 8 * 96_000
#: What the master says when a tray is empty again.
EMPTIED = b"."


def shared_memory() -> int:
    """A new descriptor of BYTES zeros, to be mapped by a decoder and its master.

    Source: memfd_create(2) and fcntl(2), "File sealing". Elsewhere than on Linux it is a file
    without a name and without a seal; there no filter holds a decoder either.
    """
    if sys.platform != "linux":
        with tempfile.TemporaryFile() as file:
            file.truncate(BYTES)
            return os.dup(file.fileno())
    import fcntl

    fd = os.memfd_create("samples", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, BYTES)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    return fd


def room_bytes(facts: Facts, n_channels: int) -> int:
    """How much of a tray to fill with `n_channels` of such a source: whole seconds."""
    second_bytes = n_channels * BLOCK_SAMPLES * SAMPLE_BYTES
    seconds = min(
        TRAY_BYTES // second_bytes, SOURCE_SAMPLES // (facts.channels * facts.sample_rate_hz)
    )
    return max(seconds, 1) * second_bytes


class Filling:
    """The decoder's side, for one recording; `memory` has BYTES that can be written."""

    def __init__(self, channel: socket.socket, memory: mmap.mmap, room_bytes: int) -> None:
        self._channel, self._memory, self._room = channel, memory, room_bytes
        self._tray = self._filled = self._away = 0

    def lay(self, block: memoryview) -> None:
        """Put samples down; waits while the master has both trays.

        Raises:
            ConnectionError: the master has gone.
        """
        while block:
            if self._away == TRAYS:
                self._await_one()
            part = block[: self._room - self._filled]
            at = self._tray * TRAY_BYTES + self._filled
            self._memory[at : at + len(part)] = part
            self._filled += len(part)
            if self._filled == self._room:
                self._hand_over()
            block = block[len(part) :]

    def finish(self) -> None:
        """Hand over what is left and wait for every tray, so that the channel is silent again.

        Raises:
            ConnectionError: the master has gone.
        """
        if self._filled:
            self._hand_over()
        while self._away:
            self._await_one()

    def _hand_over(self) -> None:
        send(self._channel, {"say": "tray", "bytes": self._filled})
        self._tray, self._filled = (self._tray + 1) % TRAYS, 0
        self._away += 1

    def _await_one(self) -> None:
        # recvmsg is the one way to read that the sandbox leaves.
        said, _, _, _ = self._channel.recvmsg(len(EMPTIED))
        if not said:
            raise ConnectionResetError
        self._away -= 1


class Emptying:
    """The master's side, for one recording; trust nothing that lies in a tray."""

    def __init__(self, channel: socket.socket, memory: mmap.mmap) -> None:
        self._channel, self._memory = channel, memory
        self._tray = 0
        self._short = False

    def pieces(self, n_bytes: object, sample_bytes: int) -> Iterator[memoryview]:
        """The tray's samples, a second at a time; afterwards the decoder has it back.

        What is yielded may change while it is read: copy it, then check the copy.
        `sample_bytes` is a sample of all channels.

        Raises:
            Broken: no size a tray can have, a tray after one of less than a second, or a
                decoder that never takes back what it is given.
        """
        if not isinstance(n_bytes, int) or n_bytes % sample_bytes:
            raise Broken
        if self._short or not 0 < n_bytes <= TRAY_BYTES:
            raise Broken
        # Only the last may be short: single samples would cost the master more than the decoder.
        self._short = n_bytes < BLOCK_SAMPLES * sample_bytes
        begin = self._tray * TRAY_BYTES
        tray = memoryview(self._memory)[begin : begin + n_bytes]
        for at in range(0, n_bytes, BLOCK_SAMPLES * sample_bytes):
            yield tray[at : at + BLOCK_SAMPLES * sample_bytes]
        self._tray = (self._tray + 1) % TRAYS
        self._give_back()

    def _give_back(self) -> None:
        try:
            self._channel.send(EMPTIED, socket.MSG_DONTWAIT)
        except BlockingIOError as error:
            raise Broken from error
        except OSError:  # it died, which the next `receive` says
            return
