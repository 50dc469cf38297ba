"""From what was decided to testimony: the same rules as for recordings that are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gpu_service.openai_api.asked import Asked
from gpu_service.openai_api.transcripts import Transcript
from shared.domain.answers import Task
from shared.domain.cascade import Decided
from shared.domain.lanes import Lane
from shared.domain.recording import Recording
from shared.domain.sound import Survey
from shared.domain.states import State
from shared.domain.tenants import Tenant
from shared.domain.testimony import Testimony, testify
from shared.domain.wishes import Wishes
from shared.domain.word_times import with_times

#: The bucket of a sound that lies in none.
PASSING = "request"


@dataclass(frozen=True, slots=True)
class Witness:
    """Whose sound it was, what was asked, and what the survey told."""

    tenant: Tenant
    asked: Asked
    survey: Survey
    at: datetime

    def transcript(self, decided: Sequence[Decided]) -> Transcript:
        """The transcript of what was decided so far, its words where an aligner placed them."""
        said = of(Task.TRANSCRIBE, decided)
        heard = {Task.TRANSCRIBE: said, Task.ALIGN: of(Task.ALIGN, decided)}
        testimony = Testimony(
            recording=passing(self.tenant, self.asked, self.at),
            survey=self.survey,
            heard=with_times(heard),
            sha256=None,
            timings_s={},
            versions={},
        )
        # Probabilities are told of what the engine said, not of where its words were placed.
        return Transcript(self.asked, self.survey, said, testify(testimony))


def of(task: Task, decided: Sequence[Decided]) -> list[Decided]:
    """What was decided of one task."""
    return [d for d in decided if d.answer.task is task]


def wishes(asked: Asked) -> Wishes:
    return Wishes(language=asked.language, prompt=asked.prompt, temperature=asked.temperature)


def passing(tenant: Tenant, asked: Asked, at: datetime) -> Recording:
    """A recording that is never kept: it lives as long as its caller waits."""
    return Recording(
        id="0" * 32,
        tenant=tenant.id,
        bucket=PASSING,
        name=PASSING,
        path=PASSING,
        generation=0,
        size_bytes=0,
        content_type="",
        state=State.PROCESSING,
        tier=tenant.tier,
        lane=Lane.HIGH,
        rule="realtime",
        wishes=wishes(asked),
        received_at=at,
        updated_at=at,
        kept_until=at,
    )
