"""tick -> every tenant that was declared is there."""

import logging
from collections.abc import Mapping

from shared.domain.tenants import Tier
from shared.ports import Clock, Tenants

log = logging.getLogger("earwitness.welcome")


class Welcome:
    """Makes the declared tenants that are missing, and changes none that is there.

    A process looks at each once: a tick every minute would ask the store for nothing new. Safe
    to repeat, and safe beside itself (`Tenants.ensure`).
    """

    def __init__(self, tenants: Tenants, declared: Mapping[str, Tier], now: Clock) -> None:
        """`declared`: the tier each begins with, by tenant."""
        self._tenants, self._now = tenants, now
        self._unseen = dict(declared)

    def __call__(self) -> list[str]:
        """The tenants made just now.

        Raises:
            StoreUnavailable: the next tick goes on with those that are left.
        """
        made = []
        for tenant, tier in list(self._unseen.items()):
            if self._tenants.ensure(tenant, tier, self._now()):
                log.info("a declared tenant was made", extra={"tenant": tenant, "tier": tier})
                made.append(tenant)
            self._unseen.pop(tenant, None)
        return made
