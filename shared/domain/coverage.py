"""How much of what was spoken an answer accounts for, in seconds."""

from collections.abc import Sequence

from shared.domain.answers import Answer
from shared.domain.grouping import words_of
from shared.domain.sound import Segment, Span, Survey
from shared.domain.stretches import joined, seconds, within, without

#: Seconds around a word that it accounts for: engines begin words late and end them early, and
#: detectors pad.
SLACK_S = 0.75
#: Words a second of speech that slow speakers reach.
SLOWEST = 1.0


def covered(answer: Answer, segment: Segment, survey: Survey) -> float:
    """Share of the segment's spoken seconds that the answer's words account for, 0..1.

    1.0 where nobody speaks. An answer without word times is judged by how much text there is
    for so much speech; without text it accounts for nothing.
    """
    spoken = voices(segment, survey)
    total_s = seconds(spoken)
    if total_s <= 0:
        return 1.0
    return max(0.0, 1.0 - seconds(lost(answer, segment, spoken)) / total_s)


def voices(segment: Segment, survey: Survey) -> list[Span]:
    """Where in the segment somebody may speak; all of it where no detector was asked."""
    if not survey.voiced:
        return [(segment.start_s, segment.end_s)]
    if segment.channel is None:
        spans = joined(span for channel in survey.voiced for span in channel)
    else:
        spans = list(survey.voiced[segment.channel])
    return within(spans, segment.start_s, segment.end_s)


def lost(answer: Answer, segment: Segment, spoken: Sequence[Span]) -> list[Span]:
    """What of the `spoken` seconds has no words.

    Without word times the end of the segment stands for what a text is too short for.
    """
    if not answer.text.strip():
        return list(spoken)
    if answer.words:
        heard = [(w.start_s - SLACK_S, w.end_s + SLACK_S) for w in answer.words]
        return without(spoken, heard)
    told_s = len(words_of(answer.text)) / SLOWEST + 2 * SLACK_S
    missing_s = max(0.0, seconds(spoken) - told_s)
    return _last(spoken, missing_s)


def _last(spans: Sequence[Span], length_s: float) -> list[Span]:
    """The last `length_s` of the spans."""
    taken: list[Span] = []
    for start, end in reversed(spans):
        if length_s <= 0:
            break
        taken.append((max(start, end - length_s), end))
        length_s -= end - taken[-1][0]
    return taken[::-1]
