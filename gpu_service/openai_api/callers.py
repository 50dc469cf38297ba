"""Who asks: only the gateway may, and it says for which tenant."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import HTTPConnection

from gpu_service.push_tokens import PushTokens
from shared.domain.names import TENANT
from shared.domain.tenants import Tenant
from shared.errors import ForgedTicket, InvalidRequest, UnknownTenant
from shared.settings import Settings
from shared.wiring import Parts

#: Set by the gateway, which drops what a caller of its own sends under this name.
TENANT_HEADER = "x-earwitness-tenant"


def gateway_tokens(settings: Settings) -> PushTokens | None:
    """Verifies the gateway's calls as tickets are; None where no gateway is known: then nobody
    may call.

    Raises:
        InvalidSettings: the keys cannot be read.
    """
    if not (settings.gateway_email and settings.gateway_subject):
        return None
    who = {"push_email": settings.gateway_email, "push_subject": settings.gateway_subject}
    return PushTokens(msgspec.structs.replace(settings, **who))


async def verified(tokens: PushTokens | None, request: HTTPConnection) -> None:
    """Return if the gateway asks.

    Raises:
        ForgedTicket: somebody else does. KeysUnavailable: nobody can tell now.
    """
    authorization: Sequence[str] = request.headers.getlist("authorization")
    if tokens is None:
        raise ForgedTicket
    if not tokens.knows(authorization):
        # A key that is not known yet is asked for over the network.
        await asyncio.to_thread(tokens.verify, authorization)


def tenant_of(request: Any, parts: Parts) -> Tenant:
    """The tenant the gateway asks for; reads the store.

    Raises:
        InvalidRequest, UnknownTenant: there is none of this name.
    """
    named = request.headers.get(TENANT_HEADER, "")
    if not TENANT.fullmatch(named):
        raise InvalidRequest(f"{TENANT_HEADER} names no tenant.")
    tenant = parts.tenants.get(named)
    if tenant is None:
        raise UnknownTenant
    return tenant
