"""Documents of slices, of a day's money and of its sound, below a document of the day."""

from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any

from google.cloud.firestore_v1 import DocumentReference

from shared.adapters.gcp.firestore_client import Commit, Snapshot
from shared.adapters.gcp.firestore_rows import SLICES, row
from shared.domain.moments import from_us, to_us
from shared.domain.slices import Slice

#: Days a day's sum is kept: as long as a bill may be asked about.
KEPT_DAYS = 400


def digest(told: str) -> str:
    """Workers and engines may have any name; documents may not."""
    return sha256(told.encode()).hexdigest()[:32]


def begun(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def expires(day: date) -> datetime:
    """The sweep takes it when nobody asks about the bill any more."""
    return begun(day) + timedelta(days=KEPT_DAYS)


def slice_at(day: DocumentReference, holder: str) -> DocumentReference:
    at: DocumentReference = day.collection(SLICES).document(digest(holder))
    return at


def slice_of(seen: Snapshot, holder: str, now: datetime) -> Slice:
    """The slice, or an empty one where none was taken."""
    if not seen.exists:
        return Slice(holder, now)
    found = row(seen)
    return Slice(found["holder"], from_us(found["until_us"]), found["granted"], found["spent"])


def slice_row(one: Slice, day: date) -> dict[str, Any]:
    return {
        "holder": one.holder,
        "until_us": to_us(one.until),
        "granted": one.granted,
        "spent": one.spent,
        "expires": expires(day),
    }


def lay(commit: Commit, seen: Snapshot, fields: dict[str, Any]) -> None:
    """Create the document, or change it as it was seen."""
    if seen.exists:
        commit.change(seen, fields)
    else:
        commit.create(seen.reference, fields)
