"""sound that is waited for -> this process's slice of the tenant's day -> heard, or over quota."""

from collections import defaultdict
from dataclasses import replace
from threading import Lock

from shared.domain.quotas import (
    MILLI,
    Portion,
    anew,
    cost_ms,
    day_of,
    left_over,
    never,
    next_midnight,
    too_much,
)
from shared.domain.slices import Slice, from_slice
from shared.domain.tenants import OverQuotaPolicy, Tenant
from shared.errors import OverQuota
from shared.ports import Clock, Quotas


class Allowance:
    """What this process holds of its tenants' days; one a process, for it remembers. Thread-safe.

    Charging costs no store but where a slice is used up or its time is over. What a killed process
    held is heard by nobody: at most a slice a tenant, until the day is over.
    """

    def __init__(self, quotas: Quotas, now: Clock, holder: str) -> None:
        """`holder` is this process's alone: what another of that name used, nobody can know."""
        self._quotas, self._now = quotas, now
        self._none = Portion("", 0, Slice(holder, now()))
        self._held: dict[str, Portion] = {}
        self._locks: defaultdict[str, Lock] = defaultdict(Lock)

    def charge(self, tenant: Tenant, seconds: float) -> None:
        """Count sound against its tenant's day before it is heard. It is no file: nothing is kept.

        Repeating counts again.

        Raises:
            OverQuota: more than is left; `retry_after_s` says when a new day begins. Nothing was
                counted.
            StoreUnavailable: nothing was counted.
        """
        cost, limit_s = cost_ms(seconds), tenant.rules.seconds_a_day
        with self._locks[tenant.id]:
            now, held = self._now(), self._held.get(tenant.id, self._none)
            most = None if limit_s is None else int(limit_s * MILLI)
            paid = from_slice(held.taken, held.mine, cost, most, now)
            if paid is not None and held.day >= day_of(now):
                self._held[tenant.id] = replace(held, mine=paid.mine)
                return
            fresh = self._quotas.take(tenant.id, held, cost, limit_s, now)
            if fresh is None:
                raise self._over(tenant, seconds, held)
            self._held[tenant.id] = fresh

    def report(self) -> None:
        """Tell the store what was used; what nobody has asked for in a slice's time returns."""
        self._settle(all_of_it=False)

    def give_back(self) -> None:
        """Return all: nothing more will be heard, for now. Charging takes anew."""
        self._settle(all_of_it=True)

    def _settle(self, *, all_of_it: bool) -> None:
        for tenant in tuple(self._held):
            with self._locks[tenant]:
                now, held = self._now(), self._held[tenant]
                rest = all_of_it or held.mine.over(now)
                if not rest and held.mine.spent == held.told:
                    continue
                self._quotas.settle(tenant, held, rest=rest)
                if rest:
                    del self._held[tenant]
                else:
                    self._held[tenant] = replace(held, told=held.mine.spent)

    def _over(self, tenant: Tenant, seconds: float, held: Portion) -> OverQuota:
        now, limit_s = self._now(), tenant.rules.seconds_a_day or 0.0
        waits_s = (next_midnight(now) - now).total_seconds()
        if hopeless := never(seconds, replace(tenant.rules, files_a_day=None)):
            return OverQuota(too_much(hopeless, seconds, tenant.rules), retry_after_s=waits_s)
        day = self._quotas.day(tenant.id, now)
        mine_s = held.mine.rest / MILLI if held.day >= day_of(now) else 0.0
        left_s = limit_s - day.used_s - day.reserved_s - day.stranded_s + mine_s
        said = f"{left_over(seconds, limit_s, left_s)} {anew(now)}"
        defers = tenant.over_quota is OverQuotaPolicy.DEFER
        return OverQuota(f"{said} {_UPLOADS if defers else _AGAIN}", retry_after_s=waits_s)


_UPLOADS = "Uploads are taken and heard then; a higher tier hears more."
_AGAIN = "Come again then; a higher tier hears more."
