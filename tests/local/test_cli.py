"""The commands over a store made through the ports: payload on stdout, words on stderr."""

import errno
import json
from datetime import timedelta

import click
import pytest
from click.testing import CliRunner

from local.claim import claim
from local.cli import cli
from local.cli.hear import _write
from shared.domain.answers import Task
from shared.domain.lanes import Lane
from shared.domain.result import read
from shared.domain.spending import PaidCall
from shared.domain.states import State
from shared.domain.tenants import OverQuotaPolicy, Tier
from shared.errors import DiskFull
from shared.wiring import allowance_of, clock
from tests.builders import placed, recording


@pytest.fixture
def earwitness(home):
    def run(*words, **given):
        return CliRunner().invoke(cli, [str(w) for w in words], **given)

    return run


def names(folder):
    return [p.name for p in folder.iterdir()]


def recordings_in(answer):
    return [read(json.dumps(r)) for r in json.loads(answer.stdout)["recordings"]]


def test_ls_shows_newest_first(earwitness, world):
    world.done("größe.wav")
    world.rejected("notes.txt", tenant="acme")
    world.queued("c\x1b[2J.wav")

    answer = earwitness("ls")

    lines = answer.stdout.splitlines()
    assert answer.exit_code == 0
    assert lines[0].split()[:2] == ["ID", "RECEIVED"]
    assert [line.split()[-1] for line in lines[1:]] == ["c\\x1b[2J.wav", "notes.txt", "größe.wav"]
    assert lines[3].split()[3:8] == ["done", "high", "0:02.0", "en", "demo"]


def test_questions_go_with_every_file(earwitness, world, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"x")

    asked = ("--question", "Who calls?", "--question", "Why?")
    answer = earwitness("add", tmp_path / "a.wav", *asked, "--json")

    assert answer.exit_code == 0, answer.stderr
    [arrived] = world.parts.uploads.events(10)
    assert dict(arrived.event.metadata) == {"questions": '["Who calls?", "Why?"]'}


@pytest.mark.parametrize(
    "asked",
    [("--question", " "), ("--question", "?" * 301), ("--question", "Who?") * 6],
    ids=["empty", "too long", "too many"],
)
def test_what_cannot_be_asked_is_wrong_usage(earwitness, tmp_path, asked):
    (tmp_path / "a.wav").write_bytes(b"x")

    assert earwitness("add", tmp_path / "a.wav", *asked).exit_code == 2


def test_ls_of_nothing_says_what_to_do(earwitness):
    answer = earwitness("ls")

    assert (answer.exit_code, answer.stdout) == (0, "")
    assert "earwitness hear FILE" in answer.stderr


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ((), ["b.wav", "a.txt", "a.wav"]),
        (("--tenant", "acme"), ["a.txt"]),
        (("--state", "done"), ["a.wav"]),
        (("--state", "done", "--state", "queued", "--state", "received"), ["b.wav", "a.wav"]),
        (("--limit", "1"), ["b.wav"]),
    ],
    ids=str,
)
def test_ls_json_is_results_in_order(earwitness, world, options, names):
    world.done("a.wav")
    world.rejected("a.txt", tenant="acme")
    world.queued("b.wav")

    found = recordings_in(earwitness("ls", "--json", *options))

    assert [r.recording.name for r in found] == names


def test_ls_shows_how_much_is_heard(earwitness, world):
    made = world.queued()
    with world.parts.jobs._db.write() as db:
        db.execute("UPDATE recordings SET state = 'processing', progress = 0.25")

    assert "25% heard" in earwitness("ls").stdout
    assert made.id in earwitness("ls").stdout


def test_show_tells_everything(earwitness, world):
    made = world.done("talk.wav", "hello there")

    answer = earwitness("show", made.id)

    assert answer.exit_code == 0
    assert "hello there" in answer.stdout
    assert "tenant demo" in answer.stdout


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        ("text", "hello there\n"),
        ("srt", "1\n00:00:01,000 --> 00:00:02,000\nhello there\n\n"),
        ("vtt", "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nhello there\n\n"),
    ],
)
def test_show_prints_nothing_but_the_form_asked_for(earwitness, world, form, wanted):
    made = world.done("talk.wav", "hello there")

    answer = earwitness("show", made.id, "--format", form)

    assert (answer.exit_code, answer.stdout, answer.stderr) == (0, wanted, "")


@pytest.mark.parametrize("how", [("--json",), ("--format", "json")], ids=str)
def test_show_json_is_the_result(earwitness, world, how):
    made = world.done("talk.wav", "hello there")

    result = read(earwitness("show", made.id, *how).stdout)

    assert result.transcript.text == "hello there"
    assert result.recording.id == made.id


def test_show_of_a_recording_without_a_result_has_the_same_shape(earwitness, world):
    made = world.rejected()

    result = read(earwitness("show", made.id, "--json").stdout)
    text = earwitness("show", made.id, "--format", "srt")

    assert (result.status, result.error.code) == (State.REJECTED, "not_audio")
    assert (text.exit_code, text.stdout) == (3, "")
    assert "has no transcript: it is rejected" in text.stderr


def test_find_shows_where_it_was_said(earwitness, world):
    made = world.done("talk.wav", "the train leaves at noon")

    answer = earwitness("find", "train noon")

    assert answer.exit_code == 0
    assert answer.stdout.split() == (f"{made.id} 0:01.0 talk.wav: the train leaves at noon".split())


def test_find_json_has_the_shape_of_the_search_api(earwitness, world):
    made = world.done("talk.wav", "the train leaves at noon")

    [hit] = json.loads(earwitness("find", "train", "--json").stdout)["hits"]

    assert hit["recording"]["id"] == made.id
    assert (hit["start_s"], hit["end_s"], hit["text"]) == (1.0, 2.0, "the train leaves at noon")


@pytest.mark.parametrize("options", [(), ("--tenant", "acme"), ("--json",)], ids=str)
def test_find_of_nothing_is_not_found(earwitness, world, options):
    world.done("talk.wav", "the train" if options == ("--tenant", "acme") else "the bus")

    answer = earwitness("find", "train", *options)

    assert answer.exit_code == 3
    assert "train" in answer.stderr


NO_SUCH = {
    "show": ("show", "nothing"),
    "dead show": ("dead", "show", "nothing"),
    "dead replay": ("dead", "replay", "nothing"),
    "dead discard": ("dead", "discard", "nothing", "--why", "a test tone"),
}


@pytest.mark.parametrize("words", NO_SUCH.values(), ids=NO_SUCH)
def test_unknown_id_is_not_found(earwitness, words):
    answer = earwitness(*words)

    assert (answer.exit_code, answer.stdout) == (3, "")
    assert "nothing under this id" in answer.stderr


def test_dead_are_listed_with_their_cause(earwitness, world):
    made = world.dead("broken.wav")

    answer = earwitness("dead", "ls")
    found = recordings_in(earwitness("dead", "ls", "--json"))

    assert answer.stdout.startswith(f"{made.id}  demo  broken.wav: dead: The decoder died")
    assert [r.error.code for r in found] == ["decoder_died"]


def test_dead_show_has_the_attempts_and_the_history(earwitness, world):
    made = world.dead("broken.wav")

    answer = earwitness("dead", "show", made.id)
    told = json.loads(earwitness("dead", "show", made.id, "--json").stdout)

    assert "decoder_died: The decoder died" in answer.stdout
    assert [line.split()[2] for line in answer.stdout.splitlines()[-3:]] == [
        "received",
        "processing",
        "dead",
    ]
    at = f"{made.received_at:%Y-%m-%d %H:%M:%S}"
    assert (
        f"attempt 1  {at} to {at}  test: decoder_died: The decoder died while reading this"
        in answer.stdout
    )
    assert told["recording"]["status"] == "dead"
    [attempt] = told["attempts"]
    assert (attempt["worker"], attempt["error"]["code"]) == ("test", "decoder_died")
    assert told["discarded"] is None


def test_dead_show_names_the_engine_that_is_to_blame(earwitness, world):
    made = world.dead(engine="whisper")

    answer = earwitness("dead", "show", made.id)

    assert "  test, whisper: decoder_died: " in answer.stdout


def test_causes_are_counted_by_day(earwitness, world):
    nothing = earwitness("dead", "causes")
    for _ in range(2):
        world.dead(at=clock())

    answer = earwitness("dead", "causes")
    told = json.loads(earwitness("dead", "causes", "--days", "2", "--json").stdout)

    assert (nothing.stdout, nothing.stderr) == ("", "No job has died in 30 days.\n")
    assert sum(int(line.split()[1]) for line in answer.stdout.splitlines()) == 2
    assert {cause["code"] for cause in told["causes"]} == {"decoder_died"}


@pytest.mark.parametrize("why", ["", "  ", "x" * 501], ids=["none", "blank", "long"])
def test_a_discard_needs_a_reason(earwitness, world, why):
    made = world.dead()

    unsaid = earwitness("dead", "discard", made.id)
    answer = earwitness("dead", "discard", made.id, "--why", why)

    assert (unsaid.exit_code, answer.exit_code) == (2, 2)
    assert [r.id for r in world.parts.jobs.dead()] == [made.id]


def test_who_discarded_and_why_is_kept(earwitness, world):
    made = world.dead()

    earwitness("dead", "discard", made.id, "--why", "a  test\ntone")
    answer = earwitness("dead", "show", made.id)

    assert answer.stdout.splitlines()[-1].endswith("dead        cli: discarded: a test tone")


def test_replayed_is_queued_and_says_who_will_hear_it(earwitness, world, home):
    first, second = world.dead("a.wav"), world.dead("b.wav")

    alone = earwitness("dead", "replay", first.id)
    with claim(home):
        served = earwitness("dead", "replay", second.id)

    assert world.parts.recordings.get(first.id).state is State.QUEUED
    assert "a.wav is heard again." in alone.stderr
    assert "next `earwitness up`" in alone.stderr
    assert "next `earwitness up`" not in served.stderr
    assert "No dead recordings." in earwitness("dead", "ls").stderr


def test_discarded_is_off_the_list_and_stays_dead(earwitness, world):
    made = world.dead()

    answer = earwitness("dead", "discard", made.id, "--why", "a test tone")

    assert answer.exit_code == 0
    assert json.loads(earwitness("dead", "ls", "--json").stdout) == {"recordings": []}
    assert world.parts.recordings.get(made.id).state is State.DEAD


def test_only_the_dead_are_replayed(earwitness, world):
    made = world.done()

    assert earwitness("dead", "replay", made.id).exit_code == 1


def test_tenant_is_made_and_changed_rule_by_rule(earwitness, world):
    earwitness("tenants", "set", "acme", "--tier", "pro", "--max-seconds", "90", "--weight", "2")
    earwitness("tenants", "set", "acme", "--files-a-day", "none", "--keep-days", "7")

    acme = world.parts.tenants.get("acme")

    assert acme.tier is Tier.PRO
    assert (acme.rules.max_seconds, acme.rules.weight) == (90.0, 2.0)
    assert acme.rules.files_a_day is None
    assert acme.rules.keep_days == 7


def test_tenants_say_what_they_spent_today_and_what_workers_hold(earwitness, world):
    parts, now = world.parts, world.parts.now()
    parts.tenants.ensure("acme", Tier.PRO, now)
    parts.recordings.create_or_get(recording(), lambda _: placed())
    lease = parts.jobs.lease_next(tuple(Lane), "w1", now, 60.0)
    for day in (0, 1):  # it may become midnight before we ask
        call = PaidCall("paid", Task.TRANSCRIBE, (day,), 0.05)
        parts.spending.intend(lease, call, 1.0, now + timedelta(days=day))

    said = earwitness("tenants", "ls").stdout
    document = json.loads(earwitness("tenants", "ls", "--json").stdout)

    assert "today 0.0500 USD spent, 0.0125 reserved, 0.0000 stranded" in said
    [acme] = [t for t in document["tenants"] if t["id"] == "acme"]
    assert acme["today"] == {"spent_usd": 0.05, "reserved_usd": 0.0125, "stranded_usd": 0.0}


@pytest.mark.parametrize(
    ("words", "days", "months", "told"),
    [
        (["--keep", "400d"], 400, None, "kept 400 days*"),
        (["--keep", "6mo"], None, 6, "kept 6 months*"),
        (["--keep", "2y"], None, 24, "kept 2 years*"),
        (["--keep-days", "400"], 400, None, "kept 400 days*"),
        (["--tier", "pro"], None, 6, "kept 6 months,"),
    ],
)
def test_how_long_a_tenant_keeps_is_set_and_listed(earwitness, world, words, days, months, told):
    earwitness("tenants", "set", "acme", "--keep", "18mo")
    earwitness("tenants", "set", "acme", "--defaults", *words)
    earwitness("tenants", "set", "acme", "--tier", "pro")

    rules = world.parts.tenants.get("acme").rules
    assert (rules.keep_days, rules.keep_months) == (days, months)
    assert told in earwitness("tenants", "ls").stdout


def test_of_days_and_months_the_last_said_holds(earwitness, world):
    for kept in ("400d", "6mo", "30d", "2y"):
        earwitness("tenants", "set", "acme", "--keep", kept)

    assert world.parts.tenants.get("acme").overrides == (("keep_months", 24),)


@pytest.mark.parametrize(
    "words",
    [
        ["--keep", "0d"],
        ["--keep", "101y"],
        ["--keep", "6m"],
        ["--keep", "400d", "--keep-days", "400"],
        ["--keep-days", "0.5"],
        ["--over-quota", "drop"],
    ],
)
def test_what_makes_no_sense_is_wrong_usage(earwitness, world, words):
    answer = earwitness("tenants", "set", "acme", *words)

    assert answer.exit_code == 2
    assert world.parts.tenants.get("acme") is None


def test_what_becomes_of_too_many_uploads_is_set_and_stays(earwitness, world):
    first = earwitness("tenants", "set", "acme", "--over-quota", "refuse")
    earwitness("tenants", "set", "acme", "--tier", "pro")

    assert "refused over quota" in first.stderr
    assert world.parts.tenants.get("acme").over_quota is OverQuotaPolicy.REFUSE
    assert "an upload over a limit is refused" in earwitness("tenants", "show", "acme").stdout
    earwitness("tenants", "set", "acme", "--over-quota", "defer")
    assert "heard on the next day" in earwitness("tenants", "show", "acme").stdout


def test_a_tenants_day_is_shown_with_its_limits(earwitness, world):
    parts = world.parts
    earwitness("tenants", "set", "acme", "--seconds-a-day", "1000")
    tenant, process = parts.tenants.get("acme"), allowance_of(parts)
    process.charge(tenant, 5.0)
    process.report()

    shown, listed = earwitness("tenants", "show", "acme").stdout, earwitness("tenants", "ls").stdout
    document = json.loads(earwitness("tenants", "show", "acme", "--json").stdout)

    assert "files    0 of 50" in shown
    assert "seconds  5.0 of 1,000 (57.5 reserved, 0.0 stranded)" in shown
    assert "none, fallback is off" in shown
    assert "today 5.0 s heard, 57.5 reserved, 0.0 stranded" in listed
    assert document["usage"]["seconds"] == {
        "used": 5.0,
        "reserved": 57.5,
        "stranded": 0.0,
        "limit": 1000.0,
    }


def test_tenants_own_rules_are_marked_and_forgotten(earwitness, world):
    answer = earwitness("tenants", "set", "acme", "--max-bytes", "1000000")
    assert "acme: free, files to 1 MB*, 1 h long" in answer.stderr

    earwitness("tenants", "set", "acme", "--defaults")

    assert world.parts.tenants.get("acme").overrides == ()


def test_a_fallback_that_costs_is_agreed_to_and_ended(earwitness, world):
    said = earwitness("tenants", "set", "acme", "--tier", "pro", "--fallback", "on")
    assert "fallback to 5 USD a day" in said.stderr
    said = earwitness("tenants", "set", "acme", "--fallback-usd-a-day", "0.5")
    assert "fallback to 0.5 USD a day*" in said.stderr

    agreed = world.parts.tenants.get("acme")
    earwitness("tenants", "set", "acme", "--fallback", "off")

    assert (agreed.fallback, agreed.rules.fallback_usd_a_day) == (True, 0.5)
    assert world.parts.tenants.get("acme").fallback is False
    assert "fallback off" in earwitness("tenants", "ls").stdout
    document = json.loads(earwitness("tenants", "ls", "--json").stdout)
    assert [t["fallback"] for t in document["tenants"]] == [False, False]


def test_a_tenant_whose_data_stays_cannot_agree_to_engines_elsewhere(earwitness, world):
    earwitness("tenants", "set", "acme", "--fallback", "on")
    said = earwitness("tenants", "set", "acme", "--residency", "on")
    assert "fallback off, its data stays" in said.stderr

    refused = earwitness("tenants", "set", "acme", "--fallback", "on")

    assert (refused.exit_code, "--residency off" in refused.stderr) == (2, True)
    kept = world.parts.tenants.get("acme")
    assert (kept.residency, kept.fallback) == (True, False)
    earwitness("tenants", "set", "acme", "--residency", "off", "--fallback", "on")
    assert world.parts.tenants.get("acme").fallback is True


ONLY_WORDS = "version: 1\ntasks:\n  transcribe: {engines: [echo], timeout_s: 60}\n"


def test_a_profile_is_saved_shown_kept_and_given_up(earwitness, world, tmp_path):
    file = tmp_path / "words.yaml"
    file.write_text(ONLY_WORDS)

    saved = earwitness("tenants", "set", "acme", "--profile", file)
    earwitness("tenants", "set", "acme", "--tier", "pro")
    shown = json.loads(earwitness("tenants", "show", "acme", "--json").stdout)
    told = earwitness("tenants", "show", "acme").stdout
    back = earwitness("tenants", "set", "acme", "--profile", "default")

    kept = shown["profile"]
    assert kept["document"]["tasks"] == {"transcribe": {"engines": ["echo"], "timeout_s": 60.0}}
    assert f"profile {kept['digest'][:12]}" in saved.stderr
    assert kept["digest"] in told
    assert '"echo"' in told
    assert "profile" not in back.stderr
    assert world.parts.tenants.get("acme").profile is None
    assert "profile: default" in earwitness("tenants", "show", "acme").stdout


def test_a_profile_that_is_wrong_changes_nothing(earwitness, world, tmp_path):
    file = tmp_path / "wrong.yaml"
    file.write_text("version: 1\ntasks:\n  transcribe: {engines: [oracle], needs: [align]}\n")

    answer = earwitness("tenants", "set", "acme", "--profile", file)

    assert answer.exit_code == 2
    assert "wrong.yaml:3:26: There is no engine `oracle`, only echo, sounds, whisper." in (
        answer.stderr
    )
    assert "wrong.yaml:3:43: `align` is no task of this profile" in answer.stderr
    assert world.parts.tenants.get("acme") is None


def test_an_unknown_tenant_is_not_shown(earwitness):
    assert earwitness("tenants", "show", "nobody").exit_code == 3


def test_tenants_are_listed(earwitness, world):
    world.parts.tenants.ensure("acme", Tier.PRO, world.parts.now())

    answer = earwitness("tenants", "ls")
    document = json.loads(earwitness("tenants", "ls", "--json").stdout)

    assert [line.split()[:2] for line in answer.stdout.splitlines()] == [
        ["acme", "pro"],
        ["demo", "enterprise"],
    ]
    assert "any files a day" in answer.stdout
    assert "kept 6 months" in answer.stdout
    assert [t["id"] for t in document["tenants"]] == ["acme", "demo"]
    assert document["tenants"][0]["rules"]["max_bytes"] == 2_000_000_000


USAGE = {
    "no command": ("frobnicate",),
    "tenant's name": ("tenants", "set", "Acme"),
    "number": ("tenants", "set", "acme", "--max-seconds", "long"),
    "zero": ("tenants", "set", "acme", "--max-seconds", "0"),
    "infinite": ("tenants", "set", "acme", "--weight", "inf"),
    "limitless length": ("tenants", "set", "acme", "--max-seconds", "none"),
    "no file": ("hear",),
    "file that is not there": ("hear", "gone.wav"),
    "empty folder": ("hear", "."),
    "format": ("show", "x", "--format", "pdf"),
    "port": ("up", "--port", "0"),
    "language": ("hear", __file__, "--language", "english"),
    "engine": ("add", __file__, "--engine", "Bad!"),
    "path for a tenant": ("hear", __file__, "--tenant", "../x"),
}


@pytest.mark.parametrize("words", USAGE.values(), ids=USAGE)
def test_wrong_usage_is_2(earwitness, tmp_path, words, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")

    answer = earwitness(*words)

    assert (answer.exit_code, answer.stdout) == (2, "")
    assert answer.stderr


def test_wrong_settings_are_usage_and_all_named(earwitness, monkeypatch):
    monkeypatch.setenv("EARWITNESS_SLOTS", "many")
    monkeypatch.setenv("EARWITNESS_LEASE_S", "-1")

    answer = earwitness("ls")

    assert answer.exit_code == 2
    assert "EARWITNESS_SLOTS" in answer.stderr
    assert "EARWITNESS_LEASE_S" in answer.stderr


def test_add_hands_over_and_prints_ids(earwitness, world, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"one")
    (tmp_path / "b.wav").write_bytes(b"two")

    answer = earwitness("add", "a.wav", "b.wav", "--lane", "bulk", "--language", "de")

    events = [e.event for e in world.parts.uploads.events()]
    assert answer.exit_code == 0
    assert len(answer.stdout.split()) == 2
    assert "next `earwitness up`" in answer.stderr
    assert [e.name for e in events] == ["uploads/demo/a.wav", "uploads/demo/b.wav"]
    assert dict(events[0].metadata) == {"lane": "bulk", "language": "de"}


def test_add_json_is_what_the_recordings_will_be(earwitness, world, home, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"one")

    with claim(home):
        answer = earwitness("add", "a.wav", "--json")

    [draft] = recordings_in(answer)
    assert (draft.status, draft.recording.name) == (State.RECEIVED, "a.wav")
    assert answer.stderr == ""


def test_add_for_an_unknown_tenant_is_rejected_input(earwitness, tmp_path):
    (tmp_path / "a.wav").write_bytes(b"one")

    answer = earwitness("add", "a.wav", "--tenant", "nobody")

    assert (answer.exit_code, answer.stdout) == (4, "")
    assert "tenants set nobody --tier free" in answer.stderr


def test_backup_and_restore_speak_of_files(earwitness, world, tmp_path):
    made = world.done()

    saved = earwitness("backup", tmp_path / "b.tar")
    full = earwitness("restore", tmp_path / "b.tar")
    fresh = earwitness("restore", tmp_path / "b.tar", "--home", tmp_path / "new")
    shown = earwitness("show", made.id, "--home", tmp_path / "new")

    assert saved.stdout.strip() == str(tmp_path / "b.tar")
    assert (full.exit_code, fresh.exit_code, shown.exit_code) == (1, 0, 0)
    assert "not empty" in full.stderr


def test_restore_is_refused_while_somebody_serves(earwitness, home, tmp_path):
    with claim(home):
        assert earwitness("restore", tmp_path / "b.tar").exit_code == 1


def test_config_names_values_sources_and_no_secret(earwitness, monkeypatch):
    monkeypatch.setenv("EARWITNESS_SLOTS", "4")
    monkeypatch.setenv("EARWITNESS_ENGINES", '{"q": {"kind": "openai", "api_key": "sk-1234"}}')
    monkeypatch.setenv("EARWITNESS_SERVICE_URL", "http://joe:pa55@127.0.0.1:1")

    answer = earwitness("config", "show")
    document = json.loads(earwitness("config", "show", "--json").stdout)

    assert document["slots"] == {"value": 4, "source": "environment"}
    assert document["lease_s"]["source"] == "default"
    assert document["engines"]["value"]["q"] == {"kind": "openai", "api_key": "********"}
    assert [line for line in answer.stdout.splitlines() if line.split()[0] == "slots"]
    assert "http://joe:********@127.0.0.1:1" in answer.stdout
    assert "sk-1234" not in answer.output
    assert "pa55" not in answer.output


def test_doctor_looks_at_everything(earwitness):
    answer = earwitness("doctor")
    document = json.loads(earwitness("doctor", "--json").stdout)

    looked_at = [c["what"] for c in document["checks"]]
    assert answer.exit_code == (0 if all(c["ok"] for c in document["checks"]) else 1)
    assert {"python", "sqlite", "sandbox", "weights", "disk", "home", "store"} <= set(looked_at)
    assert len(answer.stdout.splitlines()) == len(looked_at)


def test_doctor_fails_where_something_is_wrong(earwitness, home):
    home.mkdir()
    (home / "earwitness.db").write_bytes(b"no database" * 1000)

    answer = earwitness("doctor")

    assert answer.exit_code == 1
    assert "PROBLEM  store     cannot be read" in answer.stdout


def test_second_up_says_where_the_first_is(earwitness, home):
    with claim(home):
        answer = earwitness("up")

    assert answer.exit_code == 1
    assert "just starting" in answer.stderr


@pytest.fixture
def failing():
    """A command that fails as it is told, for as long as the test runs."""
    command = click.Command("fail", callback=lambda: None)
    cli.add_command(command)
    yield command
    del cli.commands["fail"]


def raising(error):
    def fail():
        raise error

    return fail


def test_failure_that_is_understood_is_one_line(earwitness, failing):
    failing.callback = raising(DiskFull())

    answer = earwitness("fail")

    assert answer.exit_code == 1
    assert answer.stderr == f"{DiskFull()}\n"


def test_failure_that_is_not_understood_is_kept_whole(earwitness, failing, home):
    failing.callback = raising(ZeroDivisionError("a secret of the caller"))

    answer = earwitness("fail")

    [crash] = (home / "logs").glob("crash-*.log")
    assert answer.exit_code == 1
    assert len(answer.stderr.splitlines()) == 1
    assert "ZeroDivisionError" in answer.stderr
    assert str(crash) in answer.stderr
    assert "a secret of the caller" in crash.read_text()


def test_failure_that_cannot_be_kept_is_shown(earwitness, failing, home):
    home.write_text("a file where HOME should be")
    failing.callback = raising(ZeroDivisionError("whole"))

    assert "Traceback" in earwitness("fail").stderr


@pytest.mark.parametrize(
    "error",
    [
        FileExistsError(errno.EEXIST, "File exists", "/dev/null"),
        PermissionError(errno.EACCES, "Permission denied", "/somewhere"),
        OSError(errno.ENOSPC, "No space left on device"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_the_system_refuses_is_one_line_without_a_trace(earwitness, failing, home, error):
    """A HOME that is a file, or may not be written, showed a screen of traceback."""
    home.write_text("a file where HOME should be")
    failing.callback = raising(error)

    answer = earwitness("fail")

    assert answer.exit_code == 1
    assert answer.stderr == f"{error.filename or 'The output'}: {error.strerror}.\n"


def test_ctrl_c_is_said_in_a_word(earwitness, failing):
    failing.callback = raising(KeyboardInterrupt())

    answer = earwitness("fail")

    assert (answer.exit_code, answer.stderr.splitlines()[-1]) == (130, "Stopped.")


def test_version_is_told(earwitness):
    assert earwitness("--version").stdout.startswith("earwitness, version ")


@pytest.mark.parametrize(
    ("paths", "files"),
    [
        (["a/talk.wav", "b/talk.mp3"], ["talk-2.txt", "talk.txt"]),
        (["Talk.wav", "talk.wav"], ["Talk.txt", "talk-2.txt"]),
        (["talk.wav", "talk-2.wav", "x/talk.wav"], ["talk-2.txt", "talk-3.txt", "talk.txt"]),
        (["talk-2.wav", "a/talk.wav", "b/talk.wav"], ["talk-2.txt", "talk-3.txt", "talk.txt"]),
        (["x" * 200 + ".wav"], ["x" * 60 + ".txt"]),
    ],
    ids=["same stem", "case", "taken after", "taken before", "long"],
)
def test_no_two_inputs_get_one_file(world, tmp_path, paths, files):
    made = [world.done(path, path) for path in paths]

    _write(world.parts, made, "text", tmp_path / "out")

    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == files
    said = {(tmp_path / "out" / f).read_text().strip() for f in files}
    assert said == set(paths)


def test_only_json_is_written_of_what_was_not_heard(world, tmp_path):
    made = [world.done("talk.wav"), world.rejected("notes.txt")]

    _write(world.parts, made, "srt", tmp_path / "srt")
    _write(world.parts, made, "json", tmp_path / "json")

    assert names(tmp_path / "srt") == ["talk.srt"]
    assert sorted(names(tmp_path / "json")) == ["notes.json", "talk.json"]
    assert read((tmp_path / "json" / "notes.json").read_text()).status is State.REJECTED
