"""A deployment that hears passes; of one that does not it is said how far a recording came."""

import json
import os
import subprocess
import sys
from contextlib import suppress

import pytest

from deploy.entry_points import ROOT
from deploy.smoke import (
    TENANT,
    NotHeard,
    NotNoticed,
    NotTaken,
    Smoke,
    alike,
    environments,
)
from shared import wiring
from shared.domain.lanes import Lane
from shared.domain.tenants import Tier
from shared.errors import BrokerUnavailable
from shared.settings import load
from tests.journeys.running import ECHO, Up
from tests.sounds import tone_wav

#: What the echo engine says of any sound begins so.
SAID = "echo"


@pytest.fixture
def parts(tmp_path):
    return wiring.parts(load(home=tmp_path / "home"))


@pytest.fixture
def sound(tmp_path):
    path = tmp_path / "tone.wav"
    path.write_bytes(tone_wav(1.0))
    return path


class Day:
    """A clock that moves only when somebody waits, and what the deployment does meanwhile."""

    def __init__(self, *done):
        self.now, self.done = 0.0, list(done)

    def seconds(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds
        if self.done:
            self.done.pop(0)()


def noticing(parts):
    """What the function does with the bucket's event."""
    [upload] = parts.uploads.page()
    with suppress(BrokerUnavailable):  # nobody runs one: the bell waits in the outbox
        wiring.intake(parts)(upload)


def taking(parts):
    """What a worker does that is then busy for long."""
    parts.jobs.lease_next([Lane.LOW], "worker", parts.now(), 600.0)


def trying(parts, day, sound, said=SAID):
    return Smoke(parts, 60.0, 5.0, day.seconds, day.wait)(sound, "smoke/1.wav", said)


def test_a_drop_nobody_notices_leads_to_the_function(parts, sound):
    day = Day()

    with pytest.raises(NotNoticed, match=r"uploads/smoke/smoke/1.wav within 60 s.*on_audio_upl"):
        trying(parts, day, sound)

    assert day.now == 60.0


def test_a_recording_nobody_takes_leads_to_its_lane(parts, sound):
    day = Day(lambda: noticing(parts))

    with pytest.raises(NotHeard, match=r"is received in lane low; nothing took it within 60 s"):
        trying(parts, day, sound)


def test_what_is_heard_too_slowly_is_said_to_be_heard(parts, sound):
    day = Day(lambda: noticing(parts), lambda: taking(parts))

    with pytest.raises(NotHeard, match=r"0% of \S+ were heard within 60 s"):
        trying(parts, day, sound)


def test_a_refusal_ends_the_wait_at_once(parts, tmp_path):
    letter = tmp_path / "letter.wav"
    letter.write_bytes(b"Dear Sir or Madam, " * 20)
    day = Day(lambda: noticing(parts))

    with pytest.raises(NotTaken, match=r"is rejected: .*holds no audio"):
        trying(parts, day, letter)

    assert day.now == 5.0


def test_each_try_is_a_recording_of_its_own(parts, sound):
    for _ in range(2):
        with pytest.raises(NotNoticed):
            trying(parts, Day(), sound)

    assert len({upload.generation for upload in parts.uploads.page()}) == 2
    assert parts.tenants.get(TENANT).tier is Tier.FREE


@pytest.mark.parametrize(
    ("heard", "share"),
    [("Hello, and welcome!", 1.0), ("hello welcome", 2 / 3), ("", 0.0), ("Good night.", 0.0)],
)
def test_words_are_compared_not_their_marks(heard, share):
    assert alike(heard, "hello and WELCOME") == pytest.approx(share)


def test_a_stack_is_met_by_what_terraform_tells_its_workloads():
    printed = '{"home": {"EARWITNESS_BACKEND": "gcp", "EARWITNESS_PROJECT": "p"}}'

    [variables] = environments(printed).values()

    assert variables == {"EARWITNESS_BACKEND": "gcp", "EARWITNESS_PROJECT": "p"}


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    """A whole deployment on this machine; the echo engine hears."""
    running = Up(tmp_path_factory.mktemp("smoke") / "home", **ECHO)
    try:
        yield running.start()
    finally:
        running.end()


def command(home, *words):
    return subprocess.run(
        [sys.executable, "-m", "deploy.smoke", *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"EARWITNESS_HOME": str(home)},
        capture_output=True,
        text=True,
    )


def test_a_deployment_that_hears_passes(up, tmp_path):
    said = tmp_path / "said.txt"
    said.write_text(SAID)

    done = command(up.home, "--said", said, "--look-every", 0.05)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("this: echo")
    [known] = up.parts.recordings.page(TENANT)
    assert known.path.startswith("smoke/")


def test_a_transcript_of_something_else_does_not(up):
    done = command(up.home, "--look-every", 0.05)

    assert done.returncode == 1
    assert "was heard as 'echo" in done.stderr
    assert "Look into the log of the GPU service" in done.stderr


def test_a_deployment_that_never_answers_is_an_exit_with_a_sentence(sound, tmp_path):
    done = command(tmp_path / "home", "--sound", sound, "--patience", 0.2, "--look-every", 0.05)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "this: Nothing noticed" in done.stderr
    assert "Look into the log of the function on_audio_uploaded" in done.stderr


def test_one_silent_stack_of_two_is_a_failure_and_both_are_tried(up, tmp_path):
    stacks, said = tmp_path / "environments.json", tmp_path / "said.txt"
    homes = {"us": tmp_path / "us", "home": up.home}
    stacks.write_text(
        json.dumps({key: {"EARWITNESS_HOME": str(home)} for key, home in homes.items()})
    )
    said.write_text(SAID)
    words = ("--environments", stacks, "--said", said, "--patience", 20, "--look-every", 0.05)

    done = command(tmp_path, *words)

    assert done.returncode == 1
    assert "us: Nothing noticed" in done.stderr
    assert done.stdout.startswith("home: echo")


def test_settings_that_are_none_are_named(sound, tmp_path):
    stacks = tmp_path / "environments.json"
    stacks.write_text('{"home": {"EARWITNESS_BACKEND": "gcp"}}')

    done = command(tmp_path, "--environments", stacks, "--sound", sound)

    assert done.returncode == 1
    assert "EARWITNESS_PROJECT is not set" in done.stderr


def test_the_archives_packages_are_all_it_imports(deployed):
    """The apply build installs those of requirements/functions.txt and no others."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import deploy.smoke; print('there')"

    assert deployed.python(code).strip() == "there"
