"""audit verify, and that commands themselves stand in the log."""

import json
import sqlite3
from contextlib import closing

import pytest
from click.testing import CliRunner

from local.cli import cli
from shared import wiring
from shared.adapters.embedded.home_signer import HomeSigner
from shared.domain.audit import EVERYBODY
from shared.wiring import STORE
from tests.builders import NOW


@pytest.fixture
def earwitness(home):
    def run(*words):
        return CliRunner().invoke(cli, list(words))

    return run


@pytest.fixture
def sealed(world):
    """Three recordings under a seal."""
    made = [world.done("talk.wav", "hello there"), world.dead(), world.rejected()]
    wiring.sealing(world.parts).round(NOW)
    return made


def change(home, statement, *values):
    with closing(sqlite3.connect(home / STORE)) as db:
        assert db.execute(statement, values).rowcount == 1
        db.commit()


def test_what_nobody_changed_holds_together(earwitness, sealed):
    found = earwitness("audit", "verify")

    assert found.exit_code == 0
    assert found.stdout == (
        "demo: 3 recordings, 7 lines, 0 actions, 1 seals;"
        " sealed until 2026-03-01 12:00:00 UTC; 0 wait for the next seal\n"
    )
    assert found.stderr == "Everything holds together.\n"


def test_a_change_is_named_with_its_place_and_the_status_is_1(earwitness, sealed, home):
    change(
        home,
        "UPDATE history SET actor = 'nobody' WHERE recording_id = ? AND seq = 2",
        sealed[0].id,
    )

    found = earwitness("audit", "verify")
    told = json.loads(earwitness("audit", "verify", "--tenant", "demo", "--json").stdout)

    assert found.exit_code == 1
    assert f"  EDITED    history {sealed[0].id} line 2: " in found.stdout
    assert "1 finding: " in found.stderr
    [finding] = told["tenants"][0]["findings"]
    assert (finding["fault"], finding["place"]) == ("edited", f"history {sealed[0].id} line 2")


def test_seals_of_a_key_that_is_gone_hold_by_its_public_half(
    earwitness, sealed, home, world, tmp_path
):
    (tmp_path / "old.pem").write_bytes(world.parts.signer.public_key())
    (home / "keys/testimony.key").unlink()
    HomeSigner(home / "keys").public_key()

    without = earwitness("audit", "verify")
    with_it = earwitness("audit", "verify", "--key", str(tmp_path / "old.pem"))

    assert (without.exit_code, with_it.exit_code) == (1, 0)
    assert "FORGED    seal 1: Nobody knows the key" in without.stdout


def test_verifying_writes_nothing_into_the_log(earwitness, sealed, world):
    earwitness("audit", "verify")

    assert world.parts.actions.page() == []


def test_commands_stand_in_the_log_with_what_they_were_about(earwitness, sealed, world):
    done, dead, _ = sealed
    earwitness("show", done.id)
    earwitness("dead", "discard", dead.id, "--why", "secret reason")
    earwitness("show", "nobody")
    earwitness("find", "hello", "--tenant", "demo")

    told = [
        (a.tenant, a.actor, a.method, a.route, a.recording_id, a.status)
        for a in reversed(world.parts.actions.page())
    ]
    assert told == [
        ("demo", "cli", "CLI", "show", done.id, 0),
        ("demo", "cli", "CLI", "dead discard", dead.id, 0),
        (EVERYBODY, "cli", "CLI", "show", "nobody", 3),
        ("demo", "cli", "CLI", "find", None, 0),
    ]


def test_neither_words_nor_names_are_in_the_log(earwitness, sealed, home):
    earwitness("find", "canary-word")
    earwitness("dead", "discard", sealed[1].id, "--why", "canary-reason")

    with closing(sqlite3.connect(home / STORE)) as db:
        assert "canary" not in str(db.execute("SELECT * FROM actions").fetchall())


def test_an_erasure_leaves_a_chain_that_holds_and_names_nobody(earwitness, sealed, world, home):
    done = sealed[0]
    erase = wiring.erase(world.parts)
    erase.ask(done.id, "key:canary", world.parts.now())
    erase.resume(world.parts.now(), 10)
    wiring.sealing(world.parts).round(NOW)

    found = earwitness("audit", "verify", "--tenant", "demo")

    assert (found.exit_code, found.stderr) == (0, "Everything holds together.\n")
    [chain] = [c for c in world.parts.chains.page("demo") if c.recording_id == done.id]
    blanked = [one for one in chain.links if one.salt is None]
    assert [one.line.reason for one in blanked] == [""] * (len(chain.links) - 1)
    assert chain.links[-1].line.state == "erased"
