"""keys new|ls|rotate|revoke: shown once, kept as a digest."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import date, timedelta

import pytest
from click.testing import CliRunner

from local.cli import cli
from shared.domain.api_keys import OPERATOR, OWNER, READER, WRITER, Grant, Role, Scope, id_of, opens
from shared.wiring import STORE


@pytest.fixture
def earwitness(home):
    def run(*words):
        return CliRunner().invoke(cli, list(words))

    return run


def test_a_new_key_is_shown_once_and_opens(earwitness, world):
    made = earwitness("keys", "new", "--name", "laptop")

    text = made.stdout.strip()
    key = world.parts.api_keys.get(id_of(text))
    assert made.exit_code == 0
    assert (key.tenant, key.grant, key.name) == ("demo", WRITER, "laptop")
    assert opens(key, text)
    assert "not shown again" in made.stderr


def test_nothing_in_home_holds_the_key(earwitness, world, home):
    text = earwitness("keys", "new").stdout.strip()

    with closing(sqlite3.connect(home / STORE)) as db:
        dump = "\n".join(db.iterdump())
    assert id_of(text) in dump
    assert text[13:] not in dump


def test_keys_are_listed_with_their_last_day(earwitness, world):
    first = id_of(earwitness("keys", "new", "--scope", "read").stdout.strip())
    second = id_of(earwitness("keys", "new", "--name", "lap\x1btop").stdout.strip())
    world.parts.api_keys.used(first, date(2026, 1, 2))

    listed = earwitness("keys", "ls")
    as_json = json.loads(earwitness("keys", "ls", "--json").stdout)["keys"]

    assert second is None  # a name that steers terminals was refused
    assert "last used 2026-01-02" in listed.stdout
    assert [(k["id"], k["scope"], k["used_on"]) for k in as_json] == [(first, "read", "2026-01-02")]
    assert "digest" not in as_json[0]


def test_a_revoked_key_is_listed_so(earwitness, world):
    text = json.loads(earwitness("keys", "new", "--json").stdout)

    said = earwitness("keys", "revoke", text["id"])

    assert said.exit_code == 0
    assert "revoked" in earwitness("keys", "ls").stdout
    assert not opens(world.parts.api_keys.get(text["id"]), text["key"])


def test_revoking_what_is_not_there_is_not_found(earwitness, world):
    answer = earwitness("keys", "revoke", "nobody")

    assert answer.exit_code == 3
    assert "earwitness keys ls" in answer.stderr


def test_a_key_for_nobody_is_not_made(earwitness, world):
    answer = earwitness("keys", "new", "--tenant", "nobody")

    assert answer.exit_code != 0
    assert "nobody" not in answer.stdout
    assert world.parts.api_keys.all() == []


def test_no_keys_says_what_to_do(earwitness, world):
    assert "earwitness keys new" in earwitness("keys", "ls").stderr


@pytest.mark.parametrize(
    ("words", "grant"),
    [
        pytest.param([], WRITER, id="nothing said"),
        pytest.param(["--scope", "read"], READER, id="a word from before there were roles"),
        pytest.param(["--scope", "operator"], OPERATOR, id="another"),
        pytest.param(["--role", "owner"], OWNER, id="a role"),
        pytest.param(
            ["--role", "owner", "--scope", "export", "--scope", "audit"],
            Grant(Role.OWNER, frozenset({Scope.EXPORT, Scope.AUDIT})),
            id="a part of one",
        ),
    ],
)
def test_a_key_may_what_was_said(earwitness, world, words, grant):
    made = earwitness("keys", "new", *words)

    assert made.exit_code == 0, made.stderr
    assert world.parts.api_keys.get(id_of(made.stdout.strip())).grant == grant


@pytest.mark.parametrize(
    "words",
    [
        ["--role", "reader", "--scope", "keys"],
        ["--role", "reader", "--scope", "read"],
        ["--scope", "write", "--scope", "audit"],
        ["--expires", "0d"],
        ["--expires", "3661d"],
        ["--expires", "soon"],
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(earwitness, world, words):
    assert earwitness("keys", "new", *words).exit_code != 0
    assert world.parts.api_keys.all() == []


@pytest.mark.parametrize(
    ("said", "life"),
    [("90d", timedelta(days=90)), ("12h", timedelta(hours=12)), ("3660d", timedelta(days=3_660))],
)
def test_a_key_ends_by_itself(earwitness, world, said, life):
    made = earwitness("keys", "new", "--expires", said)

    key = world.parts.api_keys.get(id_of(made.stdout.strip()))
    assert key.life == life
    assert f"ends {key.expires_at:%Y-%m-%d %H:%M}" in earwitness("keys", "ls").stdout
    assert f"until {key.expires_at:%Y-%m-%d %H:%M} UTC" in made.stderr


def test_a_key_is_rotated_once_and_the_old_one_ends_after_the_overlap(earwitness, world):
    old = json.loads(earwitness("keys", "new", "--role", "owner", "--name", "ci", "--json").stdout)

    rotated = earwitness("keys", "rotate", old["id"], "--overlap", "2h")
    again = earwitness("keys", "rotate", old["id"])

    new = world.parts.api_keys.get(id_of(rotated.stdout.strip()))
    ended = world.parts.api_keys.get(old["id"])
    assert (new.grant, new.name, new.expires_at) == (OWNER, "ci", None)
    assert opens(new, rotated.stdout.strip())
    assert (ended.rotated_to, ended.expires_at - new.made_at) == (new.id, timedelta(hours=2))
    assert again.exit_code == 1
    assert f"rotated already: {new.id}" in again.stderr
    assert f"rotated to {new.id}" in earwitness("keys", "ls").stdout


@pytest.mark.parametrize("ending", ["revoked", "over"])
def test_what_has_ended_is_not_rotated(earwitness, world, ending):
    key_id = id_of(earwitness("keys", "new").stdout.strip())
    if ending == "revoked":
        earwitness("keys", "revoke", key_id)
    else:
        known = world.parts.api_keys.get(key_id)
        over = replace(known, id="other0000", expires_at=known.made_at)
        world.parts.api_keys.add(over)
        key_id = over.id

    assert earwitness("keys", "rotate", key_id).exit_code == 1
    assert all(key.rotated_to is None for key in world.parts.api_keys.all())


def test_rotating_what_is_not_there_is_not_found(earwitness, world):
    assert earwitness("keys", "rotate", "nobody").exit_code == 3
