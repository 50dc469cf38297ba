"""keys new|ls|revoke: shown once, kept as a digest."""

import json
import sqlite3
from contextlib import closing
from datetime import date

import pytest
from click.testing import CliRunner

from local.cli import cli
from shared.domain.api_keys import id_of, opens
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
    assert (key.tenant, key.scope, key.name) == ("demo", "write", "laptop")
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
