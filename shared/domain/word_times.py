"""Words of one engine in the times of another: what was said, placed by an aligner."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from shared.domain.answers import Answer, Task, Word
from shared.domain.cascade import Decided


def timed(said: Answer, placed: Answer) -> Answer:
    """`said` with the words and the alignment score of `placed`.

    The text stays. A word keeps the confidence of the engine that wrote it, where that gave
    one and its words are the aligner's; else it has the aligner's. An aligner that placed no
    word changes none: they keep the times of their engine, and say so.
    """
    words = _sure(placed.words, said.words) if placed.words else said.words
    return replace(said, words=words, signals={**said.signals, **placed.signals})


def _sure(placed: Sequence[Word], said: Sequence[Word]) -> tuple[Word, ...]:
    if [w.text.strip() for w in said] != [w.text for w in placed]:
        return tuple(placed)
    return tuple(
        p if s.confidence is None else replace(p, confidence=s.confidence)
        for p, s in zip(placed, said, strict=True)
    )


def with_times(heard: Mapping[Task, Sequence[Decided]]) -> dict[Task, Sequence[Decided]]:
    """What was heard, every transcribed word where the aligner placed it."""
    placed = {d.segment: d.answer for d in heard.get(Task.ALIGN, ())}
    said = [
        replace(d, answer=timed(d.answer, placed[d.segment])) if d.segment in placed else d
        for d in heard.get(Task.TRANSCRIBE, ())
    ]
    return {**heard, Task.TRANSCRIBE: said} if Task.TRANSCRIBE in heard else dict(heard)
