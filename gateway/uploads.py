"""`/v1/uploads`: a permit for one object, and the door it opens on one machine."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Header, Path, Query, Request, Response

from gateway.callers import Caller, Calling
from gateway.dependencies import Wired
from gateway.errors import DESCRIBED
from gateway.incoming import incoming
from gateway.security import TOKEN_CHECKED, origin
from gateway.sessions import KEPT, Piece, Session, Sessions, piece_of
from gateway.signatures import Permit, sign, verify
from gateway.ulids import ENTROPY_BYTES, PATTERN, ulid
from shared.domain.api import NAME_KEY, Minted, Taken, Wanted
from shared.domain.names import ROOT, recording_id
from shared.domain.recording import UploadedObject
from shared.domain.wishes import wishes
from shared.errors import (
    AudioTooLarge,
    Forbidden,
    InvalidRequest,
    InvalidWish,
    UnknownTenant,
    WrongState,
)
from shared.settings import Backend
from shared.wiring import Parts

router = APIRouter(tags=["uploads"], responses=DESCRIBED)

#: A bucket on one machine counts generations; Google's numbers them by time, so there what an
#: upload is answered with is the first to know the recording's id.
FIRST = 1
#: How long an upload may begin; going on with it takes as long as it takes.
VALID = timedelta(minutes=15)


@router.post("/v1/uploads", status_code=201, dependencies=[TOKEN_CHECKED])
def mint(asked: Wanted, request: Request, parts: Wired, caller: Calling) -> Minted:
    """Ask for the address of one upload. Needs a key, or the page's token in X-Earwitness-Token."""
    wanted = _of(caller, asked)
    _check(wanted, parts)
    now = parts.now()
    key = ulid(now, secrets.token_bytes(ENTROPY_BYTES))
    permit = _permit(wanted, key, now + VALID)
    token = sign(permit, request.app.state.upload_key)
    return Minted(
        recording_hint=recording_id(_bucket(parts), permit.name, FIRST),
        url=f"{origin(request.scope)}/v1/uploads/{key}?token={token}",
        method="PUT",
        headers={"Content-Type": permit.content_type},
        expires_at=datetime.fromtimestamp(permit.expires_s, UTC),
    )


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
    except InvalidWish as error:
        raise InvalidWish(str(error).encode("ascii", "backslashreplace").decode()) from error


def _permit(wanted: Wanted, key: str, expires: datetime) -> Permit:
    return Permit(
        method="PUT",
        name=f"{ROOT}/{wanted.tenant}/{key}",
        tenant=wanted.tenant,
        content_type=wanted.content_type,
        size_bytes=wanted.size,
        expires_s=expires.timestamp(),
        metadata={**wanted.kept, NAME_KEY: wanted.name},
    )


@router.put(
    "/v1/uploads/{key}",
    status_code=201,
    responses={
        308: {
            "description": "More is wanted; `Range` says what is held, and is absent for nothing."
        }
    },
    response_model=Taken,
)
def take(
    key: Annotated[str, Path(pattern=PATTERN)],
    token: Annotated[str, Query(description="As minted.")],
    request: Request,
    parts: Wired,
    content_type: Annotated[str, Header(include_in_schema=False)] = "",
    content_range: Annotated[
        str,
        Header(
            description="`bytes 5-9/10` goes on with an upload, `bytes */10` asks how far it is."
        ),
    ] = "",
) -> Response:
    """Send the bytes; the address comes from POST /v1/uploads and makes one recording.

    An upload that broke off goes on where it stopped, as with Cloud Storage.
    """
    sessions: Sessions = request.app.state.sessions
    session = sessions.session(key, parts.now())
    permit = _verified(token, content_range, session, request, parts)
    _check_address(permit, key, request)
    piece = piece_of(content_range, permit.size_bytes)
    if piece is not None and piece.start is None:
        writer = _asked(session, permit, parts)
    else:
        writer = _received(session, permit, piece, content_type, request, parts)
    return _answer(session, permit, writer, parts)


def _verified(
    token: str, content_range: str, session: Session, request: Request, parts: Parts
) -> Permit:
    """A permit says until when an upload may begin; going on with one takes as long as it takes."""
    now, key = parts.now(), request.app.state.upload_key
    begun = content_range.startswith("bytes */") or (content_range and session.held_bytes())
    return verify(token, key, now - KEPT if begun else now)


def _check_address(permit: Permit, key: str, request: Request) -> None:
    if permit.method != request.method or permit.name != f"{ROOT}/{permit.tenant}/{key}":
        raise Forbidden("This upload address is not one of ours. Ask for a new one.")


def _asked(session: Session, permit: Permit, parts: Parts) -> int | None:
    """The writer's number if all is here and nobody has finished it; None otherwise.

    Waits while somebody is just finishing: the answer is then the final one.
    """
    with session.lock:
        if _is_taken(permit, parts) or session.held_bytes() != permit.size_bytes:
            return None
        return session.take_over()


def _received(
    session: Session,
    permit: Permit,
    piece: Piece | None,
    content_type: str,
    request: Request,
    parts: Parts,
) -> int | None:
    """Write what the request brings; the writer's number, or None if all was taken before."""
    start, end = (piece.start, piece.end) if piece else (0, permit.size_bytes)
    assert start is not None
    assert end is not None
    _check_match(permit, end - start, content_type, request)
    if _is_taken(permit, parts):
        if piece is None:
            raise WrongState("This upload address was used already. Ask for a new one.")
        return None
    return session.receive(start, end, incoming(request, end - start))


def _answer(session: Session, permit: Permit, writer: int | None, parts: Parts) -> Response:
    if writer is not None and session.held_bytes() == permit.size_bytes:
        session.finish(writer, lambda file: _store(permit, file, parts))
    elif not _is_taken(permit, parts):
        held = session.held_bytes()
        return Response(status_code=308, headers={"Range": f"bytes=0-{held - 1}"} if held else {})
    kept = _kept(permit, parts)
    assert kept is not None
    taken = Taken(recording_hint=recording_id(kept.bucket, kept.name, kept.generation))
    return Response(taken.model_dump_json(), 201, media_type="application/json")


def _check_match(permit: Permit, length: int, content_type: str, request: Request) -> None:
    if content_type != permit.content_type:
        raise InvalidRequest("The Content-Type is not the one this address was made for.")
    claimed = request.headers.get("content-length")
    if claimed is not None and claimed != str(length):
        raise InvalidRequest("The size is not the one this address was made for.")


def _is_taken(permit: Permit, parts: Parts) -> bool:
    return _kept(permit, parts) is not None


def _kept(permit: Permit, parts: Parts) -> UploadedObject | None:
    """The object that came by this permit: nobody else writes under a ULID of ours."""
    found = parts.uploads.page((permit.name, 0), 1)
    return found[0] if found and found[0].name == permit.name else None


def _store(permit: Permit, content: BinaryIO, parts: Parts) -> None:
    parts.inlet.put(
        permit.name,
        content,
        content_type=permit.content_type,
        metadata=permit.metadata,
        at=parts.now(),
        max_bytes=permit.size_bytes,
    )
