"""Answers to the questions that came with a recording, and what must be said of them."""

from collections.abc import Iterable, Sequence

from shared.domain import result as r
from shared.domain.answers import Answer, Task
from shared.domain.cascade import Decided, Decision, Verdict
from shared.domain.cautions import PASSED_BY, Heard
from shared.domain.plans import planned
from shared.domain.questions import QUESTIONED_WINDOWS, number_of
from shared.domain.shares import share
from shared.domain.sound import Segment, Survey


def answered(survey: Survey, questions: Sequence[str], heard: Heard) -> Iterable[r.Answered]:
    """One entry a question, in the order they were asked; empty where nobody answered."""
    plan = {s.index: s for s in planned(survey, Task.ANSWER)}
    for number, question in enumerate(questions):
        about = [d for d in _about(number, heard) if d.answer.text]
        said = [(d.answer, plan[d.segment]) for d in about]
        telling = [(a, s) for a, s in said if a.evidence != ""] or said[:1]
        yield r.Answered(
            question=question,
            text=" ".join(dict.fromkeys(a.text for a, _ in telling)),
            confidence=_weighted(telling),
            parts=tuple(_part(*one) for one in said),
        )


def _about(number: int, heard: Heard) -> list[Decided]:
    """What was decided about one question, window by window."""
    many = heard.get(Task.ANSWER, ())
    return sorted((d for d in many if number_of(d.segment) == number), key=lambda d: d.segment)


def _part(answer: Answer, window: Segment) -> r.AnsweredPart:
    return r.AnsweredPart(
        start_s=round(window.start_s, 3),
        end_s=round(window.end_s, 3),
        engine=answer.engine,
        text=answer.text,
        evidence=answer.evidence,
        confidence=share(answer.confidence),
    )


def _weighted(said: Sequence[tuple[Answer, Segment]]) -> float | None:
    """Mean confidence, each window by its seconds; None if any engine gave none."""
    if not said or any(a.confidence is None for a, _ in said):
        return None
    total = sum(s.duration_s for _, s in said)
    return share(sum((a.confidence or 0.0) * s.duration_s for a, s in said) / total)


def unanswered(survey: Survey, questions: Sequence[str], heard: Heard) -> Iterable[r.Warned]:
    """What was not asked, or not answered, and why."""
    if not questions:
        return
    if not heard.get(Task.ANSWER):
        many = "1 question was" if len(questions) == 1 else f"{len(questions)} questions were"
        why = (
            "no engine here answers questions. Name one in EARWITNESS_CASCADE__ANSWER, and `answer`"
            " in the tenant's profile if it has one, and upload the recording again."
            if survey.windows
            else "there is no sound."
        )
        yield r.Warned(code="questions_not_asked", message=f"{many} not asked: {why}")
        return
    yield from _asked_in_part(survey)
    for number in range(len(questions)):
        yield from _missing(survey, number, heard)


def _asked_in_part(survey: Survey) -> Iterable[r.Warned]:
    if len(survey.windows) > QUESTIONED_WINDOWS:
        asked_s = survey.windows[QUESTIONED_WINDOWS - 1].end_s
        total_s = survey.facts.duration_s or 0.0
        told = f"Questions were asked of the first {asked_s:.0f} of {total_s:.0f} seconds only."
        yield r.Warned(code="questions_asked_in_part", message=told)


def _missing(survey: Survey, number: int, heard: Heard) -> Iterable[r.Warned]:
    plan = {s.index: s.duration_s for s in planned(survey, Task.ANSWER)}
    about = _about(number, heard)
    gaps = [d for d in about if d.missing or not d.answer.text]
    if not gaps:
        return
    lost_s, asked_s = (sum(plan[d.segment] for d in some) for some in (gaps, about))
    steps = sorted({(s.engine, _why(s)) for d in gaps for s in d.decisions})
    why = " ".join(f"Engine {engine} {what}" for engine, what in steps)
    told = f"Question {number + 1} has no answer for {lost_s:.0f} of {asked_s:.0f} seconds. {why}"
    yield r.Warned(
        code="answers_missing", message=f"{told} Mend that and upload the recording again."
    )


def _why(step: Decision) -> str:
    if step.verdict is not Verdict.ESCALATE:
        return "had nothing to say."
    return PASSED_BY.get(step.reason, f"failed ({step.reason}).")
