"""The states of a recording and the only ways between them."""

from enum import StrEnum

from shared.errors import WrongState


class State(StrEnum):
    RECEIVED = "received"  #: recorded, its ticket still in the outbox
    QUEUED = "queued"  #: waits for a worker
    PROCESSING = "processing"  #: a worker holds the lease
    DEFERRED = "deferred"  #: over quota or budget, or shed under overload, until `deferred_until`
    DONE = "done"
    DEAD = "dead"  #: out of attempts; a person replays or discards
    REJECTED = "rejected"  #: refused for good; the upload is untouched
    ERASED = "erased"  #: a tombstone: sound and results are gone, and it is never heard again


#: From -> to. What is not here does not happen.
TRANSITIONS: dict[State, frozenset[State]] = {
    State.RECEIVED: frozenset({State.QUEUED, State.PROCESSING, State.ERASED}),
    State.QUEUED: frozenset({State.PROCESSING, State.DEAD, State.ERASED}),
    State.PROCESSING: frozenset(
        {State.QUEUED, State.DEFERRED, State.DONE, State.DEAD, State.REJECTED, State.ERASED}
    ),
    State.DEFERRED: frozenset({State.QUEUED, State.ERASED}),
    State.DONE: frozenset({State.ERASED}),
    State.DEAD: frozenset({State.QUEUED, State.ERASED}),
    State.REJECTED: frozenset({State.ERASED}),
    State.ERASED: frozenset(),
}
#: Where a new recording may begin.
INITIAL = frozenset({State.RECEIVED, State.DEFERRED, State.REJECTED})
TERMINAL = frozenset({State.DONE, State.DEAD, State.REJECTED, State.ERASED})


def check(current: State, to: State) -> None:
    """Raise WrongState unless `current` may become `to`."""
    if to not in TRANSITIONS[current]:
        raise WrongState(f"A recording that is {current} cannot become {to}.")
