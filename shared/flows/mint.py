"""tenant -> secret -> kept digest: an API key, told to whoever asked for it and never again."""

from collections.abc import Callable
from dataclasses import dataclass

from shared.domain.api_keys import ENTROPY_BYTES, ApiKey, Scope, minted
from shared.errors import UnknownTenant
from shared.ports import ApiKeys, Clock, Tenants


@dataclass(frozen=True, slots=True)
class Mint:
    """Repeating makes another key: of the first one only a digest is left."""

    tenants: Tenants
    api_keys: ApiKeys
    now: Clock
    entropy: Callable[[int], bytes]  #: so many secret bytes

    def __call__(self, tenant: str, scope: Scope, name: str) -> tuple[str, ApiKey]:
        """The key, and what is kept of it.

        Raises:
            UnknownTenant: nobody is called so.
        """
        if self.tenants.get(tenant) is None:
            raise UnknownTenant
        while True:  # an id of 48 bits may be taken
            text, key = minted(tenant, scope, name, self.now(), self.entropy(ENTROPY_BYTES))
            if self.api_keys.add(key):
                return text, key
