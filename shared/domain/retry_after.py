"""How long an answer asks us to wait. Source: RFC 9110, section 10.2.3, "Retry-After"."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

#: The RFC has whole seconds; some send parts of one.
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


def retry_after_s(retry_after: str | None, date: str | None) -> float | None:
    """Seconds that the header of this name asks for; None without one that can be read.

    A date counts from the answer's own `Date`, so that nobody's clock matters; 0 if it is over.
    """
    given = (retry_after or "").strip()
    if _SECONDS.fullmatch(given):
        return float(given)
    at, now = _moment(given), _moment(date or "")
    return max(0.0, (at - now).total_seconds()) if at and now else None


def _moment(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)  # "-0000"
