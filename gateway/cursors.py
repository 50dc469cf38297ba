"""Where the next page of a list begins, as an opaque text."""

import base64
import binascii
from datetime import datetime

from shared.domain.recording import Recording
from shared.errors import InvalidRequest

#: Characters; ours have about 80.
MAX_LENGTH = 200


def cursor_after(last: Recording) -> str:
    """The cursor that continues after `last`."""
    return cursor_behind(last.received_at, last.id)


def cursor_behind(at: datetime, row_id: str) -> str:
    """The cursor that continues after the row of this moment and id."""
    text = f"{at.isoformat()} {row_id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def position(cursor: str) -> tuple[datetime, str]:
    """(received_at, id) of the last row seen.

    Raises:
        InvalidRequest: the cursor is not one of ours.
    """
    try:
        padded = (cursor + "=" * (-len(cursor) % 4)).encode("ascii")
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
        at, _, recording_id = text.partition(" ")
        received_at = datetime.fromisoformat(at)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("`before` is not a cursor. Use `next` of the page before.") from error
    if received_at.tzinfo is None:
        raise InvalidRequest("`before` is not a cursor. Use `next` of the page before.")
    return received_at, recording_id
