"""Decoder processes that obey evil code: what they try stands here, what holds is tested."""

import ctypes
import json
import mmap
import os
import resource
import signal
import socket
import threading
from collections.abc import Callable

from gpu_service.decoding.trays import BYTES, TRAY_BYTES
from gpu_service.decoding.wire import SIZE, receive_order, send

#: The C library, loaded before the sandbox closes; a conquered process has it anyway.
LIBC = ctypes.CDLL(None, use_errno=True)
#: Numbers of x86_64 and aarch64 where they are the same; io_uring_setup, pidfd_open.
IO_URING_SETUP, PIDFD_OPEN = 425, 434


def write_file() -> None:
    os.open("canary", os.O_CREAT | os.O_WRONLY)


def write_descriptor() -> None:
    os.write(4, b"overwritten")


def ptrace_parent() -> None:
    _checked(LIBC.ptrace(16, os.getppid(), 0, 0))


def map_code() -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)


def make_code_runnable() -> None:
    page = mmap.mmap(-1, 4096)
    at = ctypes.addressof(ctypes.c_char.from_buffer(page))
    _checked(LIBC.mprotect(ctypes.c_void_p(at), 4096, mmap.PROT_READ | mmap.PROT_EXEC))


def io_uring() -> None:
    _checked(LIBC.syscall(IO_URING_SETUP, 8, ctypes.create_string_buffer(120)))


def another_process() -> None:
    if os.fork() == 0:
        os._exit(0)


ATTEMPTS: dict[str, Callable[[], object]] = {
    "tcp-socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    "unix-socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
    "socket-pair": socket.socketpair,
    "connect": lambda: _checked(LIBC.connect(3, b"\1\0/x\0", 5)),
    "bind": lambda: _checked(LIBC.bind(3, b"\1\0/x\0", 5)),
    "pass-descriptor-out": lambda: _checked(LIBC.sendmsg(3, bytes(56), 0)),
    "read-file": lambda: os.open("/etc/passwd", os.O_RDONLY),
    "write-file": write_file,
    "write-recording": write_descriptor,
    "list-folder": lambda: os.listdir("/"),  # noqa: PTH208
    "stat": lambda: os.stat("/etc/passwd"),  # noqa: PTH116
    "unlink": lambda: os.unlink("/nowhere"),  # noqa: PTH108
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "fork": another_process,
    "thread": lambda: threading.Thread(target=int).start(),
    "kill-master": lambda: os.kill(os.getppid(), 0),
    "ptrace": ptrace_parent,
    "change-limits": lambda: _checked(LIBC.prlimit(0, resource.RLIMIT_CPU, bytes(16), None)),
    "io-uring": io_uring,
    "pidfd": lambda: _checked(LIBC.syscall(PIDFD_OPEN, os.getppid(), 0)),
    "map-code": map_code,
    "make-code-runnable": make_code_runnable,
    "duplicate-descriptor": lambda: os.dup(3),
    "memory-file": lambda: os.memfd_create("x"),
}


def try_everything(channel: socket.socket, memory: mmap.mmap) -> None:
    """Try each attempt and report what came of it."""
    _, (fd,) = receive_order(channel)
    open_fds = [n for n in range(64) if _is_open(n)]
    outcomes = {name: _outcome(attempt) for name, attempt in ATTEMPTS.items()}
    outcomes["environment"] = json.dumps(dict(os.environ))
    outcomes["descriptors"] = json.dumps([n for n in open_fds if n != fd])
    for name, outcome in outcomes.items():
        send(channel, {"say": "tried", "name": name, "outcome": outcome})
    send(channel, {"say": "end"})


def _outcome(attempt: Callable[[], object]) -> str:
    try:
        return f"done: {attempt()}"
    except (PermissionError, RuntimeError) as error:
        return f"denied: {error}"
    except Exception as error:  # whatever it is must be reported
        return f"failed: {error!r}"


def _checked(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), "denied")


def _is_open(fd: int) -> bool:
    try:
        os.lseek(fd, 0, os.SEEK_CUR)
    except OSError as error:
        return error.errno != 9
    return True


FACTS = {"container": "wav", "codec": "pcm_s16le", "sample_rate_hz": 16_000, "channels": 1}
GOOD = {"say": "facts", **FACTS, "duration_s": 1.0}
TRAY = {"say": "tray", "bytes": TRAY_BYTES}

#: What a conquered decoder may say: objects, or raw bytes.
LIES: dict[str, list[dict[str, object] | bytes]] = {
    "huge-message": [SIZE.pack(1 << 30)],
    "no-json": [SIZE.pack(4) + b"\x80\x04N."],
    "deep-json": [SIZE.pack(4000) + b"[" * 4000],
    "no-object": [SIZE.pack(2) + b"[]"],
    "nothing-said": [{}],
    "unknown-word": [{"say": "obey"}],
    "tray-before-facts": [TRAY],
    "unknown-refusal": [{"say": "refused", "code": "store_unavailable", "message": ""}],
    "container-of-its-own": [{**GOOD, "container": "../../etc"}],
    "codec-with-html": [{**GOOD, "codec": "<script>"}],
    "rate-of-zero": [{**GOOD, "sample_rate_hz": 0}],
    "nine-channels": [{**GOOD, "channels": 9}],
    "endless-duration": [{**GOOD, "duration_s": float("inf")}],
    "duration-as-text": [{**GOOD, "duration_s": "1"}],
    "tray-of-no-size": [GOOD, {"say": "tray"}],
    "size-as-text": [GOOD, {**TRAY, "bytes": "64000"}],
    "size-as-fraction": [GOOD, {**TRAY, "bytes": 64000.0}],
    "empty-tray": [GOOD, {**TRAY, "bytes": 0}],
    "negative-tray": [GOOD, {**TRAY, "bytes": -4}],
    "half-a-sample": [GOOD, {**TRAY, "bytes": 62}],
    "tray-beyond-its-end": [GOOD, {**TRAY, "bytes": TRAY_BYTES + 4}],
    "tray-of-terabytes": [GOOD, {**TRAY, "bytes": 1 << 42}],
    "samples-one-by-one": [GOOD, {**TRAY, "bytes": 4}, {**TRAY, "bytes": 4}],
    "facts-twice": [GOOD, GOOD],
    "cautions-missing": [GOOD, {"say": "end"}],
    "caution-with-html": [GOOD, {"say": "end", "cautions": [{"code": "<b>", "message": ""}]}],
    "cut-off": [GOOD, SIZE.pack(100) + b"{"],
}


def lie(channel: socket.socket, memory: mmap.mmap) -> None:
    """Say the lie whose number stands at the beginning of the file, then leave."""
    _, (fd,) = receive_order(channel)
    for said in list(LIES.values())[os.pread(fd, 1, 0)[0]]:
        if isinstance(said, bytes):
            channel.sendall(said)
        else:
            send(channel, said)


def misbehave(channel: socket.socket, memory: mmap.mmap) -> None:
    """Do what the file says with the process itself."""
    _, (fd,) = receive_order(channel)
    send(channel, GOOD)
    MISDEEDS[os.pread(fd, 100, 0).decode()](channel, memory)


def spin(channel: socket.socket, memory: mmap.mmap) -> None:
    while True:
        pass


def stand_still(channel: socket.socket, memory: mmap.mmap) -> None:
    """Waits for itself; sleeping is not among the calls it has."""
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def hoard(channel: socket.socket, memory: mmap.mmap) -> None:
    try:
        hoarded = [bytearray(1 << 20) for _ in range(4096)]
    except MemoryError:
        hoarded = []
        send(channel, {"say": "refused", "code": "decoder_limit", "message": ""})
    del hoarded


def flood(channel: socket.socket, memory: mmap.mmap) -> None:
    """Hands over trays for ever, whether they came back or not, and never reads."""
    while True:
        send(channel, TRAY)


def change_what_is_read(channel: socket.socket, memory: mmap.mmap) -> None:
    """Keeps writing into the tray that the master has."""
    nonsense, sound = b"\0\0\xc0\x7f\0\0\x80\x7f\0\0\x00\x7f", b"\0\0\0\x3f" * 3
    send(channel, TRAY)
    for n in range(2_000):
        memory[: BYTES // 12 * 12] = (nonsense, sound)[n % 2] * (BYTES // 12)
    send(channel, {"say": "end", "cautions": []})


def take_pages_away(channel: socket.socket, memory: mmap.mmap) -> None:
    """Punches a hole into the memory it shares."""
    memory[:] = b"\0\0\0\x3f" * (BYTES // 4)
    memory.madvise(mmap.MADV_REMOVE)
    send(channel, TRAY)
    send(channel, {"say": "end", "cautions": []})


def slander(channel: socket.socket, memory: mmap.mmap) -> None:
    said = "split\nline \x1b[31m" + "x" * 1000
    send(channel, {"say": "refused", "code": "not_audio", "message": said})


MISDEEDS: dict[str, Callable[[socket.socket, mmap.mmap], None]] = {
    "spin": spin,
    "stand-still": stand_still,
    "hoard": hoard,
    "flood": flood,
    "slander": slander,
    "change-what-is-read": change_what_is_read,
    "take-pages-away": take_pages_away,
    "crash": lambda channel, memory: ctypes.string_at(0),
    "leave": lambda channel, memory: None,
    "abort": lambda channel, memory: signal.raise_signal(signal.SIGABRT),
}
