"""What operators want of an engine, in the store, for every instance to converge to."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum

from shared.ports import Bookmarks, Clock


class Wanted(StrEnum):
    LOADED = "loaded"  #: in memory, and kept there however idle
    UNLOADED = "unloaded"  #: its memory given back once; the next call loads it again


@dataclass(frozen=True, slots=True)
class Desired:
    engine: str
    wanted: Wanted
    at: str  #: RFC 3339; with `engine` it tells one wish from another
    reason: str = ""


class Desires:
    """One note for each engine: `engines/{name}/desired`. The last wish holds."""

    def __init__(self, bookmarks: Bookmarks, now: Clock) -> None:
        self._bookmarks, self._now = bookmarks, now

    def get(self, engine: str) -> Desired | None:
        """The wish, or None where nobody has wished anything, or not in words of ours."""
        note = self._bookmarks.get(_name(engine))
        try:
            said = json.loads(note or "null")
            return Desired(**{**said, "wanted": Wanted(said["wanted"])})
        except (TypeError, ValueError, KeyError):
            return None

    def wish(self, engine: str, wanted: Wanted, reason: str = "") -> Desired:
        """Write it down; repeating makes a new wish of the same kind, which does no harm."""
        desired = Desired(engine, wanted, self._now().isoformat(), reason)
        note = json.dumps(asdict(desired))
        while not self._bookmarks.move(
            _name(engine), self._bookmarks.get(_name(engine)), note
        ):  # somebody else wished between reading and writing
            pass
        return desired


def _name(engine: str) -> str:
    return f"engines/{engine}/desired"
