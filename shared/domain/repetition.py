"""Texts that run in circles: found in the words alone, and cut to what stands before."""

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from shared.domain.answers import Answer, Word

#: Code of the caution an answer that was cut carries.
REPETITION_CUT = "repetition_cut"
#: Units (words, or characters of scripts without blanks) of the longest turn looked for.
LONGEST_TURN = 64
#: Turns in a row below which nothing is a loop: a refrain three times, "no, no, no".
LEAST_TURNS = 4
#: Turns, and units of all turns, from which a text that ends in them is a loop though its sound
#: would be long enough: decoders that circle do not find out again. As `generation.looping`.
ENDLESS_TURNS, ENDLESS_UNITS = 6, 24
#: zlib ratio of a text above which it repeats itself (Whisper paper, section 4.5).
COMPRESSION_BAR = 2.4
#: Letters a second of speech that nobody reaches. Fast languages have 7.8 syllables a second
#: (Pellegrino et al. 2011, "A cross-language perspective on speech information rate"), a
#: syllable about 3 letters; with a quarter on top for whoever hurries.
MOST_LETTERS_PER_S = 30.0
#: Letters that a character of a script without blanks stands for: it is a syllable.
SYLLABLE_LETTERS = 3
#: Seconds of speech a detector may have missed at both ends together.
UNHEARD_S = 0.5

_WIDE = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_UNIT = re.compile(rf"[{_WIDE}]|[^\s{_WIDE}]+")
_MARKS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class _Unit:
    """A word, or a character of a script that sets no blanks between words."""

    name: str  #: without marks and capitals; empty where it is nothing but marks
    end: int  #: where in the text it ends

    @property
    def letters(self) -> int:
        return SYLLABLE_LETTERS if re.match(f"[{_WIDE}]", self.name) else len(self.name)


@dataclass(frozen=True, slots=True)
class _Run:
    """The same turn again and again."""

    first: int  #: unit it begins with
    turn: int  #: units of one turn
    units: int  #: of all turns, the last perhaps broken off

    @property
    def turns(self) -> int:
        return self.units // self.turn


def without_loop(answer: Answer, speech_s: float) -> Answer:
    """The answer up to and with the first turn of a loop, and the caution; else as it is.

    A loop is a turn said again and again (LEAST_TURNS) where the sound is too short for so much
    text but long enough without the repeats; or a text that goes on so to its end
    (ENDLESS_TURNS) and compresses as no speech does. What comes after a loop was written by a
    decoder that had lost the sound, so it goes too. The seconds it stood for have no words then,
    which is what coverage sees. `signals` stay: they are of what the engine said.
    """
    units = _units(answer.text)
    found = next((run for run in _runs(units) if _loops(answer.text, units, run, speech_s)), None)
    if found is None:
        return answer
    text = answer.text[: units[found.first + found.turn - 1].end]
    return replace(
        answer,
        text=text,
        words=_within(answer.words, text),
        tokens=(),
        cautions=(*answer.cautions, REPETITION_CUT),
    )


def _units(text: str) -> list[_Unit]:
    found = (_Unit(_MARKS.sub("", m[0].casefold()), m.end()) for m in _UNIT.finditer(text))
    return [unit for unit in found if unit.name]


def _runs(units: Sequence[_Unit]) -> Iterator[_Run]:
    """Every turn said LEAST_TURNS times in a row, short turns first."""
    names = [unit.name for unit in units]
    for turn in range(1, min(LONGEST_TURN, len(names) // LEAST_TURNS) + 1):
        at = 0
        while at + turn < len(names):
            end = at
            while end + turn < len(names) and names[end] == names[end + turn]:
                end += 1
            if end + turn - at >= LEAST_TURNS * turn:
                yield _Run(at, turn, end + turn - at)
            at = max(end, at + 1)


def _loops(text: str, units: Sequence[_Unit], run: _Run, speech_s: float) -> bool:
    last = run.first + run.units
    most = MOST_LETTERS_PER_S * (speech_s + UNHEARD_S)
    again = sum(u.letters for u in units[run.first + run.turn : last])
    everything = sum(u.letters for u in units)
    if everything > most >= everything - again:
        return True
    goes_on = last == len(units) and run.turns >= ENDLESS_TURNS and run.units >= ENDLESS_UNITS
    return goes_on and _compression_ratio(text) > COMPRESSION_BAR


def _compression_ratio(text: str) -> float:
    content = text.encode()
    return len(content) / len(zlib.compress(content))


def _within(words: Sequence[Word], text: str) -> tuple[Word, ...]:
    """The words that lie in what is left of a text, in order."""
    at, kept = 0, []
    for word in words:
        found = text.find(word.text.strip(), at)
        if found < 0:
            break
        at = found + len(word.text.strip())
        kept.append(word)
    return tuple(kept)
