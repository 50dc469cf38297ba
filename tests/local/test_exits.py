"""Statuses: 0 done, 1 failed, 2 usage, 3 not found, 4 rejected input."""

import pytest

from local.cli import exits
from shared.domain.states import State
from shared.errors import (
    AlreadyRunning,
    AudioTooLarge,
    BackupRefused,
    DiskFull,
    InvalidRequest,
    InvalidSettings,
    InvalidWish,
    NotFound,
    PartNotStarted,
    UnknownTenant,
    WrongState,
)

ERRORS = {
    NotFound: 3,
    UnknownTenant: 4,
    AudioTooLarge: 4,
    InvalidWish: 4,
    InvalidSettings: 2,
    InvalidRequest: 2,
    WrongState: 1,
    DiskFull: 1,
    AlreadyRunning: 1,
    PartNotStarted: 1,
    BackupRefused: 1,
}


@pytest.mark.parametrize(("error", "status"), ERRORS.items(), ids=[e.__name__ for e in ERRORS])
def test_each_failure_has_its_status(error, status):
    assert exits.of_error(error()) == status


@pytest.mark.parametrize("state", State)
def test_each_state_has_its_status(state):
    wanted = {State.DONE: 0, State.REJECTED: 4}.get(state, 1)

    assert exits.of_state(state) == wanted


@pytest.mark.parametrize(
    ("statuses", "worst"),
    [([], 0), ([0, 0], 0), ([0, 4], 4), ([4, 1, 0], 1), ([4, 4], 4)],
    ids=str,
)
def test_over_several_files_the_worst_counts(statuses, worst):
    assert exits.worst(statuses) == worst
