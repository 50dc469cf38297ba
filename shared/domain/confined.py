"""What others wrote, made fit to be kept: no control characters, no more than it may be.

An engine says what a model says, and a model may say whatever the sound tells it to. Nothing of
that is an instruction here, and nothing of it can be more than text of a bounded length.
"""

import re
import unicodedata
from dataclasses import replace

from shared.domain.answers import Answer, SoundEvent, Task, Word

#: What becomes a blank: controls (Cc: escapes of terminals, NUL), lone surrogates (Cs).
#: What goes without a trace: format characters (Cf), which turn the direction of what stands
#: beside them or are not seen at all (Unicode's tag characters), and private ones (Co).
_BLANKS, _NOTHING = ("Cc", "Cs", "Zl", "Zp"), ("Cf", "Co")
#: Format characters that words are spelled with: zero width joiner and non-joiner (Unicode 16,
#: section 23.2), in Persian, in Hindi and in emoji.
_SPELLING = "\u200c\u200d"
#: Characters. Nobody says 100 a second (fast speech has 25); a loop of a model does.
MAX_SPOKEN_PER_S, MAX_SPOKEN = 100, 1_000
#: Characters of a description, an answer, or the words an answer rests on: a page.
MAX_WRITTEN = 4_000
#: Characters of the name of a sound, and sounds a second: AudioSet's longest name has 47.
MAX_LABEL, MAX_EVENTS_PER_S = 80, 10
#: ISO 639-1 or -3.
LANGUAGE = re.compile(r"[a-z]{2,3}")
CUT = "answer_cut"
#: Characters looked at for each that may be kept: blanks in a row make one.
RAW = 4


def plain(text: str) -> str:
    """`text` on one line, without what cannot be seen."""
    return " ".join("".join(map(_seen, text)).split())


def _seen(character: str) -> str:
    kind = unicodedata.category(character)
    if kind in _BLANKS:
        return " "
    return "" if kind in _NOTHING and character not in _SPELLING else character


def confined(answer: Answer, seconds: float) -> Answer:
    """The answer of `seconds` of sound, safe to keep; a caution says if something was cut.

    Blanks in front of words and line breaks become single blanks; everything else of what a
    person reads stays as it was said.
    """
    spoken = answer.task in (Task.TRANSCRIBE, Task.ALIGN)
    most = MAX_SPOKEN + round(MAX_SPOKEN_PER_S * seconds) if spoken else MAX_WRITTEN
    text, text_cut = _within(answer.text, most)
    evidence, evidence_cut = _within(answer.evidence or "", most)
    words, events = _words(answer, most), _events(answer, seconds)
    fewer = len(words) < len(answer.words) or len(events) < len(answer.events)
    cut = text_cut or evidence_cut or fewer
    known = answer.language is None or LANGUAGE.fullmatch(answer.language)
    return replace(
        answer,
        text=text,
        evidence=None if answer.evidence is None else evidence,
        language=answer.language if known else None,
        words=words,
        events=events,
        cautions=(*answer.cautions, *((CUT,) if cut and CUT not in answer.cautions else ())),
    )


def _within(text: str, most: int) -> tuple[str, bool]:
    """At most so many characters, and whether that was cut; what is left out costs no time."""
    seen = plain(text[: RAW * most])
    return seen[:most].rstrip(), len(seen) > most or len(text) > RAW * most


def _words(answer: Answer, most: int) -> tuple[Word, ...]:
    """As many words, with their blanks, as `most` characters hold."""
    kept, room = list[Word](), most
    for word in answer.words:
        said, _ = _within(word.text, most)
        room -= len(said) + 1
        if room < 0:
            break
        kept.append(word if said == word.text else replace(word, text=said))
    return tuple(kept)


def _events(answer: Answer, seconds: float) -> tuple[SoundEvent, ...]:
    most = round(MAX_EVENTS_PER_S * (seconds + 1.0))
    return tuple(replace(e, label=_within(e.label, MAX_LABEL)[0]) for e in answer.events[:most])
