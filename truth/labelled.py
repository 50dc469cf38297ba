"""What was said beside what was heard: each planned segment, its answer, and how wrong it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from local.calibration.errors import Counted, compared
from local.calibration.fitting import Example
from shared.domain.agreement import agreement
from truth import answers, listening, plan
from truth.answers import Heard
from truth.corpus import Part
from truth.plan import Utterance


@dataclass(frozen=True, slots=True)
class Labelled:
    """One segment of the set, and what one engine made of it."""

    said: Utterance
    heard: Heard
    errors: Counted  #: of what was heard against what was said

    @property
    def text(self) -> str:
        """Names the text, over all languages."""
        return f"{self.said.text.language}-{self.said.text.id}"

    def example(self, other: str | None = None) -> Example:
        """For the fit; with the agreement to what another engine heard, where it was asked."""
        agreed = {} if other is None else {"agreement": agreement(self.heard.text, other)}
        return Example(
            text=self.text,
            signals={**self.heard.signals, **agreed},
            right=self.errors.right,
            language=self.said.text.language,
            voice=self.said.voice.id,
        )


@cache
def labelled(engine: str, part: Part) -> Mapping[str, Labelled]:
    """Every segment of a part that the engine heard, by its id."""
    _, heard = answers.read(listening.path(engine, part))
    found = (one for one in plan.utterances(part) if one.id in heard)
    return {one.id: _labelled(one, heard[one.id]) for one in found}


def examples(engine: str, part: Part, first: str | None = None) -> list[Example]:
    """The segments of a part as the fit takes them; `first` is the engine that was asked before,
    where there is one: then only segments that both heard, with their agreement.
    """
    own = labelled(engine, part)
    if first is None:
        return [one.example() for one in own.values()]
    before = labelled(first, part)
    return [one.example(before[name].heard.text) for name, one in own.items() if name in before]


def error_rate(chosen: Sequence[Labelled]) -> float:
    """Word error rate: wrong words over all words of the references."""
    return sum(one.errors.wrong for one in chosen) / max(sum(one.errors.words for one in chosen), 1)


def _labelled(one: Utterance, heard: Heard) -> Labelled:
    return Labelled(one, heard, compared(one.text.words, heard.text, one.text.language))
