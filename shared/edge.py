"""What an exception means to whoever delivered the event."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import EarwitnessError
from shared.logs import say

log = logging.getLogger("earwitness.edge")


@contextmanager
def settling(event_id: str) -> Iterator[None]:
    """Log an EarwitnessError; let it out only if a redelivery could help.

    Leaving a function with an exception tells the platform to redeliver; returning tells
    it that the event is settled. What we do not understand leaves too, and is redelivered.
    """
    try:
        yield
    except EarwitnessError as error:
        say(log, error, event_id=event_id)
        if error.retryable:
            raise
