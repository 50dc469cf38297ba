"""`/v1/recordings/{id}/transcript.{json,srt,vtt,txt}`."""

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from gateway.corrections import correct
from gateway.dependencies import OneRecording, Wired
from gateway.disposition import attachment
from gateway.errors import DESCRIBED
from shared.domain.corrected import transcript
from shared.domain.testimony import transcripts
from shared.errors import NotFound

router = APIRouter(tags=["recordings"], responses=DESCRIBED)


class Format(StrEnum):
    JSON = "json"
    SRT = "srt"
    VTT = "vtt"
    TXT = "txt"


#: Source: RFC 8259, the Library of Congress on SubRip, W3C WebVTT section 8, RFC 2046.
MEDIA_TYPES = {
    Format.JSON: "application/json",
    Format.SRT: "application/x-subrip; charset=utf-8",
    Format.VTT: "text/vtt; charset=utf-8",
    Format.TXT: "text/plain; charset=utf-8",
}
Corrected = Annotated[
    bool,
    Query(
        description="With what people corrected; such stretches have no words with times and no"
        " confidence."
    ),
]
_DESCRIBED: dict[int | str, dict[str, Any]] = {
    200: {"content": {kind.partition(";")[0]: {} for kind in MEDIA_TYPES.values()}}
}


@router.get(
    "/v1/recordings/{recording_id}/transcript.{format}",
    response_class=Response,
    responses=_DESCRIBED,
)
def get_transcript(
    known: OneRecording, parts: Wired, format: Format, corrected: Corrected = False
) -> Response:
    """What was said: with every word, as subtitles, or as plain text.

    It is the machine's testimony, unless what people corrected is asked for.
    """
    if known.result is None:
        raise NotFound(f"This recording is {known.state}; it has no transcript.")
    if corrected and parts.corrections.of(known.id):
        heard = correct(parts).heard(known)
        document = transcripts(transcript(heard.said, heard.passages))[f"transcript.{format}"]
    else:
        document = parts.results.load(known.result, f"transcript.{format}")
    headers = {"Content-Disposition": attachment(known.path, f".{format}")}
    return Response(document, media_type=MEDIA_TYPES[format], headers=headers)
