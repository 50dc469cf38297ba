"""An export as its parts make it, and the world it is imported into."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from shared.adapters.embedded.file_seals import FileSeals
from shared.domain.exports import Asked, Index, Stage
from shared.domain.ulids import ENTROPY_BYTES
from shared.flows import paper_chapters as papers
from shared.flows.export_plans import ExportPlans
from shared.flows.plan_export import PlanExport
from shared.flows.recording_chapters import RecordingChapters
from shared.flows.zipped import Zipped
from shared.ports import Results, Seals

ENTROPIES = (n.to_bytes(ENTROPY_BYTES, "big") for n in count())
LATER = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass
class Exports:
    """Exports of any store that has the ports."""

    store: Any
    seals: Seals
    temporary: Results
    at: datetime = LATER
    plan: PlanExport = field(init=False)

    def __post_init__(self):
        s = self.store
        chapters = {
            Stage.PAPERS: papers.TenantPapers(s.tenants, s.api_keys, s.webhooks),
            Stage.SEALS: papers.SealChapters(self.seals),
            Stage.ACTIONS: papers.ActionChapters(s.actions),
            Stage.CHAINS: papers.ChainChapters(s.chains),
            Stage.RECORDINGS: RecordingChapters(s.recordings, s.corrections, s.uploads, s.results),
        }
        self.plan = PlanExport(s.tenants, chapters, ExportPlans(self.temporary), lambda: self.at)

    def ask(self, tenant="acme", originals=True) -> Asked:
        return self.plan.begin(tenant, originals, next(ENTROPIES))

    def planned(self, asked: Asked) -> Index:
        while (index := self.plan.go_on(asked)) is None:
            pass
        return index

    def archive(self, asked: Asked, index: Index) -> Zipped:
        s = self.store
        return Zipped(s.recordings, s.results, s.uploads, self.plan.plans, asked, index)

    def whole(self, tenant="acme", originals=True) -> bytes:
        asked = self.ask(tenant, originals)
        index = self.planned(asked)
        return b"".join(self.archive(asked, index).read(0, index.size_bytes))


def exports(store, folder) -> Exports:
    """`folder`: an empty one, for seals and plans."""
    from shared.adapters.embedded.file_results import FileResults

    return Exports(store, FileSeals(folder / "sealed"), FileResults(folder / "plans"))
