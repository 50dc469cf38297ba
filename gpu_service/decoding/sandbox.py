"""What a decoder process may still do: compute, read the file it was given, and answer.

Linux: no_new_privs and a seccomp filter that allows what is listed here and answers EPERM to
everything else. EPERM and not a kill: FFmpeg meeting a forbidden call then reports an error of
the file, which is refused, instead of a dead decoder, which would be tried four times.
What runs inside leaves no trace in the coverage figures: it can write none.
Elsewhere only the rlimits hold, and the service starts only when told to trust its files.
"""

import ctypes
import errno
import mmap
import os
import resource
import signal
import sys
from contextlib import suppress
from typing import Any

#: Where a child's end of its channel lies; everything below and above is closed.
CHANNEL_FD = 3
#: Descriptors a child may have: its channel and one recording, with room for none besides.
MAX_FDS = CHANNEL_FD + 2
#: Bytes of address space beyond what the warm process has mapped. Real memory is bounded much
#: tighter, by RLIMIT_DATA; this stops mappings that are reserved and not yet touched.
ADDRESS_SPACE_BYTES = 512 << 20
#: Hard ceiling of RLIMIT_DATA beyond the warm process; each job lowers the soft one.
DATA_CEILING_BYTES = 1 << 30
#: linux/prctl.h
PR_SET_PDEATHSIG = 1

#: Without arguments looked at. Memory, time, and the end of the process; reading is positioned.
ALWAYS = (
    *("brk", "munmap", "mremap", "madvise", "futex", "close", "pread64", "lseek"),
    *("clock_gettime", "gettimeofday", "time", "getpid", "gettid", "sched_yield"),
    *("rt_sigreturn", "rt_sigprocmask", "exit", "exit_group", "restart_syscall"),
)


def seccomp_filter() -> Any:
    """The filter, built but not loaded; None where there is no seccomp.

    Built once before children fork: loading it is then a single call.
    """
    if sys.platform != "linux":
        return None
    try:
        import pyseccomp
    except (ImportError, RuntimeError, OSError):  # no libseccomp
        return None
    return _filter(pyseccomp)


def _filter(seccomp: Any) -> Any:
    allow, arg = seccomp.ALLOW, seccomp.Arg
    rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    for name in ALWAYS:
        rules.add_rule(allow, name)
    # The channel, and on it no address; descriptors come in (the recording) and never go out.
    rules.add_rule(allow, "recvmsg", arg(0, seccomp.EQ, CHANNEL_FD))
    rules.add_rule(allow, "sendto", arg(0, seccomp.EQ, CHANNEL_FD), arg(4, seccomp.EQ, 0))
    # Memory that is ours alone and can never become code.
    anonymous, no_code = mmap.MAP_ANONYMOUS, mmap.PROT_EXEC
    rules.add_rule(
        allow,
        "mmap",
        arg(2, seccomp.MASKED_EQ, no_code, 0),
        arg(3, seccomp.MASKED_EQ, anonymous, anonymous),
    )
    rules.add_rule(allow, "mprotect", arg(2, seccomp.MASKED_EQ, no_code, 0))
    return rules


def enclose(rules: Any) -> bool:  # pragma: no cover
    """Take from this process all it does not need; True where a filter holds it.

    Raises:
        OSError: the kernel refused the filter.
    """
    _die_with_parent()
    _limit()
    if rules is None:
        return False
    rules.load()  # sets no_new_privs first
    return True


def keep_only(channel_fd: int) -> None:  # pragma: no cover
    """Close every descriptor but this one, which moves to CHANNEL_FD."""
    if channel_fd != CHANNEL_FD:
        os.dup2(channel_fd, CHANNEL_FD, inheritable=False)
    os.closerange(0, CHANNEL_FD)
    os.closerange(CHANNEL_FD + 1, 1 << 16)


def _die_with_parent() -> None:  # pragma: no cover
    """A nursery that was killed leaves no child behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == 1:
            os._exit(0)


def _limit() -> None:  # pragma: no cover
    for what, most in _limits().items():
        # Some systems do not let some of these be lowered; the filter is what must hold.
        with suppress(ValueError, OSError):
            resource.setrlimit(what, (most, most))


def _limits() -> dict[int, int]:  # pragma: no cover
    virtual, data = mapped_bytes()
    return {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: MAX_FDS,
        resource.RLIMIT_AS: virtual + ADDRESS_SPACE_BYTES,
        resource.RLIMIT_DATA: data + DATA_CEILING_BYTES,
    }


def mapped_bytes(pid: str = "self") -> tuple[int, int]:
    """Address space, and private writable memory (what RLIMIT_DATA counts), of a process."""
    pages = _statm(pid)
    return (pages[0] * mmap.PAGESIZE, pages[5] * mmap.PAGESIZE)


def resident_bytes(pid: str = "self") -> int:
    """Memory of a process that is real now; 0 where the system does not say."""
    return _statm(pid)[1] * mmap.PAGESIZE


def _statm(pid: str) -> list[int]:
    """Source: proc_pid_statm(5): size, resident, shared, text, lib, data, dt, in pages."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as statm:  # noqa: PTH123 - runs once a quarter second
            return [int(n) for n in statm.read().split()]
    except OSError:
        return [0] * 7
