"""`/v1/exports`: all of a tenant in one zip, planned first, then fetched whole or in parts.

The archive is nowhere: each byte is read where it lies when it is sent, and which byte that is
follows from the plan. So a download that broke off goes on where it stopped (Range with If-Range),
on whichever instance.
"""

import secrets
import time
from collections.abc import Callable
from itertools import chain
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Response
from starlette.responses import StreamingResponse

from gateway.audio import RangeNotSatisfiable, Span, span_of
from gateway.callers import Caller, Calling
from gateway.dependencies import Wired
from gateway.errors import DESCRIBED
from gateway.headers import CONTENT_POLICY
from gateway.security import TOKEN_CHECKED
from shared.domain.api import Export, WantedExport
from shared.domain.exports import Asked, Index, tenant_of
from shared.domain.tenants import DEMO
from shared.domain.ulids import ENTROPY_BYTES
from shared.errors import NotFound, UnknownTenant, WrongState
from shared.settings import Backend
from shared.wiring import Parts, plan_export, zipped

router = APIRouter(tags=["exports"], responses=DESCRIBED)

#: Seconds that one request goes on planning; the chapter in hand is finished. Proxies and clients
#: have patience for a minute.
PLAN_S = 20.0
#: A tenant's longest id, a hyphen, a ULID.
MAX_EXPORT_ID = 40 + 1 + 26
ExportId = Annotated[str, Path(max_length=MAX_EXPORT_ID, description="The export's id.")]


def export_of(export_id: ExportId, parts: Wired, caller: Calling) -> Asked:
    """The export the path names.

    Raises:
        NotFound: there is no such id, or it is another tenant's than the key's.
        ExportOver: it is over.
    """
    tenant = tenant_of(export_id)
    if tenant is None or not caller.may_see(tenant) or parts.tenants.get(tenant) is None:
        raise NotFound("No export has this id. Ask for one with POST /v1/exports.")
    return plan_export(parts).asked(export_id)


OneExport = Annotated[Asked, Depends(export_of)]


@router.post("/v1/exports", status_code=201, dependencies=[TOKEN_CHECKED])
def make_export(wanted: WantedExport, parts: Wired, caller: Calling) -> Export:
    """Ask for everything of a tenant as of now, and begin to plan it.

    A small one is ready at once; a large one is planned with further calls of `plan`.
    """
    entropy = secrets.token_bytes(ENTROPY_BYTES)
    asked = plan_export(parts).begin(_tenant(caller, wanted), wanted.originals, entropy)
    return told(asked, planned(parts, asked))


@router.post("/v1/exports/{export_id}/plan", dependencies=[TOKEN_CHECKED])
def plan(asked: OneExport, parts: Wired) -> Export:
    """Go on planning, for some seconds. Repeating it once it is ready changes nothing."""
    return told(asked, planned(parts, asked))


@router.get("/v1/exports/{export_id}")
def get_export(asked: OneExport, parts: Wired) -> Export:
    """Whether it is ready, how large it is, and when it ends."""
    return told(asked, plan_export(parts).plans.index(asked))


@router.delete("/v1/exports/{export_id}", status_code=204, dependencies=[TOKEN_CHECKED])
def end_export(asked: OneExport, parts: Wired) -> None:
    """End it before its time: what is planned of it is forgotten."""
    plan_export(parts).plans.end(asked.id)


@router.get(
    "/v1/exports/{export_id}/archive",
    response_class=Response,
    responses={
        200: {"content": {"application/zip": {}}},
        206: {"description": "Part of the archive.", "content": {"application/zip": {}}},
        416: {"description": "The range lies behind the end of the archive."},
    },
)
def get_archive(
    asked: OneExport,
    parts: Wired,
    range: Annotated[str | None, Header(include_in_schema=False)] = None,
    if_range: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Response:
    """The zip; understands Range and If-Range, also after the gateway was started anew.

    A body that ends before its length was promised is broken off: ask again from there.
    """
    index = plan_export(parts).plans.index(asked)
    if index is None:
        raise WrongState("The export is still planned. Go on with POST /v1/exports/{id}/plan.")
    try:
        span = span_of(range, index.size_bytes) if if_range in (None, _etag(index)) else None
    except RangeNotSatisfiable:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{index.size_bytes}"})
    asked_for = span or Span(0, index.size_bytes)
    body = zipped(parts, asked, index).read(asked_for.start, asked_for.end)
    # The first block is read before the status is sent, so that what was erased is a 410.
    ready = chain([next(body, b"")], body)
    headers = _headers(parts, asked, index, span)
    return StreamingResponse(ready, 206 if span else 200, headers)


def planned(
    parts: Parts, asked: Asked, clock: Callable[[], float] = time.monotonic
) -> Index | None:
    """Plan for PLAN_S, by whole chapters; the index once all is planned."""
    step, until = plan_export(parts), clock() + PLAN_S
    index = step.go_on(asked)
    while index is None and clock() < until:
        index = step.go_on(asked)
    return index


def told(asked: Asked, index: Index | None) -> Export:
    return Export(
        id=asked.id,
        tenant=asked.tenant,
        originals=asked.originals,
        made_at=asked.at,
        ends_at=asked.ends_at,
        ready=index is not None,
        recordings=index and index.recordings,
        size_bytes=index and index.size_bytes,
        manifest_sha256=index and index.etag,
    )


def _tenant(caller: Caller, wanted: WantedExport) -> str:
    """Raises UnknownTenant: another's than the key's was named."""
    if wanted.tenant is not None and not caller.may_see(wanted.tenant):
        raise UnknownTenant
    return wanted.tenant or caller.tenant or DEMO


def _etag(index: Index) -> str:
    """Strong: the manifest names the digest of everything, and the rest follows from it."""
    return f'"{index.etag}"'


def _headers(parts: Parts, asked: Asked, index: Index, span: Span | None) -> dict[str, str]:
    whole = Span(0, index.size_bytes)
    headers = {
        "Content-Type": "application/zip",
        "Content-Disposition": f'attachment; filename="{asked.id}.zip"',
        "Content-Security-Policy": CONTENT_POLICY,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-store",
        "ETag": _etag(index),
    }
    if parts.settings.backend is Backend.EMBEDDED:
        # Cloud Run ends HTTP/1 answers of a stated length at 32 MiB; without one they are streamed
        # ("Quotas and limits"). There Content-Range and the export say how much it will be.
        headers["Content-Length"] = str((span or whole).end - (span or whole).start)
    if span:
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{index.size_bytes}"
    return headers
