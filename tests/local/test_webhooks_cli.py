"""webhooks new|ls|rotate|rm|log|replay."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from click.testing import CliRunner

from local.cli import cli
from shared.domain.webhooks import Delivered, Reply, delivery
from tests.builders import NOW, happening

URL = "https://example.com/hooks"


@pytest.fixture
def earwitness(home):
    def run(*words):
        return CliRunner().invoke(cli, ["webhooks", *words])

    return run


def made(earwitness, *words):
    return json.loads(earwitness("new", URL, "--json", *words).stdout)


def laid(world, hook, n=1, **changes):
    known = world.parts.webhooks.get(hook["id"])
    one = replace(delivery(known, happening(n), NOW + timedelta(seconds=n), 0.0), **changes)
    world.parts.deliveries.enqueue(one)
    return one


def test_a_new_webhook_is_shown_with_its_secret_this_once(earwitness, world):
    told = earwitness("new", URL, "--type", "recording.done")

    [kept] = world.parts.webhooks.all()
    listed = [earwitness("ls"), earwitness("ls", "--json")]
    assert (told.exit_code, told.stdout.split()) == (0, [kept.id, kept.secret])
    assert "not shown again" in told.stderr
    assert (kept.tenant, kept.url, kept.types) == ("demo", URL, ("recording.done",))
    assert all(kept.id in one.stdout and "whsec_" not in one.stdout for one in listed)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["new", "http://127.0.0.1/"], 2),
        (["new", URL, "--type", "done"], 2),
        (["new", URL, "--tenant", "nobody-here"], 4),
        (["new"], 2),
        (["rm", "wh_none"], 3),
        (["rotate", "wh_none"], 3),
        (["log", "wh_none"], 3),
        (["replay", "wh_none", "e"], 3),
        (["replay", "wh_none"], 2),
        (["replay", "wh_none", "e", "--failed"], 2),
    ],
    ids=str,
)
def test_what_cannot_be_is_said_by_its_status(earwitness, world, words, status):
    assert earwitness(*words).exit_code == status
    assert world.parts.webhooks.all() == []


def test_no_webhooks_says_what_to_do(earwitness, world):
    assert "earwitness webhooks new" in earwitness("ls").stderr


def test_a_webhook_that_is_off_or_fails_is_listed_so(earwitness, world):
    off, failing = made(earwitness), made(earwitness)
    world.parts.webhooks.disable(off["id"], NOW)
    world.parts.webhooks.failing(failing["id"], NOW)

    lines = earwitness("ls").stdout.splitlines()

    assert any(off["id"] in line and "disabled 2026-03-01: 410" in line for line in lines)
    assert any(failing["id"] in line and "failing since 2026-03-01" in line for line in lines)


def test_a_secret_is_turned(earwitness, world):
    hook = made(earwitness)

    turned = json.loads(earwitness("rotate", hook["id"], "--overlap", "2h", "--json").stdout)

    kept = world.parts.webhooks.get(hook["id"])
    assert (kept.secret, kept.old_secret) == (turned["secret"], hook["secret"])
    assert kept.old_until - world.parts.now() <= timedelta(hours=2)


def test_what_is_removed_is_gone_with_its_log(earwitness, world):
    hook = made(earwitness)
    laid(world, hook)

    assert earwitness("rm", hook["id"]).exit_code == 0
    assert world.parts.webhooks.all() == world.parts.deliveries.page(tenant="demo") == []


def test_the_log_tells_the_last_attempt(earwitness, world):
    hook = made(earwitness)
    laid(world, hook, 1)
    [leased] = world.parts.deliveries.lease(NOW + timedelta(minutes=1), 60.0)
    world.parts.deliveries.record(leased, Reply(503), NOW, 0.0)
    laid(world, hook, 2)

    second, first = earwitness("log", hook["id"]).stdout.splitlines()
    as_json = json.loads(earwitness("log", hook["id"], "--json").stdout)["deliveries"]

    assert happening(1).event_id in first and first.endswith("1 x, 503")
    assert second.endswith("not tried")
    assert [len(one["attempts"]) for one in as_json] == [0, 1]
    assert earwitness("log", hook["id"], "--state", "failed").stdout == ""


def test_what_failed_is_replayed_one_by_one_or_all(earwitness, world):
    hook = made(earwitness)
    failed = {"state": Delivered.FAILED, "next_at": None, "settled_at": NOW}
    one, *others = [laid(world, hook, n, **failed) for n in range(3)]
    laid(world, hook, 9, state=Delivered.DELIVERED, next_at=None, settled_at=NOW)

    first = earwitness("replay", hook["id"], one.event_id)
    rest = earwitness("replay", hook["id"], "--failed")

    assert ("1 to be sent" in first.stderr, "2 to be sent" in rest.stderr) == (True, True)
    due = world.parts.deliveries.lease(world.parts.now(), 60.0)
    assert {d.event_id for d in due} == {d.event_id for d in (one, *others)}
    assert earwitness("replay", hook["id"], "nothing").exit_code == 3


def test_nothing_is_replayed_to_one_that_is_off(earwitness, world):
    hook = made(earwitness)
    world.parts.webhooks.disable(hook["id"], NOW)

    assert earwitness("replay", hook["id"], "--failed").exit_code == 1
