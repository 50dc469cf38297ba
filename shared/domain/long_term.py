"""Originals that are kept long: which are compressed without loss, when, and when what was
uploaded goes.

Decided again inside the commit that acts on it, like everything in `retention`.
"""

from dataclasses import replace
from datetime import datetime, timedelta

from shared.domain.names import ARCHIVE
from shared.domain.recording import Archived, Recording, UploadedObject
from shared.domain.retention import counted_from
from shared.domain.states import State

#: Codecs FLAC holds bit for bit, as FFmpeg names them (RFC 9639 knows no floats; FFmpeg's encoder
#: has 16 and 24 bit).
CODECS = frozenset({"pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be"})
#: What is kept for less than that is left alone: the archive's class, Coldline, is billed for as
#: long at least. Source: Cloud Storage, "Storage classes".
LEAST_LEFT = timedelta(days=90)
#: How long what was uploaded stays beside its FLAC. Plans of exports live a day; whoever reads by
#: one, or plays it, comes to an end in peace.
GRACE = timedelta(hours=48)
#: How long originals wait for somebody who is up anyway and has nothing to hear. A start of an L4
#: costs what a hundred hours of sound save in a year (docs/deploy.md).
PATIENCE = timedelta(days=7)
#: When somebody who began and did not come back is followed by another.
AGAIN = timedelta(days=1)


def planned(recording: Recording, codec: str, after_days: int | None) -> datetime | None:
    """From when on the original is to be compressed; None: never, by what is known now.

    Args:
        codec: of its sound.
        after_days: how old it is at most until somebody is called for it; None where nothing is
            compressed. Before, somebody who is up anyway does it.
    """
    if codec not in CODECS or after_days is None:
        return None
    at = counted_from(recording) + max(timedelta(days=after_days) - PATIENCE, timedelta(0))
    return at if recording.kept_until - at >= LEAST_LEFT else None


def may_compress(recording: Recording) -> bool:
    """Whether its original may be compressed: nobody hears it again, nothing holds it."""
    free = recording.state is State.DONE and recording.hold is None
    return free and recording.archived is None and recording.compress_at is not None


def claimed(recording: Recording, now: datetime) -> Recording:
    """Compressed by whoever commits this; unchanged where it is not to be compressed now.

    What would not be kept long enough any more is not asked about again.
    """
    due = recording.compress_at
    if due is None or due > now:
        return recording
    if recording.archived is not None:
        return left_as_it_came(recording)
    if not may_compress(recording):
        return recording
    long = recording.kept_until - now >= LEAST_LEFT
    return replace(recording, compress_at=now + AGAIN if long else None)


def put_off(recording: Recording, until: datetime | None) -> Recording:
    """To be compressed at another time, by anybody."""
    return replace(recording, compress_at=until) if may_compress(recording) else recording


def left_as_it_came(recording: Recording) -> Recording:
    """Never compressed."""
    return replace(recording, compress_at=None)


def name_of(recording: Recording, token: str) -> str:
    """Where its FLAC lies: below `folder_of`, under a name that nobody else uses.

    Args:
        token: letters and digits, random.
    """
    return f"{folder_of(recording.tenant, recording.id)}{token}.flac"


def folder_of(tenant: str, recording_id: str = "") -> str:
    """What the names of a recording's objects in the archive begin with; of all of a tenant's."""
    own = f"{recording_id}/" if recording_id else ""
    return f"{ARCHIVE}/{tenant}/{own}"


def archived(recording: Recording, flac: UploadedObject, now: datetime) -> Recording:
    """Kept as FLAC from now on; unchanged where it was erased, held or archived meanwhile."""
    if not may_compress(recording):
        return recording
    return _kept_as(flac, recording, now, clear_at=now + GRACE)


def found_again(recording: Recording, flac: UploadedObject, now: datetime) -> Recording:
    """Kept as FLAC, by a store that was put back to before it knew; what was uploaded is gone."""
    if recording.state is not State.DONE or recording.archived is not None:
        return recording
    return _kept_as(flac, recording, now, clear_at=None)


def _kept_as(
    flac: UploadedObject, recording: Recording, now: datetime, clear_at: datetime | None
) -> Recording:
    kept = Archived(flac.name, flac.generation, flac.size_bytes, now)
    return replace(recording, archived=kept, compress_at=None, clear_at=clear_at)


def clearing(recording: Recording, now: datetime) -> Recording:
    """Its upload is erased by whoever commits this; unchanged where it is not to be."""
    due, free = recording.clear_at, recording.hold is None
    if due is None or due > now or not free or recording.state is not State.DONE:
        return recording
    return replace(recording, clear_at=now + AGAIN)


def cleared(recording: Recording) -> Recording:
    """What was uploaded is gone; an erasure that came in between has its own last word."""
    done = recording.state is State.DONE
    return replace(recording, clear_at=None) if done else recording


def lost(recording: Recording, now: datetime) -> Recording:
    """The FLAC is not as it was written: what was uploaded is the original again.

    Unchanged where it was held or erased meanwhile: who releases it must know of both.
    """
    if recording.state is not State.DONE or recording.hold is not None:
        return recording
    return replace(recording, archived=None, clear_at=None, compress_at=now)


def called_for(now: datetime, after_days: int) -> datetime:
    """What was to be compressed by then is called for at `now`."""
    return now - min(PATIENCE, timedelta(days=after_days))
