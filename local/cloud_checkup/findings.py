"""One line of a checkup: fine, a problem with what to do, or not settled here."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    OK = "ok"
    PROBLEM = "PROBLEM"
    OPEN = "open"  #: nobody could look, or only a person can


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    state: State
    said: str

    @property
    def ok(self) -> bool | None:
        """None: neither fine nor a problem."""
        return {State.OK: True, State.PROBLEM: False}.get(self.state)


def fine(what: str, said: str) -> Finding:
    return Finding(what, State.OK, said)


def problem(what: str, said: str) -> Finding:
    return Finding(what, State.PROBLEM, said)


def left_open(what: str, said: str) -> Finding:
    return Finding(what, State.OPEN, said)


def verdict(what: str, problems: list[str], all_well: str) -> list[Finding]:
    """A line a problem; one line if there is none."""
    return [problem(what, one) for one in problems] or [fine(what, all_well)]
