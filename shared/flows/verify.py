"""seals -> histories and actions -> what waits -> findings, looked at twice."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.domain.audit import EVERYBODY, Action, Chain
from shared.domain.verification import (
    Finding,
    Sealed,
    Signed,
    begins,
    missing_actions,
    missing_histories,
    of_action,
    of_history,
    of_seals,
    summed,
)
from shared.ports import Actions, Chains, Seals, Tenants

#: Histories and actions read at a time.
PAGE = 500


@dataclass(frozen=True, slots=True)
class Report:
    """What was looked at of one tenant, and what does not hold."""

    tenant: str
    recordings: int
    lines: int
    unchained: int  #: lines older than their chain: nothing holds them
    actions: int
    seals: int
    waiting: int  #: lines and actions that no seal has yet
    sealed_at: datetime | None  #: of the last seal
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Verify:
    """Changes nothing. In memory it holds an id and a digest of whatever was ever sealed.

    A store at work changes between two reads. What is wrong the first time is wrong only if it is
    wrong the second time, too.
    """

    tenants: Tenants
    chains: Chains
    actions: Actions
    seals: Seals
    signed: Signed

    def everybody(self) -> list[str]:
        """Whoever may have something to verify, by id."""
        known = {one.id for one in self.tenants.all()} | {EVERYBODY}
        return sorted(known | set(self.chains.tenants()) | set(self.seals.tenants()))

    def __call__(self, tenant: str) -> Report:
        """Look at all of one tenant.

        Raises:
            StoreUnavailable: nothing is known.
        """
        report = self._look(tenant)
        if not report.findings:
            return report
        again = self._look(tenant)
        lasting = tuple(one for one in again.findings if one in set(report.findings))
        return replace(again, findings=lasting)

    def _look(self, tenant: str) -> Report:
        # Histories first, then what waits, then seals: whatever is new goes this way, too, so
        # that nothing which was there at the first read is missed at the last.
        chains, actions = list(self._chains(tenant)), list(self._actions(tenant))
        waiting = self.chains.waiting(tenant)
        stored = {n: self.seals.get(tenant, n) or b"" for n in self.seals.numbers(tenant)}
        seals, findings = of_seals(tenant, stored, self.signed)
        known = summed(seals, waiting)
        findings += _of_all(tenant, chains, actions, known)
        return Report(
            tenant=tenant,
            recordings=len(chains),
            lines=sum(len(one.links) for one in chains),
            unchained=sum(min(begins(one) - 1, len(one.links)) for one in chains),
            actions=len(actions),
            seals=len(stored),
            waiting=len(waiting),
            sealed_at=seals[-1].at if seals else None,
            findings=tuple(sorted(findings)),
        )

    def _chains(self, tenant: str) -> Iterator[Chain]:
        page = self.chains.page(tenant, None, PAGE)
        while page:
            yield from page
            page = self.chains.page(tenant, page[-1].recording_id, PAGE)

    def _actions(self, tenant: str) -> Iterator[Action]:
        page = self.actions.page(tenant, limit=PAGE)
        while page:
            yield from page
            page = self.actions.page(tenant, before=(page[-1].at, page[-1].id), limit=PAGE)


def _of_all(
    tenant: str, chains: Sequence[Chain], actions: Sequence[Action], known: Sealed
) -> Iterator[Finding]:
    for chain in chains:
        yield from of_history(tenant, chain, known)
    yield from missing_histories(tenant, (one.recording_id for one in chains), known)
    for action in actions:
        yield from of_action(action, known)
    yield from missing_actions(tenant, (one.id for one in actions), known)


def trusting(keys: dict[str, bytes], holds: Callable[[bytes, bytes, bytes], bool]) -> Signed:
    """Believes these public keys (id -> PEM) and nobody else's."""

    def signed(key_id: str, message: bytes, signature: str) -> bool | None:
        if key_id not in keys:
            return None
        try:
            return holds(keys[key_id], message, bytes.fromhex(signature))
        except ValueError:
            return False

    return signed
