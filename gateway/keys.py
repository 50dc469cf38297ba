"""`/v1/keys`: who may come in from elsewhere, as which tenant, to do what."""

import secrets
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path

from gateway.callers import Caller, Calling
from gateway.dependencies import MAX_ID, TenantName, Wired
from gateway.errors import DESCRIBED
from gateway.security import TOKEN_CHECKED
from shared.domain.api import Key, Keys, MadeKey, NewKey, RotatedKey, Rotation
from shared.domain.api_keys import SHORT, ApiKey, Grant, granted
from shared.domain.listing import key_told
from shared.domain.tenants import DEMO
from shared.errors import Forbidden, NotFound, UnknownTenant
from shared.flows.mint import Mint
from shared.wiring import Parts

KeyId = Annotated[str, Path(max_length=MAX_ID, description="The key's id.")]
#: No key, no page: whoever asks here shows the page's token where they show no key.
router = APIRouter(tags=["keys"], responses=DESCRIBED, dependencies=[TOKEN_CHECKED])


@router.get("/v1/keys")
def list_keys(parts: Wired, tenant: TenantName) -> Keys:
    """Keys, the newest first, revoked ones too; never a key itself, for none is kept."""
    return Keys(keys=[key_told(key) for key in parts.api_keys.all(tenant)])


@router.post("/v1/keys", status_code=201)
def make_key(asked: NewKey, parts: Wired, caller: Calling) -> MadeKey:
    """Make a key and tell it, this once.

    A key makes keys of its own tenant that may no more than itself; whoever sits at the machine,
    any.
    """
    grant = SHORT[asked.scope] if asked.scope else granted(asked.role, asked.scopes)
    _check(caller, grant)
    tenant, life = _tenant(caller, asked), _days(asked.expires_in_days)
    text, key = _mint(parts)(tenant, grant, asked.name, life)
    return MadeKey(**key_told(key).model_dump(), key=text)


@router.post("/v1/keys/{key_id}/rotation", status_code=201)
def rotate_key(key_id: KeyId, asked: Rotation, parts: Wired, caller: Calling) -> RotatedKey:
    """Make a key of the same rights and tell it, this once; the old one ends after the overlap.

    A second time is refused and says which key took its place.
    """
    known = _own(key_id, parts, caller)
    _check(caller, known.grant)
    overlap, life = timedelta(hours=asked.overlap_hours), _days(asked.expires_in_days)
    text, new, old = _mint(parts).rotate(known.id, overlap, life)
    return RotatedKey(**key_told(new).model_dump(), key=text, replaced=key_told(old))


@router.delete("/v1/keys/{key_id}")
def revoke_key(key_id: KeyId, parts: Wired, caller: Calling) -> Key:
    """End a key for good; its next request is refused. Revoking twice is once."""
    known = _own(key_id, parts, caller)
    return key_told(parts.api_keys.revoke(known.id, parts.now()))


def _mint(parts: Parts) -> Mint:
    return Mint(parts.tenants, parts.api_keys, parts.now, secrets.token_bytes)


def _days(days: int | None) -> timedelta | None:
    return timedelta(days=days) if days else None


def _check(caller: Caller, grant: Grant) -> None:
    if not caller.may_grant(grant):
        raise Forbidden("A key makes no key that may more than itself. Ask an owner.")


def _own(key_id: str, parts: Parts, caller: Caller) -> ApiKey:
    known = parts.api_keys.get(key_id)
    if known is None or not caller.may_see(known.tenant):
        raise NotFound("No key has this id. List them with GET /v1/keys.")
    return known


def _tenant(caller: Caller, asked: NewKey) -> str:
    if asked.tenant is not None and not caller.may_see(asked.tenant):
        raise UnknownTenant
    return asked.tenant or caller.tenant or DEMO
