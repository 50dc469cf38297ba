"""How children learn that the supervisor is gone, even after kill -9.

The supervisor holds the writing end of a pipe and never writes; the kernel closes it with
the process, however that ends, and every reader sees the end of the file.
"""

import os
import signal
import threading

#: Names the descriptor of the reading end in a child's environment.
VARIABLE = "EARWITNESS_LIFELINE"
#: Seconds a child has to finish by itself before its whole process group is killed.
GRACE_S = 8.0

_orphaned = threading.Event()


class Lifeline:
    """The supervisor's side. `reader` is to be inherited by children; nothing else is."""

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()

    def environment(self) -> dict[str, str]:
        return {VARIABLE: str(self.reader)}

    def cut(self) -> None:
        """Once is enough."""
        if self.reader >= 0:
            os.close(self._writer)
            os.close(self.reader)
            self.reader = self._writer = -1


def follow() -> None:
    """Leave when the supervisor is gone; does nothing in a process that nobody supervises."""
    reader = os.environ.pop(VARIABLE, "")
    if reader:
        os.set_inheritable(int(reader), False)
        threading.Thread(target=_leave_at_end, args=(int(reader),), daemon=True).start()


def end_what_is_left() -> None:
    """The last thing a part does: if nobody is there to end what it has started, it does."""
    if _orphaned.is_set():
        _kill_group()


def _leave_at_end(reader: int) -> None:
    os.read(reader, 1)
    _orphaned.set()
    # A little later than the main thread needs; a timer, because that thread may hang.
    timer = threading.Timer(GRACE_S, _kill_group)
    timer.daemon = True
    timer.start()
    os.kill(os.getpid(), signal.SIGTERM)


def _kill_group() -> None:
    """Children lead their own group (`start_new_session`), so nobody else is in it."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)
