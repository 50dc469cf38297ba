"""A recording that is asked questions: each segment goes to the engines with its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from shared.domain.answers import Answer, Task
from shared.domain.cascade import Decided
from shared.domain.prices import Terms
from shared.domain.questions import Question, put
from shared.domain.sound import Segment, Survey
from shared.ports import Hearing, Said


@dataclass(frozen=True, slots=True)
class Questioned:
    """A `Hearing` that knows what each of its segments is asked."""

    hearing: Hearing
    question: Callable[[Segment], Question]

    @property
    def survey(self) -> Survey:
        return self.hearing.survey

    def ask(
        self, engine: str, task: Task, segments: Sequence[Segment], said: Sequence[Said] = ()
    ) -> list[Answer]:
        asked = [self.question(segment) for segment in segments]
        return self.hearing.ask(engine, task, segments, asked)

    def terms(self, engine: str, task: Task) -> Terms | None:
        return self.hearing.terms(engine, task)

    def suits(self, engine: str, segment: Segment, language: str | None) -> bool:
        return self.hearing.suits(engine, segment, language)

    def identity(self, engine: str) -> Mapping[str, str]:
        return self.hearing.identity(engine)


def questioned(
    hearing: Hearing, questions: Sequence[str], transcript: Sequence[Decided]
) -> Questioned:
    """Asked the questions that came with a recording, in `questions.slots`, with its transcript."""
    speech = hearing.survey.speech
    return Questioned(hearing, lambda slot: put(slot, questions, speech, transcript))
