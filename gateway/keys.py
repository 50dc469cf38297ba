"""`/v1/keys`: who may come in from elsewhere, as which tenant, to do what."""

import secrets
from typing import Annotated

from fastapi import APIRouter, Depends, Path

from gateway.callers import Caller, Calling
from gateway.dependencies import MAX_ID, TenantName, Wired
from gateway.errors import DESCRIBED
from gateway.security import TOKEN_CHECKED
from shared.domain.api import Key, Keys, MadeKey, NewKey
from shared.domain.api_keys import ApiKey, Scope
from shared.domain.tenants import DEMO
from shared.errors import Forbidden, NotFound, UnknownTenant
from shared.flows.mint import Mint

KeyId = Annotated[str, Path(max_length=MAX_ID, description="The key's id.")]


def operator(caller: Calling) -> None:
    """Whoever sits at the machine, or holds a key that may make keys.

    Raises:
        Forbidden: the key may not.
    """
    if caller.key is not None and not caller.key.may(Scope.OPERATOR):
        raise Forbidden("This is about keys. It takes a key made with `--scope operator`.")


router = APIRouter(
    tags=["keys"], responses=DESCRIBED, dependencies=[TOKEN_CHECKED, Depends(operator)]
)


@router.get("/v1/keys")
def list_keys(parts: Wired, tenant: TenantName) -> Keys:
    """Keys, the newest first, revoked ones too; never a key itself, for none is kept."""
    return Keys(keys=[told(key) for key in parts.api_keys.all(tenant)])


@router.post("/v1/keys", status_code=201)
def make_key(asked: NewKey, parts: Wired, caller: Calling) -> MadeKey:
    """Make a key and tell it, this once.

    An operator's key makes keys of its own tenant; whoever sits at the machine, of any.
    """
    mint = Mint(parts.tenants, parts.api_keys, parts.now, secrets.token_bytes)
    text, key = mint(_tenant(caller, asked), asked.scope, asked.name)
    return MadeKey(**told(key).model_dump(), key=text)


@router.delete("/v1/keys/{key_id}")
def revoke_key(key_id: KeyId, parts: Wired, caller: Calling) -> Key:
    """End a key for good; its next request is refused. Revoking twice is once."""
    known = parts.api_keys.get(key_id)
    if known is None or not caller.may_see(known.tenant):
        raise NotFound("No key has this id. List them with GET /v1/keys.")
    return told(parts.api_keys.revoke(known.id, parts.now()))


def told(key: ApiKey) -> Key:
    """What may be told of a key: not even its digest."""
    return Key(
        id=key.id,
        tenant=key.tenant,
        scope=key.scope,
        name=key.name,
        made_at=key.made_at,
        revoked_at=key.revoked_at,
        used_on=key.used_on,
    )


def _tenant(caller: Caller, asked: NewKey) -> str:
    if asked.tenant is not None and not caller.may_see(asked.tenant):
        raise UnknownTenant
    return asked.tenant or caller.tenant or DEMO
