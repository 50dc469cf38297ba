"""Sounds of all windows become one list of events."""

from collections.abc import Iterable

from shared.domain import result as r
from shared.domain.answers import SoundEvent
from shared.domain.cascade import Decided
from shared.domain.shares import share

#: Seconds two events of one label may be apart and still be one; windows are cut anywhere.
MERGE_GAP_S = 0.5


def sounds(decided: Iterable[Decided]) -> list[r.Sound]:
    """Events of all windows; neighbours of one label that a window's edge parted are one."""
    merged: list[SoundEvent] = []
    events = (e for d in decided for e in d.answer.events)
    for event in sorted(events, key=lambda e: (e.label, e.start_s)):
        last = merged[-1] if merged else None
        if last and last.label == event.label and event.start_s - last.end_s <= MERGE_GAP_S:
            merged[-1] = _joined(last, event)
        else:
            merged.append(event)
    ordered = sorted(merged, key=lambda e: (e.start_s, e.label))
    return [
        r.Sound(
            label=e.label,
            start_s=round(e.start_s, 3),
            end_s=round(e.end_s, 3),
            confidence=share(e.confidence),
        )
        for e in ordered
    ]


def _joined(a: SoundEvent, b: SoundEvent) -> SoundEvent:
    known = [c for c in (a.confidence, b.confidence) if c is not None]
    return SoundEvent(a.label, a.start_s, max(a.end_s, b.end_s), max(known) if known else None)
