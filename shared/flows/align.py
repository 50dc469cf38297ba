"""answers -> the aligner of their language -> where each word lies in time."""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared.domain.answers import Answer, Task
from shared.domain.cascade import Decided, Decision, Verdict
from shared.domain.sound import Segment
from shared.errors import EarwitnessError
from shared.flows.turns import FAILURES
from shared.logs import say
from shared.ports import Hearing

log = logging.getLogger("earwitness.align")


@dataclass(frozen=True, slots=True)
class _Asked:
    """Which segments an aligner was asked about, and what came of each."""

    decisions: dict[int, list[Decision]] = field(default_factory=lambda: defaultdict(list))
    answers: dict[int, Answer] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Align:
    """Nothing is stored here. Safe to repeat: the same text and sound give the same times."""

    def __call__(
        self,
        hearing: Hearing,
        segments: Sequence[Segment],
        said: Mapping[int, Answer],
        aligners: Sequence[str],
    ) -> list[Decided]:
        """Place the words of every segment whose text some aligner can place, in order.

        `said` is by index of the segment. Of the aligners that suit a segment the first is
        asked, the next where it fails; where none does, the answer has no words and its decision
        says why. A segment nobody could be asked about is left out. No aligner that costs money
        is asked.

        Raises:
            StaleLease, StoreUnavailable: from the `alive` of the hearing.
        """
        asked = _Asked()
        waiting = [s for s in segments if s.index in said and said[s.index].text.strip()]
        for aligner in aligners:
            if hearing.terms(aligner, Task.ALIGN):
                continue  # a paid call is committed before it is made, which nothing does here
            its = [s for s in waiting if hearing.suits(aligner, s, said[s.index].language)]
            if its:
                self._ask(hearing, aligner, its, said, asked)
            waiting = [s for s in waiting if s.index not in asked.answers]
        return [self._settled(s.index, asked) for s in segments if s.index in asked.decisions]

    def _ask(
        self,
        hearing: Hearing,
        aligner: str,
        segments: Sequence[Segment],
        said: Mapping[int, Answer],
        asked: _Asked,
    ) -> None:
        try:
            answers = hearing.ask(aligner, Task.ALIGN, segments, [said[s.index] for s in segments])
        except FAILURES as error:  # the text stands without it
            say(log, error)
            for s in segments:
                asked.decisions[s.index].append(_step(s.index, aligner, error))
            return
        for s, answer in zip(segments, answers, strict=True):
            asked.answers[s.index] = answer
            asked.decisions[s.index].append(_step(s.index, aligner, answer))

    def _settled(self, segment: int, asked: _Asked) -> Decided:
        decisions = tuple(asked.decisions[segment])
        nothing = Answer(decisions[-1].engine, Task.ALIGN)
        return Decided(segment, asked.answers.get(segment, nothing), decisions)


def _step(segment: int, aligner: str, came: Answer | EarwitnessError) -> Decision:
    """Nobody reviews for want of word times: an answer is taken, a failure passed over."""
    if isinstance(came, EarwitnessError):
        return Decision(segment, Task.ALIGN, aligner, Verdict.ESCALATE, came.code)
    reason = "aligned" if came.words else "unplaced"
    return Decision(
        segment, Task.ALIGN, aligner, Verdict.ACCEPT, reason, came.confidence, came.calibrated
    )
