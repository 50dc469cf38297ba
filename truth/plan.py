"""Which voice says which text under which condition: written down before any sound is made.

A block of texts is said by one voice under one condition, as a recording is. Every voice of a
part says every text of it once; the conditions turn, so that a text meets another one each time.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from itertools import groupby

from truth.conditions import CONDITIONS, MILD_CONDITIONS, OTHER_SOUNDS, Condition
from truth.corpus import LANGUAGES, Part, Text, texts
from truth.voices import VOICES, Voice

#: Texts one voice says under one condition: together about one 28 s window of an engine.
BLOCK = 8
#: Conditions from one block to the next. Without a common divisor with their number, so that
#: over enough blocks every voice meets every condition.
STRIDE = 7
#: Sounds of each kind nobody speaks in.
OTHERS_OF_A_KIND = 40
#: Their shortest and longest, seconds.
OTHERS_S = (1.0, 12.0)


@dataclass(frozen=True, slots=True)
class Utterance:
    """One segment of the set, not made yet."""

    text: Text
    voice: Voice
    condition: Condition

    @property
    def id(self) -> str:
        return f"{self.text.language}-{self.text.id}.{self.voice.id}.{self.condition.id}"

    @property
    def key(self) -> str:
        """Of everything that makes its sound: an answer to another key is of another sound."""
        return _digest(asdict(self))

    @property
    def language_said(self) -> str | None:
        """What an uploader told: nothing for English, as is usual; the language for others."""
        return None if self.text.language == "en" else self.text.language

    @property
    def seed(self) -> int:
        """For all the chance in its sound."""
        return seed_of(self.id)


@dataclass(frozen=True, slots=True)
class OtherSound:
    """A sound nobody speaks in."""

    kind: str
    number: int

    @property
    def id(self) -> str:
        return f"{self.kind}-{self.number:02d}"

    @property
    def key(self) -> str:
        """As an utterance's."""
        return _digest([self.id, OTHERS_S])

    @property
    def seed(self) -> int:
        return seed_of(self.id)


def seed_of(name: str) -> int:
    """The same on every machine and in every process, which `hash` is not."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])


@cache
def utterances(part: Part) -> tuple[Utterance, ...]:
    """All segments of a part; those of one language, voice and condition stand together."""
    found = [one for language in LANGUAGES for one in _of(language, part)]
    return tuple(sorted(found, key=_recording))


def recordings(part: Part) -> list[list[Utterance]]:
    """The segments in groups of one language, voice and condition, as uploads have them."""
    return [list(group) for _, group in groupby(utterances(part), key=_recording)]


def other_sounds() -> list[OtherSound]:
    return [OtherSound(kind, n) for kind in OTHER_SOUNDS for n in range(OTHERS_OF_A_KIND)]


def digest(part: Part) -> str:
    """Of everything the plan of a part says; another plan has another digest."""
    return _digest([[one.id, one.key] for one in utterances(part)])


def _digest(what: object) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]


def _of(language: str, part: Part) -> Iterator[Utterance]:
    conditions = CONDITIONS if language == "en" else MILD_CONDITIONS
    said = texts(language, part)
    for b, start in enumerate(range(0, len(said), BLOCK)):
        for turn, voice in enumerate(VOICES[language, part]):
            condition = conditions[(b * STRIDE + turn) % len(conditions)]
            yield from (Utterance(text, voice, condition) for text in said[start : start + BLOCK])


def _recording(one: Utterance) -> tuple[int, str, str]:
    return (LANGUAGES.index(one.text.language), one.voice.id, one.condition.id)
