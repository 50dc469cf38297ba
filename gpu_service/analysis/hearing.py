"""open -> survey -> per operation: [ask -> judge]*; one that fails leaves the others standing."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from gpu_service.analysis.wanted import Wanted
from shared.domain.answers import Task
from shared.domain.cascade import Decided
from shared.domain.questions import Question
from shared.domain.sound import Limits, Survey
from shared.domain.wishes import Wishes
from shared.errors import (
    AudioTooLong,
    AudioTooShort,
    EarwitnessError,
    EngineDied,
    EngineUnavailable,
)
from shared.flows.ask import Ask
from shared.flows.questions import Questioned
from shared.ports import Ears, Hearing

#: Times an operation is tried before its failure is told, as in streams.
ROUNDS = 2
Bounds = Mapping[str, tuple[float, float]]
#: What was decided of an operation, or why not.
Heard = tuple[Task, list[Decided] | EarwitnessError]


@dataclass(frozen=True, slots=True)
class Analyse:
    """One file's operations, in order. Nothing is stored. Safe to repeat.

    Nothing that costs is asked: money is committed to a recording, and there is none here.
    """

    ears: Ears
    ask: Ask
    engines: Mapping[Task, tuple[str, ...]]
    wanted: Wanted
    tenant: str
    limits: Limits
    seconds: Bounds

    def __call__(self, sound: BinaryIO, alive: Callable[[], None]) -> Iterator[Survey | Heard]:
        """The survey, then each operation's outcome.

        Raises:
            RefusedAudio: it cannot be heard. DecoderDied: repeating may help.
        """
        wishes = Wishes(language=self.wanted.language)
        opened = self.ears.open(
            sound, tenant=self.tenant, wishes=wishes, limits=self.limits, alive=alive
        )
        with opened as hearing:
            yield hearing.survey
            for task in self.wanted.operations:
                alive()
                yield task, self._outcome(hearing, task)

    def _outcome(self, hearing: Hearing, task: Task) -> list[Decided] | EarwitnessError:
        try:
            self._check_length(hearing.survey.facts.duration_s or 0.0, task)
            return self._decided(hearing, task)
        except (AudioTooShort, AudioTooLong, EngineUnavailable, EngineDied) as error:
            return error

    def _check_length(self, duration_s: float, task: Task) -> None:
        least, most = self.seconds.get(task.value, (0.0, self.limits.max_seconds))
        told = f"The sound has {duration_s:.1f} s; to {task} it takes {least:g} to {most:g} s."
        if duration_s < least:
            raise AudioTooShort(told)
        if duration_s > most:
            raise AudioTooLong(told)

    def _decided(self, hearing: Hearing, task: Task) -> list[Decided]:
        survey = hearing.survey
        segments = survey.speech if task is Task.TRANSCRIBE else survey.windows
        if task is Task.ANSWER:
            question = Question(self.wanted.question or "")
            hearing = Questioned(hearing, lambda _: question)
        failure: EarwitnessError | None = None
        for tried in range(ROUNDS):
            try:
                return self.ask(hearing, task, segments, self.engines[task])
            except (EngineUnavailable, EngineDied) as error:
                error.context["retry_count"] = tried
                failure = error
        raise failure or EngineUnavailable
