"""A recording whose original is kept in its long-term form."""

import io
from dataclasses import replace
from datetime import datetime

from gpu_service.archiving import flac
from shared.domain import long_term
from shared.domain.recording import FLAC, Recording
from shared.wiring import Parts

TOKEN = "0" * 32


def archived(parts: Parts, recording_id: str, at: datetime, *, cleared: bool = True) -> Recording:
    """As the flows leave it, at whatever time; `cleared`: what was uploaded is gone."""

    def due(known: Recording) -> Recording:
        return replace(known, compress_at=at)

    known = parts.retention.decide(recording_id, due, "archive", at)
    place, into = (known.name, known.generation), io.BytesIO()
    flac.compress(
        lambda start, length: parts.uploads.read(*place, start, length),
        known.size_bytes,
        into,
        lambda: None,
    )
    made = parts.uploads.shelve(long_term.name_of(known, TOKEN), into, FLAC, at)
    kept = parts.retention.decide(
        known.id, lambda it: long_term.archived(it, made, at), "archive", at
    )
    if not cleared:
        return kept
    parts.uploads.delete(*place)
    return parts.retention.decide(known.id, long_term.cleared, "archive", at)
