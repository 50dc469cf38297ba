"""`/v1/recordings/{id}/audio`: the upload itself or its FLAC, also in part, for the player."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Annotated

from fastapi import APIRouter, Header, Response
from starlette.responses import StreamingResponse

from gateway.dependencies import OneRecording, Wired
from gateway.disposition import attachment, inline
from gateway.errors import DESCRIBED
from gateway.headers import CONTENT_POLICY
from shared.domain.recording import Original, Recording
from shared.errors import InvalidRequest, Layer, Severity
from shared.wiring import Parts

router = APIRouter(tags=["recordings"], responses=DESCRIBED)

#: Bytes read at a time; a few seconds of the loudest codec.
BLOCK = 1 << 20
UNKNOWN = "application/octet-stream"
#: Types a browser plays and never runs. Everything else is served as UNKNOWN, to be saved.
PLAYED = frozenset(
    f"audio/{kind}"
    for kind in (
        *("wav", "x-wav", "wave", "vnd.wave", "flac", "x-flac", "mpeg", "mp3", "mp4", "x-m4a"),
        *("aac", "ogg", "opus", "webm", "aiff", "x-aiff", "basic"),
    )
) | {"video/mp4", "video/webm", "video/quicktime", "video/x-matroska", "video/ogg"}
#: One range; several at once are answered with the whole, as RFC 9110 section 14.2 allows.
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


class RangeNotSatisfiable(
    InvalidRequest, layer=Layer.VALIDATION, severity=Severity.INFO, retryable=False
):
    """The range lies behind the end of the file."""


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes from `start` up to, not including, `end`."""

    start: int
    end: int


def span_of(wanted: str | None, size: int) -> Span | None:
    """The part a Range header asks for; None for the whole. Source: RFC 9110 section 14.

    Raises:
        RangeNotSatisfiable: there is no such part.
    """
    match = _RANGE.fullmatch(wanted or "")
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
    if first and last and int(first) > int(last):
        return None
    if start >= size or start >= end:
        raise RangeNotSatisfiable
    return Span(start, end)


@router.get(
    "/v1/recordings/{recording_id}/audio",
    response_class=Response,
    responses={
        200: {"content": {"audio/*": {}, "video/*": {}, UNKNOWN: {}}},
        206: {"description": "Part of the file.", "content": {"audio/*": {}, "video/*": {}}},
        416: {"description": "The range lies behind the end of the file."},
    },
)
def get_audio(
    known: OneRecording,
    parts: Wired,
    range: Annotated[str | None, Header(include_in_schema=False)] = None,
    if_range: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """The uploaded file, byte for byte; understands Range.

    Where the original is kept in its long-term form, that: `audio/flac`, another ETag, and
    flac's tool from 1.4.3 on makes the uploaded file of it
    (`flac --decode --keep-foreign-metadata`).
    """
    original = known.uploaded if _goes_on(known, if_range) else known.original
    etag = _etag(known, original)
    try:
        span = span_of(range, original.size_bytes) if if_range in (None, etag) else None
    except RangeNotSatisfiable:
        whole = {"Content-Range": f"bytes */{original.size_bytes}"}
        return Response(status_code=416, headers=whole)
    body = blocks(parts, original, span or Span(0, original.size_bytes))
    # The first block is read before the status is sent, so that an upload that is gone is a 404.
    ready = chain([next(body, b"")], body)
    return StreamingResponse(ready, 206 if span else 200, _headers(known, original, span, etag))


def _goes_on(known: Recording, if_range: str | None) -> bool:
    """Whether somebody plays on what was uploaded, which stays beside its FLAC for a while."""
    return known.clear_at is not None and if_range == _etag(known, known.uploaded)


def _etag(known: Recording, original: Original) -> str:
    return f'"{known.id}{original.ending}"'


def blocks(parts: Parts, original: Original, span: Span) -> Iterator[bytes]:
    """The bytes of a span. Each block opens the file anew: a player that stops holds nothing.

    Raises:
        NotFound: the upload is gone.
    """
    for start in range(span.start, span.end, BLOCK):
        length = min(BLOCK, span.end - start)
        yield parts.uploads.read(original.name, original.generation, start, length)


def _headers(known: Recording, original: Original, span: Span | None, etag: str) -> dict[str, str]:
    kind = original.content_type.partition(";")[0].strip().lower()
    plays, name = kind in PLAYED, known.path + original.ending
    whole = Span(0, original.size_bytes)
    headers = {
        "Content-Type": kind if plays else UNKNOWN,
        "Content-Length": str((span or whole).end - (span or whole).start),
        "Content-Disposition": inline(name) if plays else attachment(name),
        "Content-Security-Policy": CONTENT_POLICY,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "ETag": etag,
    }
    if span:
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{original.size_bytes}"
    return headers
