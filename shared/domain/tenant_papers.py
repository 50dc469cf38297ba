"""What is exported of a tenant besides its recordings, and what an import makes of it."""

from pydantic import TypeAdapter

from shared.domain.api_keys import ApiKey
from shared.domain.tenants import Tenant
from shared.domain.webhooks import Webhook

_TENANT = TypeAdapter(Tenant)
_KEYS, _WEBHOOKS = TypeAdapter(list[ApiKey]), TypeAdapter(list[Webhook])


def tenant_json(tenant: Tenant) -> bytes:
    """Its tier, its own rules, its profile."""
    return _TENANT.dump_json(tenant, indent=1) + b"\n"


def tenant_of(document: bytes) -> Tenant:
    """Raises ValueError (pydantic's): this is no tenant."""
    return _TENANT.validate_json(document)


def keys_json(keys: list[ApiKey]) -> bytes:
    """Who could come in; without digests, so nobody ever comes in by what is written here."""
    return _KEYS.dump_json(keys, indent=1, exclude={"__all__": {"digest"}}) + b"\n"


def webhooks_json(webhooks: list[Webhook]) -> bytes:
    """Who was told; without what signs it."""
    secret = {"__all__": {"secret", "old_secret"}}
    return _WEBHOOKS.dump_json(webhooks, indent=1, exclude=secret) + b"\n"
