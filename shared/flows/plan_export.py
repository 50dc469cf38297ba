"""ask -> chapter by chapter: read what is known, digest it, keep the plan -> index."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from shared.domain.exports import Asked, Chapter, Index, Stage, indexed
from shared.domain.testimony import VERSION
from shared.domain.ulids import ulid
from shared.errors import ExportOver, UnknownTenant
from shared.flows.export_plans import ExportPlans
from shared.ports import Clock, Tenants

#: Makes the chapter behind another one of its stage; None: the first.
Chapters = Callable[[Asked, Chapter | None], Chapter]


@dataclass(frozen=True, slots=True)
class PlanExport:
    """Safe to repeat at any step: chapters are create-only, and whoever comes second takes what
    the first one kept."""

    tenants: Tenants
    chapters: Mapping[Stage, Chapters]
    plans: ExportPlans
    now: Clock

    def begin(self, tenant: str, originals: bool, entropy: bytes) -> Asked:
        """Ask for everything of a tenant as of now. Nothing is read yet.

        Args:
            entropy: ulids.ENTROPY_BYTES random bytes.

        Raises:
            UnknownTenant: there is none.
        """
        if self.tenants.get(tenant) is None:
            raise UnknownTenant
        now = self.now()
        asked = Asked(
            f"{tenant}-{ulid(now, entropy)}", tenant, originals, now, {"earwitness": VERSION}
        )
        self.plans.begin(asked)
        return asked

    def asked(self, export_id: str) -> Asked:
        """What was asked for.

        Raises:
            ExportOver: its day has passed, something in it was erased, or it never was.
        """
        found = self.plans.asked(export_id)
        if found is None or self.now() >= found.ends_at:
            raise ExportOver
        return found

    def go_on(self, asked: Asked) -> Index | None:
        """Plan one more chapter; the index once there is none to plan.

        Raises:
            ExportOver: something of the tenant was erased meanwhile.
        """
        index = self.plans.index(asked)
        if index is not None:
            return index
        number, last = self.plans.last(asked)
        if last is None or not last.last:
            self.plans.add(asked, number, self._next(asked, last))
            self._check(asked)
            return None
        index = indexed(asked, self.plans.chapters(asked))
        self.plans.finish(asked, index)
        self._check(asked)
        return index

    def _next(self, asked: Asked, last: Chapter | None) -> Chapter:
        if last is not None and last.more:
            return self.chapters[last.stage](asked, last)
        stages = tuple(Stage)
        stage = stages[stages.index(last.stage) + 1] if last else stages[0]
        return self.chapters[stage](asked, None)

    def _check(self, asked: Asked) -> None:
        """What was erased while this was read and kept is not kept.

        An erasure marks the recording first and removes the tenant's plans then: it came either
        before this look, which finds nothing, or after it and takes the chapter along.
        """
        if self.plans.asked(asked.id) is None:
            self.plans.end(asked.id)
            raise ExportOver
