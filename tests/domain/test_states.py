import itertools

import pytest

from shared.domain.states import INITIAL, TERMINAL, TRANSITIONS, State, check
from shared.errors import WrongState

MOVES = set(itertools.product(State, State))
ALLOWED = {(a, b) for a, many in TRANSITIONS.items() for b in many}


@pytest.mark.parametrize(("a", "b"), sorted(ALLOWED))
def test_allowed(a, b):
    check(a, b)


@pytest.mark.parametrize(("a", "b"), sorted(MOVES - ALLOWED))
def test_forbidden(a, b):
    with pytest.raises(WrongState):
        check(a, b)


def test_every_state_can_be_reached_and_left_or_is_an_end():
    reached = INITIAL | {b for _, b in ALLOWED}

    assert reached == set(State)
    assert {s for s in State if not TRANSITIONS[s]} <= TERMINAL
