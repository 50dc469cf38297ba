"""Which pieces of a recording each task is asked about."""

from collections.abc import Sequence

from shared.domain.answers import Task
from shared.domain.sound import Segment, Survey

#: A description of every half minute of a long recording is read by nobody and costs a call
#: each; these first windows (112 s) tell what it is. What was left out is said in a warning.
DESCRIBED_WINDOWS = 4


def planned(survey: Survey, task: Task) -> Sequence[Segment]:
    """The segments of a task's plan, by index; a `Decision` numbers them so."""
    if task in (Task.TRANSCRIBE, Task.ALIGN):
        return survey.speech
    if task is Task.DESCRIBE:
        return survey.windows[:DESCRIBED_WINDOWS]
    return survey.windows
