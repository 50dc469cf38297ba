"""claim -> look at the next page -> note how far it came: one long errand a day."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from shared.ports import Bookmarks

#: Where the last page ended, as the adapter that pages understands it.
Mark = list[str | int]
#: Looks at the page behind the mark (None: the first); answers its last mark, None at the end.
Look = Callable[[Mark | None], Mark | None]
#: Seconds a page may take before somebody else looks at it, too.
CLAIM_S = 300.0


@dataclass(frozen=True, slots=True)
class _Note:
    day: str = ""  #: UTC date on which this round began, ISO
    after: Mark | None = None
    over: bool = True
    busy_until: float = 0.0  #: seconds since the epoch


@dataclass(frozen=True, slots=True)
class Daily:
    """Goes once a day through something long, one page a call.

    Safe to repeat, and safe beside itself: a page is claimed by a conditional commit, so
    two callers never look at the same one. A page whose look failed or was killed is
    looked at again once its claim has run out; none is left out.
    """

    bookmarks: Bookmarks
    name: str

    def __call__(self, now: datetime, look: Look) -> None:
        """Look at one page, unless today's round is over or somebody is at it.

        Raises:
            whatever `look` raises: the page comes again.
        """
        seen = self.bookmarks.get(self.name)
        note = _next(_Note(**json.loads(seen)) if seen else _Note(), now)
        if note is None:
            return
        busy_until = (now + timedelta(seconds=CLAIM_S)).timestamp()
        claim = _text(replace(note, busy_until=busy_until))
        if not self.bookmarks.move(self.name, seen, claim):
            return
        after = look(note.after)
        went = replace(note, after=after, over=after is None, busy_until=0.0)
        self.bookmarks.move(self.name, claim, _text(went))


def _next(note: _Note, now: datetime) -> _Note | None:
    """What there is to do now: this round's next page, a new round's first, or nothing."""
    today = now.date().isoformat()
    if note.busy_until > now.timestamp() or (note.over and note.day >= today):
        return None
    return _Note(today, None, over=False) if note.over else note


def _text(note: _Note) -> str:
    return json.dumps(asdict(note))
