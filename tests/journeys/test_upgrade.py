"""What was heard once stays: over backup and restore, a new schema, and the next start."""

import json
import os
import signal
import sqlite3
import subprocess
from contextlib import closing

import pytest

from shared import wiring
from shared.adapters.embedded import sqlite_database
from shared.adapters.embedded.schema import MIGRATIONS
from shared.adapters.embedded.sqlite_database import Database, schema_version
from shared.domain.states import State
from shared.errors import InvalidSettings
from shared.settings import load
from tests.journeys.running import EARWITNESS, ECHO, Up, until
from tests.sounds import speech, tone_wav


@pytest.fixture
def start(tmp_path):
    """Start `up` on a HOME as often as wanted; whatever still runs is ended."""
    started = []

    def go(home="home"):
        running = Up(tmp_path / home, **ECHO)
        started.append(running)
        return running.start()

    yield go
    for running in started:
        running.end()


def earwitness(home, *words):
    return subprocess.run(
        [EARWITNESS, *words],
        cwd=home.parent,
        env=os.environ | ECHO | {"EARWITNESS_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=240,
    )


def told(home, id):
    """Everything the commands say about what was heard."""
    commands = (
        ("ls",),
        ("ls", "--json"),
        ("show", id),
        ("show", id, "--json"),
        ("show", id, "--format", "srt"),
        ("find", "echo"),
        ("tenants", "ls"),
        ("dead", "ls"),
    )
    answers = [earwitness(home, *words) for words in commands]
    assert {a.returncode for a in answers} == {0}
    return [a.stdout for a in answers]


def test_a_backup_restored_elsewhere_says_the_same_and_goes_on(start, tmp_path):
    up = start()
    up.drop("acme/talk.wav", speech("This was heard before the backup."))
    up.drop("letter.wav", b"Dear Sir or Madam")
    up.until_terminal(3)
    heard = up.recordings()["talk.wav"]

    kept = earwitness(up.home, "backup", str(tmp_path / "kept.tar"))
    before = told(up.home, heard.id)
    up.stop()
    moved = tmp_path / "moved"
    back = earwitness(moved, "restore", str(tmp_path / "kept.tar"))
    after = told(moved, heard.id)
    again = start("moved")
    again.drop("acme/talk.wav", speech("This came after it."))
    again.until_terminal(4)

    assert (kept.returncode, kept.stdout) == (0, f"{tmp_path / 'kept.tar'}\n")
    assert back.returncode == 0
    assert after == before
    generations = {r.generation for r in again.parts.recordings.page() if r.path == "talk.wav"}
    assert generations == {1, 2}


def test_the_next_start_finishes_what_the_last_one_left(start):
    """Killed with everything in its hands, it leaves work in each state: none is lost."""
    up = start()
    up.until_terminal(1)
    still = [up.child("service"), up.child("functions")]
    os.kill(still[0], signal.SIGSTOP)
    for n in range(6):
        up.drop(f"{n}.wav", tone_wav(1.0 + n))
    until(lambda: len(up.recordings()) == 7)
    os.kill(still[1], signal.SIGSTOP)
    up.drop("not-even-recorded.wav", tone_wav(9.0))
    until(up.parts.inlet.events)
    up.stop(signal.SIGKILL)
    for pid in still:
        os.kill(pid, signal.SIGKILL)  # whoever stands still does not see its supervisor go
    until(lambda: not up.family())

    again = start()
    again.until_terminal(8)

    assert {r.state for r in again.recordings().values()} == {State.DONE}
    assert len(again.recordings()) == 8


NEXT = "ALTER TABLE recordings ADD COLUMN mood TEXT; CREATE TABLE moods (name TEXT) STRICT;"


@pytest.fixture
def home(tmp_path):
    """A HOME of this version in which one recording was heard."""
    place = tmp_path / "home"
    assert earwitness(place, "hear", str(sound(tmp_path))).returncode == 0
    return place


def sound(folder):
    file = folder / "talk.wav"
    file.write_bytes(speech("Nothing is lost by an upgrade."))
    return file


def test_a_home_of_the_last_version_is_migrated_and_keeps_everything(home, monkeypatch):
    [before] = wiring.parts(load(home=home)).recordings.page()
    monkeypatch.setattr(sqlite_database, "MIGRATIONS", (*MIGRATIONS, NEXT))

    [after] = wiring.parts(load(home=home)).recordings.page()

    with closing(sqlite3.connect(home / wiring.STORE)) as db:
        assert schema_version(db) == len(MIGRATIONS) + 1
        assert db.execute("SELECT mood FROM recordings").fetchall() == [(None,)]
    assert after == before


def test_a_migration_that_fails_halfway_changes_nothing(home, monkeypatch):
    broken = f"{NEXT} INSERT INTO no_such_table VALUES (1);"
    monkeypatch.setattr(sqlite_database, "MIGRATIONS", (*MIGRATIONS, broken))

    with pytest.raises(sqlite3.OperationalError, match="no_such_table"):
        Database(home / wiring.STORE)

    monkeypatch.undo()
    assert len(wiring.parts(load(home=home)).recordings.page()) == 1


@pytest.mark.parametrize("words", [("ls",), ("up",), ("hear",), ("tenants", "ls")], ids=" ".join)
def test_a_home_of_a_newer_version_is_refused_kindly_and_left_alone(newer, words, tmp_path):
    given = (*words, str(sound(tmp_path))) if words == ("hear",) else words

    answer = earwitness(newer, *given)

    assert (answer.returncode, answer.stdout) == (2, "")
    assert f"schema version {len(MIGRATIONS) + 1}" in answer.stderr
    assert "restore a backup" in answer.stderr
    assert "Traceback" not in answer.stderr
    with closing(sqlite3.connect(newer / wiring.STORE)) as db:
        assert schema_version(db) == len(MIGRATIONS) + 1


@pytest.fixture
def newer(tmp_path):
    """A HOME that an Earwitness of the next schema has made."""
    place = tmp_path / "newer"
    wiring.parts(load(home=place))
    with closing(sqlite3.connect(place / wiring.STORE)) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    return place


def test_doctor_says_that_a_newer_home_needs_the_newer_version(newer):
    answer = earwitness(newer, "doctor", "--json")

    [store] = [c for c in json.loads(answer.stdout)["checks"] if c["what"] == "store"]
    assert answer.returncode == 1
    assert (store["ok"], "newer" in store["said"]) == (False, True)


def test_settings_error_is_the_one_that_refuses(newer):
    with pytest.raises(InvalidSettings, match="newer version"):
        wiring.parts(load(home=newer))
