"""machine's transcript -> correction after correction laid over it -> the corrected transcript."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.domain.corrections import Correction, Said
from shared.domain.result import Transcript, TranscriptSegment
from shared.errors import UnplacedCorrection

#: Seconds by which times may differ and still name the same stretch: JSON keeps all digits, a
#: spreadsheet keeps milliseconds.
SAME_S = 0.0015


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of the corrected transcript."""

    segment: TranscriptSegment  #: as it stands; a corrected one has neither words nor confidence
    heard: tuple[TranscriptSegment, ...]  #: what the machine says there; empty: nothing
    correction: Correction | None = None  #: the last one that is about it

    @property
    def original(self) -> str:
        """What the machine says there."""
        return " ".join(s.text for s in self.heard)

    @property
    def confirmed(self) -> bool:
        """A person says what the machine says."""
        return self.correction is not None and self.segment.text == self.original


def heard(said: Transcript) -> list[Passage]:
    """The machine's testimony, before anybody corrected it."""
    return [Passage(s, (s,)) for s in said.segments]


def corrected(
    said: Transcript, length_s: float, made: Sequence[Correction], result: str
) -> list[Passage]:
    """The transcript with all corrections of this result, in order of time.

    Raises:
        UnplacedCorrection: one of them fits nowhere.
    """
    passages = heard(said)
    for correction in made:
        if correction.result == result:
            passages = with_correction(passages, correction, length_s)
    return passages


def with_correction(
    passages: Sequence[Passage], correction: Correction, length_s: float
) -> list[Passage]:
    """One correction laid over what stood before it.

    Raises:
        UnplacedCorrection: a stretch lies neither where one stands nor where none does.
    """
    if correction.whole is not None:
        every = tuple(s for p in passages for s in p.heard)
        end_s = max([length_s, *(p.segment.end_s for p in passages)])
        return [Passage(_segment(Said(0.0, end_s, correction.whole)), every, correction)]
    found = list(passages)
    for one in correction.stretches:
        _lay(found, one, correction, length_s)
    return sorted(found, key=lambda p: (p.segment.start_s, p.segment.channel or 0))


def transcript(said: Transcript, passages: Sequence[Passage]) -> Transcript:
    """The corrected transcript in the result's form.

    Coverage stays the machine's. Of what a person wrote nobody gave a confidence, so the whole
    has one only where nothing was corrected.
    """
    if not any(p.correction for p in passages):
        return said
    segments = tuple(p.segment for p in passages)
    text = " ".join(s.text for s in segments if s.text)
    return said.model_copy(update={"segments": segments, "text": text, "confidence": None})


def original(one: Said | None, said: Transcript) -> str:
    """What the machine says in a stretch; None: in the whole recording."""
    if one is None:
        return said.text
    there = [s for s in said.segments if s.channel == one.channel and _overlaps(s, one)]
    return " ".join(s.text for s in there)


def _lay(found: list[Passage], one: Said, correction: Correction, length_s: float) -> None:
    for place, passage in enumerate(found):
        if _same(passage.segment, one):
            before = passage.segment
            segment = _segment(replace(one, start_s=before.start_s, end_s=before.end_s))
            segment = segment.model_copy(update={"language": before.language})
            found[place] = Passage(segment, passage.heard, correction)
            return
    beside = [p for p in found if p.segment.channel == one.channel]
    if any(_overlaps(p.segment, one) for p in beside) or one.end_s > length_s + SAME_S:
        raise UnplacedCorrection(start_s=one.start_s, end_s=one.end_s)
    found.append(Passage(_segment(one), (), correction))


def _same(segment: TranscriptSegment, one: Said) -> bool:
    off_s = max(abs(segment.start_s - one.start_s), abs(segment.end_s - one.end_s))
    return segment.channel == one.channel and off_s <= SAME_S


def _overlaps(segment: TranscriptSegment, one: Said) -> bool:
    return min(segment.end_s, one.end_s) - max(segment.start_s, one.start_s) > SAME_S


def _segment(one: Said) -> TranscriptSegment:
    return TranscriptSegment(
        start_s=one.start_s,
        end_s=one.end_s,
        channel=one.channel,
        language=None,
        text=one.text,
        confidence=None,
        words=(),
    )
