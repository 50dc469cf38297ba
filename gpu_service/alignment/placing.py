"""Words of any engine's text, placed in time by a CTC model's frames."""

import math
from dataclasses import dataclass

from gpu_service.alignment.ctc import Alignment, LogProbabilities, Span, align
from gpu_service.alignment.spelling import Spelling, Vocabulary, spell
from shared.domain.answers import Word


@dataclass(frozen=True, slots=True)
class Placed:
    """A text in time."""

    words: tuple[Word, ...]  #: every word of the text, in order, spelled as the text spells it
    score: float | None  #: see `Alignment.score`; None where no word could be spelled
    starred_s: float  #: seconds in which something sounds that the text does not spell


def place(
    text: str,
    log_probabilities: LogProbabilities,
    vocabulary: Vocabulary,
    *,
    language: str | None,
    frame_s: float,
    duration_s: float,
    source: str,
) -> Placed | None:
    """Give every word of `text` its time; None if the sound is too short for so much text.

    A word lasts from the first frame of its first character (numbers as they are spoken) to the
    last frame of its last; its confidence is exp of the mean log-probability of those frames that
    carry a character, and None where it could not be spelled. An empty text gives no words.

    Args:
        text: what was said, as any engine wrote it.
        log_probabilities: natural log, float32, (n_frames, n_tokens).
        language: ISO 639-1, for numbers; None is taken for English.
        frame_s: seconds from one frame to the next (20 ms in wav2vec2).
        duration_s: seconds of the clip; no word ends later.
        source: the aligner's name, noted in every word.

    Raises:
        ValueError: the log-probabilities hold NaN.
    """
    spelling = spell(text, vocabulary, language)
    aligned = align(
        log_probabilities, spelling.tokens, blank=vocabulary.blank, borders=spelling.borders
    )
    if aligned is None:
        return None
    words = tuple(
        _word(word, spans, frame_s, duration_s, source)
        for word, spans in zip(spelling.words, _owned(spelling, aligned), strict=True)
    )
    return Placed(words, aligned.score, aligned.starred * frame_s)


def _owned(spelling: Spelling, aligned: Alignment) -> list[list[Span]]:
    """The spans of each word."""
    owned: list[list[Span]] = [[] for _ in spelling.words]
    for owner, span in zip(spelling.owners, aligned.spans, strict=True):
        if owner >= 0:
            owned[owner].append(span)
    return owned


def _word(text: str, spans: list[Span], frame_s: float, duration_s: float, source: str) -> Word:
    return Word(
        start_s=min(spans[0].first * frame_s, duration_s),
        end_s=min((spans[-1].last + 1) * frame_s, duration_s),
        text=text,
        confidence=_confidence(spans),
        source=source,
    )


def _confidence(spans: list[Span]) -> float | None:
    scored = [(s.score, s.last - s.first + 1) for s in spans if s.score is not None]
    frames = sum(n for _, n in scored)
    if not frames:
        return None
    return math.exp(min(sum(score * n for score, n in scored) / frames, 0.0))
