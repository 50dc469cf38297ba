"""tenant, keys, webhooks; seals, actions, chains -> chapters of what is no recording's own."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from pydantic_core import to_json

from shared.domain.exports import (
    KEYS_JSON,
    TENANT_JSON,
    WEBHOOKS_JSON,
    Asked,
    Chapter,
    Stage,
    texted,
)
from shared.domain.tenant_papers import keys_json, tenant_json, webhooks_json
from shared.errors import ExportOver
from shared.ports import Actions, ApiKeys, Chains, Seals, Tenants, Webhooks

#: Lines of one file: a seal may have half a megabyte, a history some kilobytes.
SEALS, ACTIONS, CHAINS = 10, 5_000, 200


@dataclass(frozen=True, slots=True)
class TenantPapers:
    """What the tenant is, who could come in, who was told: no secret of theirs."""

    tenants: Tenants
    api_keys: ApiKeys
    webhooks: Webhooks

    def __call__(self, asked: Asked, before: Chapter | None) -> Chapter:
        """The one chapter.

        Raises:
            ExportOver: the tenant is gone.
        """
        tenant = self.tenants.get(asked.tenant)
        if tenant is None:
            raise ExportOver
        papers = {
            TENANT_JSON: tenant_json(tenant),
            KEYS_JSON: keys_json(self.api_keys.all(asked.tenant)),
            WEBHOOKS_JSON: webhooks_json(self.webhooks.all(asked.tenant)),
        }
        entries = tuple(texted(path, document) for path, document in papers.items())
        return Chapter(Stage.PAPERS, 0, entries, more=False)


@dataclass(frozen=True, slots=True)
class SealChapters:
    """Seals as they lie in their storage, a line each: signatures hold."""

    seals: Seals

    def __call__(self, asked: Asked, before: Chapter | None) -> Chapter:
        last = int(before.after) if before else 0
        numbers = self.seals.numbers(asked.tenant, after=last, limit=SEALS)
        found = [self.seals.get(asked.tenant, number) or b"" for number in numbers]
        after = str(numbers[-1]) if numbers else str(last)
        return _lined(Stage.SEALS, before, found, more=len(numbers) == SEALS, after=after)


@dataclass(frozen=True, slots=True)
class ActionChapters:
    """Who did what, the newest first."""

    actions: Actions

    def __call__(self, asked: Asked, before: Chapter | None) -> Chapter:
        start = (before.at or asked.at, before.after) if before else (asked.at, "0")
        found = self.actions.page(asked.tenant, before=start, limit=ACTIONS)
        at, after = (found[-1].at, found[-1].id) if found else start
        lines = [to_json(asdict(one)) for one in found]
        return _lined(Stage.ACTIONS, before, lines, more=len(found) == ACTIONS, after=after, at=at)


@dataclass(frozen=True, slots=True)
class ChainChapters:
    """Histories with their salts, so that seals can be proved."""

    chains: Chains

    def __call__(self, asked: Asked, before: Chapter | None) -> Chapter:
        last = before.after if before else ""
        found = self.chains.page(asked.tenant, last or None, CHAINS)
        lines = [to_json(asdict(one)) for one in found]
        after = found[-1].recording_id if found else last
        return _lined(Stage.CHAINS, before, lines, more=len(found) == CHAINS, after=after)


def _lined(
    stage: Stage,
    before: Chapter | None,
    lines: Sequence[bytes],
    *,
    more: bool,
    after: str,
    at: datetime | None = None,
) -> Chapter:
    number = before.number + 1 if before else 0
    path, document = f"audit/{stage}-{number:06}.jsonl", b"".join(one + b"\n" for one in lines)
    entries = (texted(path, document),) if lines else ()
    return Chapter(stage, number, entries, more, at=at, after=after)
