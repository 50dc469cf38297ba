"""The process that decoders are born from: small, single-threaded, older than any model.

An own forkserver instead of multiprocessing's: that one is a singleton of the process with the
environment of its parent, imports the main module into every child, and reads pickles.
This one starts with an empty environment, keeps two dozen lines of protocol, stays the parent
of every child (so a process id is never reused while somebody may still kill it), and dies
with its master: its channel ends.
"""

import gc
import importlib
import mmap
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from gpu_service.decoding.sandbox import CHANNEL_FD, enclose, keep_only, seccomp_filter
from gpu_service.decoding.sealed_file import SealedFile
from gpu_service.decoding.trays import BYTES, EMPTIED
from gpu_service.decoding.wire import receive_order, send, send_order
from gpu_service.decoding.worker import answer

Serve = Callable[[socket.socket, mmap.mmap], None]


def main(control_fd: int, serve_at: str) -> None:
    """Serve fork and end orders until the master goes. `serve_at` is "module:function"."""
    # One thread of our own is all there is: numerical libraries must not start theirs.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    module, function = serve_at.split(":")
    serve: Serve = getattr(importlib.import_module(module), function)
    warm_up()
    rules = seccomp_filter()
    gc.collect()
    gc.freeze()  # children share what lies here; collecting would copy it page by page
    Nursery(socket.socket(fileno=control_fd), serve, rules).run()


class Nursery:
    def __init__(self, control: socket.socket, serve: Serve, rules: Any) -> None:
        self._control, self._serve, self._rules = control, serve, rules
        self._children: set[int] = set()

    def run(self) -> None:
        """Fork and end as told; all children end with us."""
        try:
            while (received := receive_order(self._control)) is not None:
                order, fds = received
                self._obey(order, fds)
        finally:
            for pid in list(self._children):
                self._end(pid)

    def _obey(self, order: dict[str, Any], fds: list[int]) -> None:
        if order["do"] == "fork":
            send_order(self._control, {"pid": self._fork(*fds)})
            for fd in fds:
                os.close(fd)
        else:
            send_order(self._control, self._end(order["pid"]))

    def _fork(self, channel_fd: int, memory_fd: int) -> int:
        pid = os.fork()
        if not pid:
            be_a_child(channel_fd, memory_fd, self._serve, self._rules)
        self._children.add(pid)
        return pid

    def _end(self, pid: int) -> dict[str, float]:
        """Kill a child and say how it had ended (a signal, 0 for none) and what it had used."""
        if pid not in self._children:
            return {"signal": 0, "cpu_s": 0.0, "peak_bytes": 0}
        os.kill(pid, signal.SIGKILL)
        _, status, used = os.wait4(pid, 0)
        self._children.discard(pid)
        peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return {
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
            "cpu_s": used.ru_utime + used.ru_stime,
            "peak_bytes": peak,
        }


def be_a_child(  # pragma: no cover
    channel_fd: int, memory_fd: int, serve: Serve, rules: Any
) -> None:
    """Enclose this process, say so, serve, and leave; never returns."""
    try:
        memory = mmap.mmap(memory_fd, BYTES)
        keep_only(channel_fd)
        channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=CHANNEL_FD)
        sandboxed = enclose(rules)
        send(channel, {"say": "ready", "sandboxed": sandboxed})
        serve(channel, memory)
    finally:
        # Not sys.exit: the nursery's own clean-up is not ours.
        os._exit(0)


def warm_up() -> None:
    """Decode and refuse a little, so that no child has to load anything when it no longer can."""
    ours, theirs = socket.socketpair()
    with ours, theirs, mmap.mmap(-1, BYTES) as memory:
        ours.sendall(EMPTIED)  # for the one tray that the sound fills
        for sound in (tiny_wav(), tiny_wav()[:30], "\ufeff#EXTM3U".encode("utf-16"), b"text"):
            answer(theirs, memory, SealedFile(len(sound), partial(_slice, sound)), separate=False)


def _slice(sound: bytes, n_bytes: int, at: int) -> bytes:
    return sound[at : at + n_bytes]


def tiny_wav() -> bytes:
    """A twentieth of a second of silence: 8 kHz, 16 bit, stereo."""
    rate, n = 8000, 400
    form = struct.pack("<HHIIHH", 1, 2, rate, rate * 4, 4, 16)
    data = (
        b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", n * 4) + bytes(n * 4)
    )
    return b"RIFF" + struct.pack("<I", 4 + len(data)) + b"WAVE" + data
