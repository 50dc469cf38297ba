"""How much of what was spoken an answer accounts for, in seconds."""

from collections.abc import Iterator, Sequence

from shared.domain.answers import Answer, Word
from shared.domain.grouping import words_of
from shared.domain.sound import Segment, Span, Survey
from shared.domain.stretches import joined, seconds, within, without

#: Seconds around a word that it accounts for: engines begin words late and end them early, and
#: spans of speech are padded. Measured with Whisper base on 61 segments of 2 to 28 s (four flite
#: voices, espeak in Spanish and French, clean and 5 dB above noise): below 0.99 are 49 % of them
#: at 0.4 s, 13 % at 0.5, 2 % at 0.6 and none at 0.75 (lowest coverage 1.000). What is missed
#: between two words in less than twice this is not noticed.
SLACK_S = 0.75
#: Seconds of speech that one word accounts for at most. Engines stretch a word over what they
#: drop; of the 1,281 words of the same segments the longest has 1.02 s of speech in it.
LONGEST_WORD_S = 1.5
#: Words a second of speech. The slowest of the same segments has 2.0 (flite and espeak read in
#: 2.0 to 4.0); half of that leaves room for people who think while they speak.
SLOWEST_PER_S = 1.0


def covered(answer: Answer, segment: Segment, survey: Survey) -> float:
    """Share of the segment's spoken seconds that the answer's words account for, 0..1.

    1.0 where nobody speaks. An answer without word times is judged by how much text there is
    for so much speech; without text it accounts for nothing. Where no detector was asked, any
    text accounts for the whole segment.
    """
    total_s = seconds(voices(segment, survey))
    if total_s <= 0:
        return 1.0
    return max(0.0, 1.0 - seconds(missing(answer, segment, survey)) / total_s)


def missing(answer: Answer, segment: Segment, survey: Survey) -> list[Span]:
    """Where in the segment somebody may speak and the answer has no words."""
    if not survey.voiced and answer.text.strip():
        return []
    return lost(answer, voices(segment, survey))


def voices(segment: Segment, survey: Survey) -> list[Span]:
    """Where in the segment somebody may speak; all of it where no detector was asked."""
    if not survey.voiced:
        return [(segment.start_s, segment.end_s)]
    if segment.channel is None:
        spans = joined(span for channel in survey.voiced for span in channel)
    else:
        spans = list(survey.voiced[segment.channel])
    return within(spans, segment.start_s, segment.end_s)


def lost(answer: Answer, spoken: Sequence[Span]) -> list[Span]:
    """What of the `spoken` seconds the answer has no words for.

    Without word times nobody knows where words are missing: then it is said of the end.
    """
    if not answer.text.strip():
        return list(spoken)
    if answer.words:
        return without(spoken, _told(answer.words, spoken))
    told_s = len(words_of(answer.text)) / SLOWEST_PER_S + 2 * SLACK_S
    return _last(spoken, seconds(spoken) - told_s)


def _told(words: Sequence[Word], spoken: Sequence[Span]) -> Iterator[Span]:
    """What each word accounts for, with the slack around it."""
    for word in words:
        inside = within(spoken, word.start_s, word.end_s)
        excess_s = seconds(inside) - LONGEST_WORD_S
        end_s = _last(inside, excess_s)[0][0] if excess_s > 0 else word.end_s
        yield word.start_s - SLACK_S, end_s + SLACK_S


def _last(spans: Sequence[Span], length_s: float) -> list[Span]:
    """The last `length_s` of the spans."""
    taken: list[Span] = []
    for start, end in reversed(spans):
        if length_s <= 0:
            break
        taken.append((max(start, end - length_s), end))
        length_s -= end - taken[-1][0]
    return taken[::-1]
