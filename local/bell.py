"""Says once that it is time to stop; a signal handler may ring it."""

from contextlib import suppress
from queue import Empty, SimpleQueue


class Bell:
    """What `threading.Event` is, for one who waits and any number who ring.

    A handler runs in the main thread, wherever that is. If it is inside `Event.wait`, it holds
    the lock that `Event.set` takes, and waits for itself for ever: Ctrl-C hung, once in some
    thousand times. SimpleQueue's put is reentrant (its documentation).
    """

    def __init__(self) -> None:
        self._rung = False
        self._wakes: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        self._rung = True
        self._wakes.put(None)

    def is_set(self) -> bool:
        return self._rung

    def wait(self, timeout_s: float) -> bool:
        """Return when it rings or the time is over; whether it has rung."""
        if not self._rung:
            with suppress(Empty):
                self._wakes.get(timeout=timeout_s)
        return self._rung
