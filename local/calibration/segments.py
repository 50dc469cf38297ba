"""A whole transcript shared out among the segments that an engine wrote."""

from collections.abc import Sequence
from dataclasses import dataclass

import jiwer

from local.calibration.errors import Counted, words


@dataclass(frozen=True, slots=True)
class Written:
    """What an engine wrote of one segment."""

    text: str
    seconds: float  #: of the segment


@dataclass(slots=True)
class _Tally:
    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0


def shared_out(reference: str, written: Sequence[Written], language: str | None) -> list[Counted]:
    """Each segment's words against its part of the reference, by the fewest changes of the whole.

    The reference needs no times. Words of it that nobody wrote, between the words of two
    segments, are charged to the one of them, or of the silent ones between, that wrote the
    fewest words a second: there most was lost.
    """
    wanted = words(reference, language)
    said = [(word, n) for n, one in enumerate(written) for word in words(one.text, language)]
    tallies = [_Tally() for _ in written]
    if not wanted or not said:
        _charge(tallies, written, language, (0, len(written) - 1), len(wanted))
        for _, n in said:
            tallies[n].insertions += 1
        return _counted(tallies)
    out = jiwer.process_words(" ".join(wanted), " ".join(word for word, _ in said))
    for chunk in out.alignments[0]:
        if chunk.type == "delete":
            missing = chunk.ref_end_idx - chunk.ref_start_idx
            between = _between(said, chunk.hyp_start_idx, len(written))
            _charge(tallies, written, language, between, missing)
            continue
        for _, n in said[chunk.hyp_start_idx : chunk.hyp_end_idx]:
            _note(tallies[n], chunk.type)
    return _counted(tallies)


def _between(said: Sequence[tuple[str, int]], at: int, segments: int) -> tuple[int, int]:
    """The segments of the word before `at` and of the one at it, both included."""
    first = said[at - 1][1] if at > 0 else 0
    return first, said[at][1] if at < len(said) else segments - 1


def _charge(
    tallies: Sequence[_Tally],
    written: Sequence[Written],
    language: str | None,
    between: tuple[int, int],
    missing: int,
) -> None:
    def pace(n: int) -> float:
        return len(words(written[n].text, language)) / max(written[n].seconds, 1e-3)

    if written and missing:
        tallies[min(range(between[0], between[1] + 1), key=pace)].deletions += missing


def _note(tally: _Tally, kind: str) -> None:
    if kind == "equal":
        tally.hits += 1
    elif kind == "substitute":
        tally.substitutions += 1
    else:
        tally.insertions += 1


def _counted(tallies: Sequence[_Tally]) -> list[Counted]:
    return [Counted(t.hits, t.substitutions, t.deletions, t.insertions) for t in tallies]
