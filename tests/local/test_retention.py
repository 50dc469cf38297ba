"""retention run, extend, hold, release on a HOME."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import click
import pytest
from click.testing import CliRunner
from msgspec import structs

from local.cli import cli
from local.cli.retention import say_the_clock_is_turned
from shared.domain.states import State
from shared.settings import Backend

DAY = timedelta(days=1)
FAR = datetime(2999, 1, 1, tzinfo=UTC)


@pytest.fixture
def earwitness(home):
    def run(*words):
        return CliRunner().invoke(cli, [str(word) for word in words])

    return run


@pytest.fixture
def known(world, earwitness):
    """Kept for a year, as its tenant's tier says; the first run has looked at everything."""
    made = world.done("talk.wav", "hello there").id
    earwitness("retention", "run")
    return made


def stored(world, known):
    return world.parts.recordings.get(known)


def ahead(world, known, **more):
    """A time some way behind its end."""
    return (stored(world, known).kept_until + timedelta(**more)).isoformat()


def test_a_dry_run_tells_and_does_nothing(earwitness, world, known):
    end = ahead(world, known, days=0)

    told = earwitness("retention", "run", "--now", end, "--dry-run")
    as_json = earwitness("retention", "run", "--now", end, "--dry-run", "--json")

    assert told.exit_code == 0
    assert f"announce  {known}" in told.stdout
    assert "Nothing was done." in told.stderr
    assert json.loads(as_json.stdout) == {"announce": [known], "erase": []}
    assert stored(world, known).announced_at is None


def test_a_drill_says_what_it_does_announces_and_then_erases(earwitness, world, known):
    first = earwitness("retention", "run", "--now", ahead(world, known, days=0))
    assert "acts as if it were" in first.stderr
    assert "1  ends announced" in first.stdout
    assert stored(world, known).state is State.DONE

    earwitness("retention", "run", "--now", ahead(world, known, seconds=-1))
    assert stored(world, known).state is State.DONE
    second = earwitness("retention", "run", "--now", ahead(world, known), "--json")

    assert json.loads(second.stdout)["recordings_expired"] == 1
    assert stored(world, known).state is State.ERASED


def test_a_run_by_the_clock_with_nothing_due_says_so(earwitness, world, known):
    again = earwitness("retention", "run")

    assert (again.exit_code, again.stderr) == (0, "Nothing was due.\n")
    assert stored(world, known).state is State.DONE


def test_in_the_cloud_nobody_turns_the_clock(world):
    in_cloud = structs.replace(world.parts.settings, backend=Backend.GCP)

    with pytest.raises(click.UsageError, match="the server's clock decides"):
        say_the_clock_is_turned(replace(world.parts, settings=in_cloud), FAR)


def test_an_extension_adds_thirty_days_or_says_until_when(earwitness, world, known):
    end = stored(world, known).kept_until

    earwitness("extend", known)
    assert stored(world, known).kept_until == end + 30 * DAY
    earwitness("extend", known, "--days", 2)
    assert stored(world, known).kept_until == end + 32 * DAY
    said = earwitness("extend", known, "--until", "2031-05-01")

    assert said.stderr == "talk.wav is kept until 2031-05-01 00:00 UTC.\n"


@pytest.mark.parametrize("words", [("--until", "soon"), ("--until", "2031-05-01", "--days", 1)])
def test_an_end_nobody_can_read_is_wrong_usage(earwitness, known, words):
    assert earwitness("extend", known, *words).exit_code == 2


def test_a_hold_is_told_and_a_second_one_tells_the_first(earwitness, world, known):
    first = earwitness("hold", known, "--reason", "a lawsuit")
    second = earwitness("hold", known, "--reason", "another")

    assert first.stderr == "talk.wav is held.\n"
    assert "is held already, since" in second.stderr
    assert "a lawsuit" in second.stderr
    assert stored(world, known).hold.actor == "cli"


def test_held_is_not_erased_and_released_is(earwitness, world, known):
    earwitness("hold", known, "--reason", "a lawsuit")
    late = ahead(world, known, days=100)
    earwitness("retention", "run", "--now", late)
    assert stored(world, known).announced_at is None

    freed = earwitness("release", known)
    assert "is released; it is kept until" in freed.stderr
    earwitness("retention", "run", "--now", late)
    earwitness("retention", "run", "--now", ahead(world, known))

    assert stored(world, known).state is State.ERASED


def test_what_nobody_knows_is_not_found(earwitness, home):
    for words in (("extend", "x"), ("hold", "x", "--reason", "y"), ("release", "x")):
        assert earwitness(*words).exit_code == 3
