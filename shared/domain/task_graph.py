"""Which task of a recording waits for which: names, needs that always hold, cycles."""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from shared.domain.answers import Task
from shared.domain.plans import ASKED


class Stage(StrEnum):
    """What is done to every recording, whatever engines are asked."""

    DECODE = "decode"
    SEGMENTS = "segments"
    SYNTHESIZE = "synthesize"


#: A reader of the result knows embeddings as `features`.
_NAMED = {Task.EMBED: "features"}
#: What engines are asked, by the name a profile has for it, in the order they are asked.
TASKS: Mapping[str, Task] = {_NAMED.get(task, task.value): task for task in ASKED}
NAMES: Mapping[Task, str] = {task: name for name, task in TASKS.items()}
EVERY_NAME = (Stage.DECODE.value, Stage.SEGMENTS.value, *TASKS, Stage.SYNTHESIZE.value)

#: What a task is made from, so that nobody can leave it out: a word is placed when it is known.
MADE_FROM: Mapping[Task, frozenset[Task]] = {Task.ALIGN: frozenset({Task.TRANSCRIBE})}
#: What a task reads where it is there: a question may be answered from the words, too.
READS: Mapping[Task, frozenset[Task]] = {Task.ANSWER: frozenset({Task.TRANSCRIBE})}


def waits_for(task: Task) -> frozenset[Task]:
    """What is finished before `task` whoever writes the profile, if it is asked for at all."""
    return MADE_FROM.get(task, frozenset()) | READS.get(task, frozenset())


def always(name: str, among: Sequence[str]) -> frozenset[str]:
    """What `name` waits for whoever writes the profile, `among` being its engine tasks."""
    if name == Stage.DECODE:
        return frozenset()
    if name == Stage.SEGMENTS:
        return frozenset({Stage.DECODE.value})
    if name == Stage.SYNTHESIZE:
        return frozenset({Stage.SEGMENTS.value, *among})
    first = {NAMES[task] for task in waits_for(TASKS[name])}
    return frozenset({Stage.SEGMENTS.value, *first.intersection(among)})


def cycles(needs: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, ...]]:
    """Chains of tasks that wait for each other, a task once in each: (a, b) = a needs b needs a.

    Of every tangle at least one; which one depends on nothing but the order of `needs`.
    """
    done: set[str] = set()
    told: set[frozenset[str]] = set()

    def walk(name: str, trail: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if name in trail:
            cycle = trail[trail.index(name) :]
            if frozenset(cycle) not in told:
                told.add(frozenset(cycle))
                yield cycle
            return
        if name in done:
            return
        for needed in needs.get(name, ()):
            yield from walk(needed, (*trail, name))
        done.add(name)

    for name in needs:
        yield from walk(name, ())
