"""What one attempt at a recording may spend: the tenant's consent, then its budget."""

from dataclasses import dataclass

from pydantic import TypeAdapter

from shared.domain.answers import Answer
from shared.domain.cascade import Policy
from shared.domain.recording import Lease
from shared.domain.spending import Bought, Intent, PaidCall, Refusal, micros, micros_at_most
from shared.ports import Clock, Spending, Tenants

ANSWER = TypeAdapter(Answer)


@dataclass(frozen=True, slots=True)
class Purse:
    """What one attempt at a recording may spend."""

    spending: Spending
    tenants: Tenants
    lease: Lease
    now: Clock
    waited_s: float = 0.0  #: in its lane, before this lease

    def hurries(self, policy: Policy) -> bool:
        """Whether the job waited longer than its lane should take, and its tenant pays for that."""
        lane = self.lease.recording.lane
        limit_s = policy.degrade_after_s.get(lane) if lane else None
        if limit_s is None or self.waited_s <= limit_s:
            return False
        tenant = self.tenants.get(self.lease.recording.tenant)
        return tenant is not None and tenant.fallback

    def intend(self, call: PaidCall) -> Intent | Bought | Refusal:
        """Commit the call before it is made, or say why it is not, or what it gave before.

        Raises:
            StaleLease: another worker has the job; nothing may be called.
        """
        tenant = self.tenants.get(self.lease.recording.tenant)
        if tenant is not None and tenant.residency:
            return Refusal.RESIDENCY
        if tenant is None or not tenant.fallback:
            return Refusal.NOT_OPTED_IN
        budget = tenant.rules.fallback_usd_a_day
        made = self.spending.intend(self.lease, call, budget, self.now())
        if made is Refusal.OVER_BUDGET and budget is not None:
            # What no day pays for is not put off to the next one.
            fits = micros_at_most(call.at_most_usd) <= micros(budget)
            return made if fits else Refusal.OVER_LIMIT
        return made

    def settle(self, intent: Intent, answer: Answer | None = None) -> None:
        """Say what the call cost, and keep its answer for whoever goes on in this attempt."""
        if answer is None:
            self.spending.settle(intent, 0.0)
        else:
            self.spending.settle(intent, answer.cost_usd, ANSWER.dump_json(answer).decode())
