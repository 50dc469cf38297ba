"""Many at once at a store that may be too busy for one of them, and says so."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from shared.errors import StoreUnavailable

T = TypeVar("T")
A = TypeVar("A")
#: Times one call is made before a store that is always too busy is a failure. Each waits as long
#: as the adapter does.
TRIES = 20
#: Seconds Firestore's adapter has for each, instead of 8: without an answer in that time, nobody
#: knows who was first, and a crowded machine has been seen to need them.
PATIENCE_S = 30.0


def patiently(call: Callable[[], T]) -> T:
    """A store that is too busy is asked again, as a redelivered event does.

    Raises:
        StoreUnavailable: it was for the TRIES-th time.
    """
    for _ in range(TRIES - 1):
        try:
            return call()
        except StoreUnavailable:
            continue
    return call()


def at_once(threads: int, call: Callable[[A], T], given: Iterable[A]) -> list[T]:
    """Call with each, so many at a time, each patiently; the answers in the order of what is given.

    Raises:
        Whatever a call raised.
    """
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda one: patiently(partial(call, one)), given))
