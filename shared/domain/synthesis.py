"""What several engines said of the same sound, made into one answer."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from shared.domain.agreement import agreement, difference
from shared.domain.answers import Answer, SoundEvent, Task

#: Share of words in which the texts of two sure engines differ from which on they are in
#: conflict. Of the same order as the word error a calibrated confidence is about (20 %): an
#: engine that is sure claims to be within that.
CONFLICT_AT = 0.2
#: What an answer of unknown confidence counts as in a vote: as likely right as wrong.
UNKNOWN = 0.5
#: Share of the votes a sound needs to be told.
HALF = 0.5
#: The vote of an engine of weight 0: it counts where nobody else says anything.
LEAST = 1e-9


class Strategy(StrEnum):
    HIGHEST_CONFIDENCE = "highest-confidence"  #: the answer with the highest calibrated confidence
    LATEST = "latest"  #: the answer of the engine asked last
    WEIGHTED = "weighted"  #: engines vote, each with its weight times its confidence


@dataclass(frozen=True, slots=True)
class Synthesis:
    """How one answer is made of several."""

    strategy: Strategy = Strategy.HIGHEST_CONFIDENCE
    weights: Mapping[str, float] = field(default_factory=dict)  #: by engine; 1 where left out
    #: Calibrated confidence below which an answer is left out while there is another.
    quality: float = 0.0
    #: Share of words in which two sure engines differ from which on they are in conflict.
    conflict_at: float = CONFLICT_AT


@dataclass(frozen=True, slots=True)
class Given:
    """An answer, and what it was judged by."""

    answer: Answer
    coverage: float | None = None  #: share of the spoken seconds its words account for
    calibration: str | None = None  #: digest of the file its confidence comes from
    accepted: bool = False
    sure: bool = False  #: its calibrated confidence reached the engine's own threshold

    @property
    def confidence(self) -> float | None:
        """The calibrated confidence; None where nobody knows."""
        return self.answer.confidence if self.answer.calibrated else None

    @property
    def belief(self) -> float | None:
        """Share of what was spoken that is probably told right; None where nobody knows."""
        if self.confidence is None:
            return None
        return self.confidence * (1.0 if self.coverage is None else self.coverage)


def better(one: Given | None, other: Given) -> Given:
    """The answer to keep of two that nobody accepted, `other` being the later one.

    By belief where both are known, else by coverage; on a tie the later one, which was asked
    because the earlier one did not suffice.
    """
    if one is None:
        return other
    if one.belief is not None and other.belief is not None:
        return other if other.belief >= one.belief else one
    return other if (other.coverage or 0.0) >= (one.coverage or 0.0) else one


def synthesised(given: Sequence[Given], made: Synthesis) -> Given:
    """One answer of several, in the order they were given; there is at least one.

    An accepted answer has its engine's threshold behind it and stands before any other, unless
    engines vote. Texts are not mixed: of every strategy comes the text of one engine, whose
    words have been said in one piece. Sounds are, where engines vote.
    """
    kept = _good_enough(given, made.quality)
    if len(kept) == 1 or given[0].answer.task is Task.EMBED:  # vectors of two engines do not mix
        return kept[-1]
    if made.strategy is Strategy.LATEST:
        return kept[-1]
    if made.strategy is Strategy.WEIGHTED:
        return _voted(kept, made.weights)
    return _surest(kept)


def _good_enough(given: Sequence[Given], quality: float) -> list[Given]:
    kept = [g for g in given if g.confidence is None or g.confidence >= quality]
    return kept or list(given)


def _surest(given: Sequence[Given]) -> Given:
    """The accepted one, else the best of all."""
    accepted = [g for g in given if g.accepted]
    best: Given | None = None
    for one in accepted or given:
        best = better(best, one)
    assert best is not None, "there is at least one"
    return best


def _voted(given: Sequence[Given], weights: Mapping[str, float]) -> Given:
    """The answer most of the votes agree with, and the sounds that half of them have.

    The text is the one with the least expected word error, every answer being right with its
    share of the votes: minimum Bayes risk, Goel and Byrne, "Minimum Bayes-risk automatic speech
    recognition", Computer Speech & Language 14 (2000), section 2, over whole answers.
    """
    votes = [max(weights.get(g.answer.engine, 1.0) * _chance(g), LEAST) for g in given]

    def agreed(n: int) -> float:
        said = given[n].answer.text
        pairs = zip(votes, given, strict=True)
        return sum(vote * agreement(said, g.answer.text) for vote, g in pairs)

    first = max(range(len(given)), key=lambda n: (agreed(n), votes[n], n))
    events = merged([g.answer.events for g in given], votes)
    return replace(given[first], answer=replace(given[first].answer, events=events))


def _chance(given: Given) -> float:
    return UNKNOWN if given.belief is None else given.belief


def merged(heard: Sequence[Sequence[SoundEvent]], votes: Sequence[float]) -> tuple[SoundEvent, ...]:
    """The sounds of several engines by label and time, in the order of time.

    Sounds of one label that overlap are one sound. It is told where engines with at least half
    of the votes heard it; its times and confidence are their means, each by its votes.
    """
    by_label: dict[str, list[tuple[int, SoundEvent]]] = defaultdict(list)
    for n, events in enumerate(heard):
        for event in events:
            by_label[event.label.casefold()].append((n, event))
    groups = [group for named in by_label.values() for group in _overlapping(named)]
    told = (_told(group, votes) for group in groups)
    return tuple(sorted((e for e in told if e), key=lambda e: (e.start_s, e.end_s, e.label)))


def _overlapping(named: Sequence[tuple[int, SoundEvent]]) -> list[list[tuple[int, SoundEvent]]]:
    groups: list[list[tuple[int, SoundEvent]]] = []
    for n, event in sorted(named, key=lambda e: (e[1].start_s, e[0])):
        if groups and event.start_s < max(e.end_s for _, e in groups[-1]):
            groups[-1].append((n, event))
        else:
            groups.append([(n, event)])
    return groups


def _told(group: Sequence[tuple[int, SoundEvent]], votes: Sequence[float]) -> SoundEvent | None:
    """One sound of those that overlap; None where too few engines heard it."""
    voters = {n for n, _ in group}
    total = sum(votes[n] for n in voters)
    if total < HALF * sum(votes):
        return None
    known = [(votes[n], e.confidence) for n, e in group if e.confidence is not None]
    return SoundEvent(
        label=group[0][1].label,
        start_s=sum(votes[n] * min(_of(group, n, "start_s")) for n in voters) / total,
        end_s=sum(votes[n] * max(_of(group, n, "end_s")) for n in voters) / total,
        confidence=sum(v * c for v, c in known) / sum(v for v, _ in known) if known else None,
    )


def _of(group: Sequence[tuple[int, SoundEvent]], voter: int, name: str) -> list[float]:
    return [getattr(event, name) for n, event in group if n == voter]


def disputed(given: Sequence[Given], believed: Given, made: Synthesis) -> tuple[str, ...]:
    """Engines that were sure and said different things, the one that was believed first.

    One that was not sure is not contradicted: it only guessed.
    """
    sure = [g for g in given if g.sure and g.answer.task is Task.TRANSCRIBE]
    sure.sort(key=lambda g: (g is not believed, -(g.belief or 0.0)))
    texts = [g.answer.text for g in sure]
    against = [g for g in sure[1:] if difference(texts[0], g.answer.text) > made.conflict_at]
    return tuple(g.answer.engine for g in (sure[0], *against)) if against else ()
