"""What of a recording nothing accounts for: speech without words, and what is merely loud."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from shared.domain import result as r
from shared.domain.answers import Task
from shared.domain.cascade import Decided
from shared.domain.coverage import missing, voices
from shared.domain.sound import Segment, Span, Survey
from shared.domain.stretches import joined, seconds, within, without

#: Seconds that are said; less is the edge of a word.
TOLD_S = 0.5
#: Places named in a warning; the others are counted.
NAMED = 3

Places = tuple[tuple[Span, ...], ...]


@dataclass(frozen=True, slots=True)
class Unaccounted:
    """Spans of each channel (one, where channels were mixed), sorted and apart."""

    wordless: Places  #: somebody may speak, and no engine wrote a word
    loud: Places  #: loud, no voice to either detector, and no sound was named there

    @property
    def wordless_s(self) -> float:
        return _mean_s(self.wordless)

    @property
    def loud_s(self) -> float:
        return _mean_s(self.loud)


def _mean_s(places: Places) -> float:
    """Seconds of the recording: those of its channels, averaged."""
    return sum(map(seconds, places)) / max(len(places), 1)


def unaccounted(survey: Survey, heard: Mapping[Task, Sequence[Decided]]) -> Unaccounted:
    """What is left when words and named sounds are taken away; nothing if none were asked for.

    A named sound explains what is loud, unless it is named speech; it does not stand for words
    where a voice was heard.
    """
    if Task.TRANSCRIBE not in heard:
        return Unaccounted((), ())
    wordless = tuple(tuple(spans) for spans in _wordless(survey, heard[Task.TRANSCRIBE]))
    events = (e for d in heard.get(Task.CLASSIFY, ()) for e in d.answer.events)
    named = [(e.start_s, e.end_s) for e in events if not e.label.lower().startswith("speech")]
    return Unaccounted(wordless, tuple(tuple(without(c, named)) for c in survey.unexplained))


def _wordless(survey: Survey, decided: Sequence[Decided]) -> Iterator[list[Span]]:
    answers = {d.segment: d.answer for d in decided}
    for cuts, spoken in _channels(survey):
        told = [
            span
            for cut in cuts
            if cut.index in answers
            for span in without(
                within(spoken, cut.start_s, cut.end_s), missing(answers[cut.index], cut, survey)
            )
        ]
        yield without(spoken, told)


def _channels(survey: Survey) -> Iterator[tuple[list[Segment], list[Span]]]:
    """The segments of each channel, and where it is voiced."""
    if survey.voiced:
        for n, spans in enumerate(survey.voiced):
            yield [s for s in survey.speech if s.channel in (None, n)], list(spans)
        return
    for channel in sorted({s.channel for s in survey.speech}, key=lambda c: c or 0):
        cuts = [s for s in survey.speech if s.channel == channel]
        yield cuts, joined(span for cut in cuts for span in voices(cut, survey))


def warnings(found: Unaccounted) -> Iterator[r.Warned]:
    """What the reader must know of it: seconds and first places."""
    if _most(found.wordless) >= TOLD_S:
        told = "Somebody seems to speak here and there are no words"
        yield r.Warned(code="speech_unaccounted", message=f"{told}: {_told(found.wordless)}.")
    if _most(found.loud) >= TOLD_S:
        told = "It is loud here, and neither a voice nor a named sound"
        yield r.Warned(code="loud_unexplained", message=f"{told}: {_told(found.loud)}.")


def _most(places: Places) -> float:
    return max(map(seconds, places), default=0.0)


def _told(places: Places) -> str:
    """As in "4.2 s: 12.0-14.1 s, 20.3-22.4 s (channel 2)"."""
    several = len(places) > 1
    spans = sorted((span, n) for n, channel in enumerate(places) for span in channel)
    spans = [(span, n) for span, n in spans if span[1] - span[0] >= TOLD_S] or spans
    named = [
        f"{a:.1f}-{b:.1f} s" + (f" (channel {n + 1})" if several else "")
        for (a, b), n in spans[:NAMED]
    ]
    more = [f"{len(spans) - NAMED} more"] if len(spans) > NAMED else []
    whole = sum(map(seconds, places))
    return f"{whole:.1f} s, at " + ", ".join([*named, *more])
