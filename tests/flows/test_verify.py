"""Whatever is changed after a seal is found; what nobody changed never is."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest

from shared.adapters.embedded.sqlite_database import Database
from tests.audited import World, world
from tests.builders import NOW
from tests.flows.mutations import MUTATIONS

#: Changes of each kind: together more than a thousand.
TIMES = -(-1_000 // len(MUTATIONS))


@dataclass(frozen=True)
class Original:
    """A sealed store that is copied for every mutation."""

    db: Database
    home: Path

    def copy(self, home: Path) -> World:
        shutil.copytree(self.home, home)
        again = Database(":memory:")
        self.db.connection().backup(again.connection())
        return World(again, home)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    home = tmp_path_factory.mktemp("sealed")
    made = world(home).filled()
    return Original(made.db, home)


def test_what_nobody_changed_is_whole(original, tmp_path):
    report = original.copy(tmp_path / "copy").verify()

    assert report.findings == ()
    assert (report.recordings, report.lines, report.actions, report.seals) == (12, 60, 24, 3)
    assert (report.unchained, report.waiting) == (0, 0)


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda one: one.__name__)
def test_every_change_after_a_seal_is_found(original, tmp_path, mutate):
    for n in range(TIMES):
        chance = Random(f"{mutate.__name__} {n}")
        changed = original.copy(tmp_path / str(n))
        mutate(changed, chance)

        assert changed.verify().findings, f"number {n} went unseen"
        shutil.rmtree(tmp_path / str(n))


def test_there_are_a_thousand_changes():
    assert len(MUTATIONS) * TIMES >= 1_000


def test_what_came_after_the_last_seal_waits_and_is_no_finding(original, tmp_path):
    lived = original.copy(tmp_path / "copy")
    lived.live(100)

    assert lived.verify().findings == ()
    assert lived.verify().waiting == 5


ERASE = (
    "UPDATE history SET actor = '', reason = '', error_code = NULL, error_message = NULL,"
    " error_engine = NULL, salt = NULL WHERE recording_id = ?"
)


def test_an_erased_history_still_verifies(original, tmp_path):
    lived = original.copy(tmp_path / "copy")
    lived.erase("rec00002")
    lived.db.connection().execute(ERASE, ("rec00002",))

    assert lived.verify().findings == ()
    lived.sealing().round(NOW)
    assert lived.verify().findings == ()


def test_an_erased_history_still_cannot_be_cut_or_reordered(original, tmp_path):
    for n, change in enumerate(("DELETE FROM history WHERE recording_id = 'rec00002' AND seq = 3",
        "UPDATE history SET state = 'dead' WHERE recording_id = 'rec00002' AND seq = 3",
        "UPDATE history SET at_us = 1 WHERE recording_id = 'rec00002' AND seq = 3")):  # fmt: skip
        lived = original.copy(tmp_path / str(n))
        lived.erase("rec00002")
        lived.db.connection().execute(ERASE, ("rec00002",))
        lived.db.connection().execute(change)

        assert lived.verify().findings


def test_blanking_without_an_erasure_is_found(original, tmp_path):
    lived = original.copy(tmp_path / "copy")
    lived.db.connection().execute(ERASE, ("rec00002",))

    assert {one.fault for one in lived.verify().findings} == {"blanked"}
