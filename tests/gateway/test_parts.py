"""The small parts: keys, ULIDs, words, time lines."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from gateway import secrets, wording
from gateway.main import create_app
from gateway.secrets import agreed, secret
from gateway.timeline import MAX_LANES, MIN_WIDTH, WIDTH, lanes, ticks
from shared.domain.answers import Task
from shared.domain.cascade import Verdict
from shared.domain.permits import Brought, Permit
from shared.domain.result import Sound, Step
from shared.domain.spending import Refusal
from shared.domain.states import State
from shared.domain.synthesis import Strategy
from shared.domain.ulids import ULID, ulid
from tests.builders import NOW


def test_secret_is_made_once_and_is_its_owners_only(tmp_path):
    path = tmp_path / "keys" / "page.token"

    first, second = secret(path), secret(path)

    assert first == second
    assert len(bytes.fromhex(first)) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o077 == 0
    assert [file.name for file in path.parent.iterdir()] == ["page.token"]


def test_secret_asked_for_at_once_is_one(tmp_path):
    path = tmp_path / "upload.key"

    with ThreadPoolExecutor(16) as threads:
        found = set(threads.map(secret, [path] * 64))

    assert len(found) == 1


def test_who_comes_second_keeps_the_secret_of_the_first(tmp_path):
    first = secret(tmp_path / "page.token")

    secrets._make(tmp_path / "page.token")

    assert secret(tmp_path / "page.token") == first
    assert len(list(tmp_path.iterdir())) == 1


def test_two_homes_have_two_secrets(tmp_path):
    assert secret(tmp_path / "a") != secret(tmp_path / "b")


def test_keys_survive_a_restart(app, settings):
    again = create_app(settings)

    permit = Permit("uploads/demo/" + "0" * 26, "audio/wav", 1, {})
    first, second = (
        one.state.permits.sign(permit, "http://h", timedelta(minutes=1)) for one in (app, again)
    )
    opened = again.state.permits.opened(
        Brought(
            first.method,
            urlsplit(first.url).path,
            urlsplit(first.url).query,
            {"host": "h"} | {name.lower(): value for name, value in first.headers.items()},
        )
    )

    assert again.state.page_token == app.state.page_token
    assert opened == permit
    assert second.headers == first.headers


def test_instances_that_share_a_store_share_the_secret_of_the_first(app):
    bookmarks = app.state.parts.bookmarks

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda n: agreed(bookmarks, "a", f"secret {n}"), range(8)))

    assert len(set(found)) == 1
    assert agreed(bookmarks, "a", "late") == found[0]
    assert agreed(bookmarks, "b", "another") == "another"


@pytest.mark.parametrize(
    ("at", "entropy", "expected"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), bytes(10), "0" * 26),
        # The example of github.com/ulid/spec: 1469918176385 ms.
        (datetime(2016, 7, 30, 22, 36, 16, 385000, tzinfo=UTC), bytes(10), "01ARYZ6S41" + "0" * 16),
        (datetime(1970, 1, 1, tzinfo=UTC), b"\xff" * 10, "0" * 10 + "Z" * 16),
    ],
)
def test_ulid_is_as_specified(at, entropy, expected):
    assert ulid(at, entropy) == expected
    assert ULID.fullmatch(expected)


def test_ulids_sort_by_time():
    made = [ulid(NOW + timedelta(milliseconds=n), os.urandom(10)) for n in range(50)]

    assert made == sorted(made)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"),
        (0.0, "0:00"),
        (7.9, "0:07"),
        (59.9, "0:59"),
        (60.0, "1:00"),
        (754.0, "12:34"),
        (3599.9, "59:59"),
        (3600.0, "1:00:00"),
        (3723.0, "1:02:03"),
    ],
)
def test_lengths_are_said_as_clocks_do(seconds, said):
    assert wording.clock(seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.0, "0"), (12.3, "12.3"), (12.345, "12.35"), (1e-5, "0"), (1e4, "10000")],
)
def test_moments_in_addresses_have_no_exponents(seconds, said):
    assert wording.moment(seconds) == said


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_900, "999.9 kB"),
        (1_000_000, "1.0 MB"),
        (5_000_000_000, "5.0 GB"),
    ],
)
def test_sizes_are_decimal(size, said):
    assert wording.size(size) == said


def test_percent_and_language_and_decibel():
    assert (wording.percent(None), wording.percent(0.934)) == ("–", "93 %")
    assert (wording.language(None), wording.language("de"), wording.language("tlh")) == (
        "–",
        "German",
        "tlh",
    )
    assert wording.decibel(None, "dBFS") == "digital silence"
    assert wording.decibel(-12.04, "dBFS") == "−12.0 dBFS"


@pytest.mark.parametrize(
    ("snippet", "shown"),
    [
        ("a \x02dog\x03 barked", "a <mark>dog</mark> barked"),
        ("<b>\x02<i>\x03", "&lt;b&gt;<mark>&lt;i&gt;</mark>"),
        ("\x03lost\x02", "lost"),
        ("\x02\x02twice\x03\x03", "<mark>twice</mark>"),
        ("'\"&", "&#39;&#34;&amp;"),
    ],
)
def test_snippets_are_escaped_before_they_are_marked(snippet, shown):
    assert str(wording.marked(snippet)) == shown


def test_commands_in_messages_are_code_and_the_rest_is_escaped():
    assert str(wording.coded("use `<ls>` & go")) == "use <code>&lt;ls&gt;</code> &amp; go"


def test_every_state_has_a_look():
    assert set(wording.LOOKS) == set(State)


def step(verdict, reason, task=Task.TRANSCRIBE, engine="whisper", segment=0, **more):
    return Step(segment=segment, task=task, engine=engine, verdict=verdict, reason=reason, **more)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([], []),
        (
            [step(Verdict.ACCEPT, "uncalibrated"), step(Verdict.ACCEPT, "uncalibrated", segment=1)],
            [
                "whisper, writing down speech: 2 stretches accepted and marked:"
                " its confidence is not calibrated."
            ],
        ),
        (
            [step(Verdict.ESCALATE, "engine_died"), step(Verdict.REVIEW, "low_confidence")],
            [
                "whisper, writing down speech: 1 stretch not answered (engine died),"
                " so the next engine was asked.",
                "whisper, writing down speech: 1 stretch kept for a person to review:"
                " nobody was sure enough.",
            ],
        ),
        (
            [step(Verdict.REVIEW, "engine_died", Task.DESCRIBE, "gama")],
            [
                "gama, describing: 1 stretch kept for a person to review:"
                " nobody else answered (engine died)."
            ],
        ),
    ],
)
def test_decisions_are_told_in_sentences(steps, said):
    assert wording.decisions(steps) == said


def test_what_alike_steps_cost_is_told_together():
    paid = [step(Verdict.ACCEPT, "confident", segment=n, cost_usd=0.0021) for n in range(2)]

    assert wording.decisions(paid) == [
        "whisper, writing down speech: 2 stretches accepted: it was sure enough."
        " It cost 0.0042 USD."
    ]


def test_every_reason_of_ours_has_words_of_its_own():
    strategies = {strategy.value for strategy in Strategy}
    weighed = {"low_confidence", "uncalibrated", "coverage", "no_words"}

    assert set(Refusal) | weighed | {"degraded", "breaker_open"} <= set(wording.PASSED)
    assert {"confident", "uncalibrated", "aligned", "unplaced"} | strategies <= set(
        wording.ACCEPTED
    )
    assert weighed | strategies <= set(wording.REVIEWED)
    assert set(wording.TASKS) == set(Task)


def sound(label, start, end):
    return Sound(label=label, start_s=start, end_s=end, confidence=None)


def test_lanes_lie_where_the_sounds_are():
    (speech, bark) = lanes([sound("bark", 0, 1), sound("speech", 5, 10)], 10.0)

    assert (speech.label, bark.label) == ("speech", "bark")
    assert (speech.marks[0].x, speech.marks[0].width) == (WIDTH // 2, WIDTH // 2)


@pytest.mark.parametrize("start", [0.0, 5.0, 9.999, 10.0])
def test_short_sounds_can_be_seen_and_stay_inside(start):
    (lane,) = lanes([sound("click", start, start)], 10.0)

    (mark,) = lane.marks
    assert mark.width == MIN_WIDTH
    assert 0 <= mark.x <= WIDTH - mark.width


@pytest.mark.parametrize("number", [MAX_LANES, MAX_LANES + 1])
def test_rare_labels_share_the_last_lane(number):
    drawn = lanes([sound(f"label {n:02}", n, n + 1) for n in range(number)], 60.0)

    assert len(drawn) == MAX_LANES
    assert (drawn[-1].label == "other") is (number > MAX_LANES)
    assert sum(len(lane.marks) for lane in drawn) == number


def test_nothing_heard_is_no_lane():
    assert lanes([], 10.0) == []
    assert lanes([sound("x", 0, 0)], 0.0)[0].marks[0].x == 0


def test_ticks_go_from_start_to_end():
    assert ticks(20.0) == [0.0, 5.0, 10.0, 15.0, 20.0]
