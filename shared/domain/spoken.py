"""What was said: answers of segments become the transcript."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from shared.domain import result as r
from shared.domain.accounting import Unaccounted
from shared.domain.answers import Answer
from shared.domain.cascade import Decided
from shared.domain.phrases import Phrase, phrases
from shared.domain.shares import share
from shared.domain.sound import Segment, Survey
from shared.domain.stitching import apart, stitched


def spoken(survey: Survey, decided: Iterable[Decided]) -> list[r.TranscriptSegment]:
    """Segments in which something was said, in the order of time; overlaps told once."""
    plan = apart(survey.speech)
    said = (
        _segment(plan[d.segment], d.answer, phrase)
        for d in stitched(survey.speech, decided)
        if d.answer.text
        for phrase in phrases(d.answer)
    )
    return sorted(said, key=lambda s: (s.start_s, s.channel or 0))


def _segment(cut: Segment, answer: Answer, phrase: Phrase) -> r.TranscriptSegment:
    words = phrase.words
    return r.TranscriptSegment(
        start_s=round(words[0].start_s if words else cut.start_s, 3),
        end_s=round(words[-1].end_s if words else cut.end_s, 3),
        channel=cut.channel,
        language=answer.language,
        text=phrase.text,
        confidence=share(answer.confidence),
        words=tuple(
            r.TranscriptWord(
                start_s=round(w.start_s, 3),
                end_s=round(w.end_s, 3),
                text=w.text,
                # Beside a probability an engine's own number would be taken for one.
                confidence=None if answer.calibrated else share(w.confidence),
                source=w.source,
            )
            for w in words
        ),
    )


def transcript(
    survey: Survey,
    decided: Sequence[Decided],
    spoken: Sequence[r.TranscriptSegment],
    left: Unaccounted,
) -> r.Transcript:
    total_s = survey.facts.duration_s or 0.0
    missing_s = left.wordless_s + left.loud_s
    answers = [d.answer for d in decided if d.answer.text]
    return r.Transcript(
        text=" ".join(s.text for s in spoken),
        confidence=_weighted(spoken),
        calibrated=bool(answers) and all(a.calibrated for a in answers),
        coverage=1.0 if not total_s else max(0.0, 1.0 - missing_s / total_s),
        unexplained_s=round(left.loud_s, 3),
        segments=tuple(spoken),
    )


def _weighted(spoken: Sequence[r.TranscriptSegment]) -> float | None:
    """Mean confidence, each segment by its seconds; None if any gave none."""
    if not spoken or any(s.confidence is None for s in spoken):
        return None
    weights = [max(s.end_s - s.start_s, 0.01) for s in spoken]
    total = sum(w * (s.confidence or 0.0) for w, s in zip(weights, spoken, strict=True))
    return round(total / sum(weights), 4)


def language(spoken: Sequence[r.TranscriptSegment]) -> str | None:
    """The language of most of the spoken seconds."""
    seconds: dict[str, float] = defaultdict(float)
    for s in spoken:
        if s.language:
            seconds[s.language] += s.end_s - s.start_s
    return max(seconds, key=lambda language: seconds[language]) if seconds else None
