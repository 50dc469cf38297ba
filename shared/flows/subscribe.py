"""tenant -> checked URL -> secret -> webhook; the secret is told to whoever asked, this once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from shared.domain.webhooks import (
    ENTROPY_BYTES,
    MOST_WEBHOOKS,
    SECRET_BYTES,
    Webhook,
    new,
    new_secret,
)
from shared.errors import InvalidRequest, UnknownTenant
from shared.ports import Clock, Tenants, Webhooks


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Repeating makes another webhook, which is told everything, too."""

    tenants: Tenants
    webhooks: Webhooks
    now: Clock
    entropy: Callable[[int], bytes]  #: so many secret bytes
    private: bool = False  #: as `webhooks.check_url`

    def __call__(self, tenant: str, url: str, types: Sequence[str]) -> Webhook:
        """A new webhook of the tenant.

        Raises:
            UnknownTenant: nobody is called so.
            InvalidRequest: nobody may be told there or of that, or the tenant has enough.
        """
        if self.tenants.get(tenant) is None:
            raise UnknownTenant
        # Two at once may pass the limit by one: it bounds work, and guards nothing.
        if len(self.webhooks.all(tenant)) >= MOST_WEBHOOKS:
            raise InvalidRequest(
                f"A tenant has at most {MOST_WEBHOOKS} webhooks. Remove one first."
            )
        while True:  # an id of 64 bits may be taken
            entropy = self.entropy(ENTROPY_BYTES)
            made = new(tenant, url, types, self.now(), entropy, private=self.private)
            if self.webhooks.add(made):
                return made

    def rotate(self, webhook_id: str, overlap: timedelta) -> Webhook:
        """Give the webhook a new secret; the old one signs beside it for a while.

        Repeating gives it another: then the one in between is the old one.

        Raises:
            NotFound: there is none of this id.
        """
        secret = new_secret(self.entropy(SECRET_BYTES))
        return self.webhooks.rotate(webhook_id, secret, self.now() + overlap)
