"""Which pieces of a recording each task is asked about, and in which order."""

from collections.abc import Iterator, Mapping, Sequence

from shared.domain.answers import Task
from shared.domain.cascade import Decided
from shared.domain.questions import number_of, slots
from shared.domain.sound import Segment, Survey

#: What a recording is asked, in this order: words are placed when they are known, and questions
#: are asked beside the words.
ASKED = (
    Task.TRANSCRIBE,
    Task.ALIGN,
    Task.CLASSIFY,
    Task.DESCRIBE,
    Task.ANSWER,
    Task.EMBED,
)
#: Seconds of sound asked about at a time: four windows, so that short segments are packed
#: together, and so that little is paid for again after a crash.
ROUND_S = 112.0
#: A description of every half minute of a long recording is read by nobody and costs a call
#: each; these first windows (112 s) tell what it is. What was left out is said in a warning.
DESCRIBED_WINDOWS = 4


def planned(survey: Survey, task: Task) -> Sequence[Segment]:
    """The segments of a task's plan, by index; a `Decision` numbers them so."""
    if task in (Task.TRANSCRIBE, Task.ALIGN):
        return survey.speech
    if task is Task.DESCRIBE:
        return survey.windows[:DESCRIBED_WINDOWS]
    if task is Task.ANSWER:
        return slots(survey)
    return survey.windows


def rounds(
    survey: Survey,
    engines: Mapping[Task, Sequence[str]],
    heard: Mapping[Task, Sequence[Decided]],
    questions: int = 0,
) -> Iterator[tuple[Task, list[Segment]]]:
    """What is left to ask, in rounds of at most ROUND_S (one segment at least).

    `questions` is how many came with the recording.
    """
    for task in (task for task in ASKED if engines.get(task)):
        known = {d.segment for d in heard[task]}
        batch: list[Segment] = []
        for segment in _due(survey, task, questions):
            if segment.index in known:
                continue
            if batch and seconds(batch) + segment.duration_s > ROUND_S:
                yield task, batch
                batch = []
            batch.append(segment)
        if batch:
            yield task, batch


def _due(survey: Survey, task: Task, questions: int) -> Sequence[Segment]:
    plan = planned(survey, task)
    if task is not Task.ANSWER:
        return plan
    return [slot for slot in plan if number_of(slot.index) < questions]


def seconds(segments: Sequence[Segment]) -> float:
    return sum(s.duration_s for s in segments)


def engines_key(engines: Mapping[Task, Sequence[str]]) -> str:
    """Names the cascade: answers given under another one are not this one's checkpoints."""
    return ";".join(f"{task}={','.join(names)}" for task, names in sorted(engines.items()))
