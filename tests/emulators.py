"""Google's emulators as fixtures: each started at most once a session, ended with it.

`tests/conftest.py` offers them to every test: imported twice they would be started twice.
Each gives the variables that make Google's clients talk to it; see `reached`.
"""

from collections.abc import Iterator

import pytest

from local.emulated.emulators import BigQuery, Emulator, Firestore, PubSub, Storage, running
from shared.errors import EmulatorMissing

Variables = dict[str, str]


def reached(variables: Variables, monkeypatch: pytest.MonkeyPatch) -> None:
    """Google's clients made in this test talk to the emulator, and to nobody else."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def _session(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Variables]:
    try:
        with running(emulator, tmp_path_factory.mktemp(emulator.name)) as variables:
            yield variables
    except EmulatorMissing as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def pubsub_emulator(tmp_path_factory):
    yield from _session(PubSub(), tmp_path_factory)


@pytest.fixture(scope="session")
def firestore_emulator(tmp_path_factory):
    yield from _session(Firestore(), tmp_path_factory)


@pytest.fixture(scope="session")
def storage_emulator(tmp_path_factory):
    yield from _session(Storage(), tmp_path_factory)


@pytest.fixture(scope="session")
def bigquery_emulator(tmp_path_factory):
    yield from _session(BigQuery(), tmp_path_factory)
