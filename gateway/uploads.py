"""`/v1/uploads`: the signed address of one upload, and on one machine the door it opens.

In the cloud the door is the bucket's own (shared/adapters/gcp/storage_permits.py); what is taken
and refused here, with which status, is what Cloud Storage takes and refuses.
"""

import secrets
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Header, Path, Query, Request, Response

from gateway.callers import Caller, Calling
from gateway.dependencies import Wired
from gateway.errors import DESCRIBED
from gateway.incoming import incoming
from gateway.security import TOKEN_CHECKED, origin
from gateway.sessions import PATTERN as SESSION
from gateway.sessions import Begun, Piece, Session, Sessions, piece_of
from shared.domain.api import Minted, Resumable, Taken, Wanted
from shared.domain.names import ROOT, TENANT, recording_id
from shared.domain.permits import Brought, Permit, Signed
from shared.domain.recording import UploadedObject
from shared.domain.ulids import ENTROPY_BYTES, PATTERN, ulid
from shared.domain.wishes import subject, wishes
from shared.errors import (
    AddressUsed,
    AudioTooLarge,
    InvalidRequest,
    InvalidWish,
    NotFound,
    UnknownTenant,
)
from shared.ports import Permits
from shared.settings import Backend
from shared.wiring import Parts

router = APIRouter(tags=["uploads"], responses=DESCRIBED)

#: A bucket on one machine counts generations; Google's numbers them by time, so there only the
#: object that lies there tells the recording's id (`found`).
FIRST = 1
#: How long an upload may begin; going on with it takes as long as it takes.
VALID = timedelta(minutes=15)
#: Bytes from which a session is offered, too. Below it, sending all of it again costs less than the
#: two requests that a session needs more (2 MiB are 17 s at 1 Mbit/s).
RESUMABLE_FROM = 2 << 20
#: The address of an upload: only the last part is ours to choose.
ADDRESS = "/v1/uploads/{tenant}/{key}"
InTenant = Annotated[str, Path(pattern=f"^{TENANT.pattern}$", description="Whose it will be.")]
Key = Annotated[str, Path(pattern=PATTERN, description="As minted.")]


@router.post("/v1/uploads", status_code=201, dependencies=[TOKEN_CHECKED])
def mint(asked: Wanted, request: Request, parts: Wired, caller: Calling) -> Minted:
    """Ask for the address of one upload. Needs a key, or the page's token in X-Earwitness-Token.

    The address takes exactly what was asked for, once, and may be used for 15 minutes.
    """
    wanted = _of(caller, asked)
    _check(wanted, parts)
    key = ulid(parts.now(), secrets.token_bytes(ENTROPY_BYTES))
    permit = _permit(wanted, key)
    alone = _signed(request, permit)
    return Minted(
        recording_hint=recording_id(_bucket(parts), permit.name, FIRST),
        url=alone.url,
        method="PUT",
        headers=dict(alone.headers),
        expires_at=alone.expires_at,
        resumable=_resumable(request, permit),
        status_url=f"{origin(request.scope)}/v1/{permit.name}",
    )


def _signed(request: Request, permit: Permit, *, resumable: bool = False) -> Signed:
    permits: Permits = request.app.state.permits
    return permits.sign(permit, origin(request.scope), VALID, resumable=resumable)


def _resumable(request: Request, permit: Permit) -> Resumable | None:
    permits: Permits = request.app.state.permits
    if permit.size_bytes < RESUMABLE_FROM or not permits.sessions:
        return None
    begins = _signed(request, permit, resumable=True)
    return Resumable(url=begins.url, method="POST", headers=dict(begins.headers))


def _of(caller: Caller, asked: Wanted) -> Wanted:
    """With the key's tenant where none was named.

    Raises:
        UnknownTenant: another's was named.
    """
    named = asked.tenant if "tenant" in asked.model_fields_set else caller.tenant
    if named is None:
        return asked
    if not caller.may_see(named):
        raise UnknownTenant
    return asked.model_copy(update={"tenant": named})


def _bucket(parts: Parts) -> str:
    on_google = parts.settings.backend is Backend.GCP
    return parts.settings.uploads_bucket if on_google else ROOT


def _check(wanted: Wanted, parts: Parts) -> None:
    """Refuse now what intake would refuse after gigabytes."""
    tenant = parts.tenants.get(wanted.tenant)
    if tenant is None:
        raise UnknownTenant
    if wanted.size > tenant.limits.max_bytes:
        raise AudioTooLarge
    try:
        wishes(wanted.kept)
        subject(wanted.kept)
    except InvalidWish as error:
        raise InvalidWish(str(error).encode("ascii", "backslashreplace").decode()) from error


def _permit(wanted: Wanted, key: str) -> Permit:
    name = f"{ROOT}/{wanted.tenant}/{key}"
    return Permit(name, wanted.content_type, wanted.size, wanted.kept)


@router.get(ADDRESS)
def found(tenant: InTenant, key: Key, parts: Wired, caller: Calling) -> Taken:
    """What became of an upload: its recording's id, once its bytes are there; 404 until then.

    Where the answer to the upload itself was lost, this is the answer.
    """
    kept = _kept(f"{ROOT}/{tenant}/{key}", parts)
    if kept is None or not caller.may_see(tenant):
        raise NotFound("Nothing has come to this upload address.")
    return _taken(kept)


def _opened(request: Request) -> Permit:
    """What a request that was signed may upload."""
    permits: Permits = request.app.state.permits
    headers = {name.lower(): value for name, value in request.headers.items()}
    path, query = request.scope["raw_path"].decode("ascii"), request.scope["query_string"]
    # A test's client, unlike a server, leaves the query in the raw path.
    said = Brought(request.method, path.partition("?")[0], query.decode("latin-1"), headers)
    return permits.opened(said)


def _sessions(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.sessions
    return sessions


@router.post(
    ADDRESS,
    status_code=201,
    response_class=Response,
    responses={201: {"description": "Begun; `Location` is where the bytes go."}},
)
def begin(tenant: InTenant, key: Key, request: Request, parts: Wired) -> Response:
    """Begin a session; the address comes from POST /v1/uploads, as `resumable`.

    The bytes go to the `Location` of the answer, with `Content-Range` where they are a part, and
    an upload that broke off goes on where it stopped, as with Cloud Storage.
    """
    permit = _opened(request)
    _check_free(permit.name, parts)
    session = _sessions(request).begin(permit, parts.now())
    address = f"{origin(request.scope)}/v1/{permit.name}?upload_id={session}"
    return Response(status_code=201, headers={"Location": address})


@router.put(
    ADDRESS,
    responses={
        308: {
            "description": "More is wanted; `Range` says what is held, and is absent for nothing."
        }
    },
    response_model=Taken,
)
def take(
    tenant: InTenant,
    key: Key,
    request: Request,
    parts: Wired,
    upload_id: Annotated[
        str | None, Query(pattern=SESSION, description="Of a session that was begun.")
    ] = None,
    content_range: Annotated[
        str,
        Header(
            description="`bytes 5-9/10` goes on with a session, `bytes */10` asks how far it is."
        ),
    ] = "",
) -> Response:
    """Send the bytes; the address comes from POST /v1/uploads and makes one recording."""
    if upload_id is not None:
        return _go_on(f"{ROOT}/{tenant}/{key}", upload_id, content_range, request, parts)
    permit = _opened(request)
    if content_range:
        raise InvalidRequest("Only a session takes an upload in parts. Begin one.")
    _check_free(permit.name, parts)
    with _sessions(request).once(parts.now()) as session:
        writer = _received(session, permit, None, request)
        kept = session.finish(writer, lambda file: _store(permit, file, request, parts))
    return _answer(kept)


def _go_on(
    name: str, upload_id: str, content_range: str, request: Request, parts: Parts
) -> Response:
    """What a request brings to a session, or how far it has come."""
    sessions = _sessions(request)
    begun, session = sessions.begun(upload_id, parts.now()), sessions.session(upload_id)
    if begun.permit.name != name:
        raise NotFound("There is no such upload. Begin it anew.")
    piece = piece_of(content_range, begun.permit.size_bytes)
    # Whoever only asks waits while somebody is just finishing: the answer is then the final one.
    with session.lock:
        begun = sessions.begun(upload_id, parts.now())
        if begun.generation is not None:
            return _answer(_known(begun, parts))
        asks = piece is not None and piece.start is None
        writer = _asked(session, begun.permit) if asks else None
    if not asks:
        writer = _received(session, begun.permit, piece, request)
    if writer is None or session.held_bytes() != begun.permit.size_bytes:
        held = session.held_bytes()
        return Response(status_code=308, headers={"Range": f"bytes=0-{held - 1}"} if held else {})
    return _answer(_finished(session, writer, upload_id, begun, request, parts))


def _finished(
    session: Session, writer: int, upload_id: str, begun: Begun, request: Request, parts: Parts
) -> UploadedObject:
    def store(file: BinaryIO) -> UploadedObject:
        made = _store(begun.permit, file, request, parts)
        _sessions(request).note(upload_id, replace(begun, generation=made.generation))
        return made

    return session.finish(writer, store)


def _known(begun: Begun, parts: Parts) -> UploadedObject:
    kept = _kept(begun.permit.name, parts)
    if kept is None:
        raise NotFound("The upload is gone.")
    return kept


def _asked(session: Session, permit: Permit) -> int | None:
    """The writer's number if all is here and nobody has finished it; None otherwise."""
    return session.take_over() if session.held_bytes() == permit.size_bytes else None


def _received(session: Session, permit: Permit, piece: Piece | None, request: Request) -> int:
    """Write what the request brings; the writer's number.

    Raises:
        InvalidRequest: it is not as long as it says, or as was signed.
    """
    start, end = (piece.start, piece.end) if piece else (0, permit.size_bytes)
    assert start is not None
    assert end is not None
    claimed = request.headers.get("content-length")
    if claimed is not None and claimed != str(end - start):
        raise InvalidRequest("The size is not the one this address was made for.")
    return session.receive(start, end, incoming(request, end - start))


def _answer(kept: UploadedObject) -> Response:
    """As Cloud Storage answers, and besides with what it cannot know: the recording's id."""
    headers = {"x-goog-generation": str(kept.generation)}
    body = _taken(kept).model_dump_json()
    return Response(body, 200, headers, media_type="application/json")


def _taken(kept: UploadedObject) -> Taken:
    return Taken(recording_hint=recording_id(kept.bucket, kept.name, kept.generation))


def _kept(name: str, parts: Parts) -> UploadedObject | None:
    """The object that came by an address of ours: nobody else writes under a ULID of ours."""
    found = parts.uploads.page((name, 0), 1)
    return found[0] if found and found[0].name == name else None


def _check_free(name: str, parts: Parts) -> None:
    if _kept(name, parts) is not None:
        raise AddressUsed


def _store(permit: Permit, content: BinaryIO, request: Request, parts: Parts) -> UploadedObject:
    with _sessions(request).alone(permit.name):
        _check_free(permit.name, parts)
        return parts.inlet.put(
            permit.name,
            content,
            content_type=permit.content_type,
            metadata=permit.metadata,
            at=parts.now(),
            max_bytes=permit.size_bytes,
        )
