"""recording -> its result -> does it fit? -> a version of its own."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.domain.corrected import Passage, corrected, with_correction
from shared.domain.corrections import MAX_STRETCHES, MAX_VERSIONS, Author, Correction, Said
from shared.domain.recording import Recording
from shared.domain.result import Result, Transcript, read
from shared.errors import CorrectionOutdated, WrongState
from shared.ports import Clock, Corrections, Results


@dataclass(frozen=True, slots=True)
class Heard:
    """A recording's transcript, and what people made of it."""

    result: Result
    said: Transcript
    made: tuple[Correction, ...]  #: of this result
    passages: tuple[Passage, ...]  #: with all of them


@dataclass(frozen=True, slots=True)
class Correct:
    """Repeating is refused: the same correction again would be made on top of a version that
    is no longer the last."""

    corrections: Corrections
    results: Results
    now: Clock

    def __call__(
        self,
        known: Recording,
        base: int,
        by: Author,
        stretches: Sequence[Said] = (),
        whole: str | None = None,
    ) -> Correction:
        """Keep what a person says was said, on top of version `base`; 0 is the machine's.

        Raises:
            WrongState: there is no transcript, or it was corrected MAX_VERSIONS times.
            CorrectionOutdated: `base` is not the last version.
            UnplacedCorrection: a stretch lies across those that stand there.
        """
        heard = self.heard(known)
        last = self.corrections.of(known.id)
        if base != len(last):
            raise CorrectionOutdated(base=base, last=len(last))
        if base >= MAX_VERSIONS:
            raise WrongState(f"It was corrected {MAX_VERSIONS:,} times; that is all it may be.")
        made = Correction(
            recording_id=known.id,
            tenant=known.tenant,
            version=base + 1,
            result=known.result or "",
            by=by,
            at=self.now(),
            stretches=tuple(stretches),
            whole=whole,
        )
        with_correction(heard.passages, made, length_s(heard.result))
        self.corrections.add(made)
        return made

    def confirm(self, known: Recording, base: int, by: Author) -> Correction:
        """Keep that whatever nobody corrected so far is right as it stands; the last version of it.

        A version holds MAX_STRETCHES; a longer recording makes several. Where that breaks off, the
        rest is still unchecked and may be confirmed again.

        Raises:
            WrongState: there is no transcript, or nothing of it is unchecked.
            CorrectionOutdated: `base` is not the last version.
        """
        unchecked = [p.segment for p in self.heard(known).passages if p.correction is None]
        if not unchecked:
            raise WrongState("All of it was checked already.")
        said = [Said(s.start_s, s.end_s, s.text, s.channel) for s in unchecked]
        parts = [said[at : at + MAX_STRETCHES] for at in range(0, len(said), MAX_STRETCHES)]
        return [self(known, base + n, by, part) for n, part in enumerate(parts)][-1]

    def heard(self, known: Recording) -> Heard:
        """What the machine and people say was said.

        Raises:
            WrongState: the recording has no transcript.
        """
        result = read(self.results.load(known.result, "result.json")) if known.result else None
        if result is None or result.transcript is None:
            raise WrongState("This recording has no transcript to correct.")
        made = [c for c in self.corrections.of(known.id) if c.result == known.result]
        said = result.transcript
        laid = corrected(said, length_s(result), made, known.result or "")
        return Heard(result, said, tuple(made), tuple(laid))


def length_s(result: Result) -> float:
    """Seconds of sound that were heard."""
    return result.audio.duration_s if result.audio else 0.0
