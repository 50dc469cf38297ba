"""What is exported of a tenant besides its recordings, and what an import makes of it."""

from pydantic import TypeAdapter

from shared.domain.api_keys import ApiKey
from shared.domain.tenants import Tenant

_TENANT = TypeAdapter(Tenant)
_KEYS = TypeAdapter(list[ApiKey])


def tenant_json(tenant: Tenant) -> bytes:
    """Its tier, its own rules, its profile."""
    return _TENANT.dump_json(tenant, indent=1) + b"\n"


def tenant_of(document: bytes) -> Tenant:
    """Raises ValueError (pydantic's): this is no tenant."""
    return _TENANT.validate_json(document)


def keys_json(keys: list[ApiKey]) -> bytes:
    """Who could come in; without digests, so nobody ever comes in by what is written here."""
    return _KEYS.dump_json(keys, indent=1, exclude={"__all__": {"digest"}}) + b"\n"
