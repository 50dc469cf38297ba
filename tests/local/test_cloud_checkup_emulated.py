"""The same checks on Google's emulators, and what the command says where nobody may look."""

import json
from contextlib import suppress

import pytest
import requests
from click.testing import CliRunner

from local.cli import cli
from local.cloud_checkup import checkup
from local.cloud_checkup.deployment import Deployment
from local.cloud_checkup.rest import rest
from shared.settings import load
from tests.emulators import reached
from tests.local import cloud_project as cloud


@pytest.fixture
def emulated(pubsub_emulator, storage_emulator, monkeypatch, home):
    """Topics, subscriptions and buckets as Terraform makes them, made on the emulators."""
    variables = pubsub_emulator | storage_emulator
    reached(variables, monkeypatch)
    made = Emulated(variables)
    yield made
    made.clear()


class Emulated:
    def __init__(self, variables):
        self._messages = f"http://{variables['PUBSUB_EMULATOR_HOST']}/v1"
        self._files = f"{variables['STORAGE_EMULATOR_HOST']}/storage/v1/b"
        for noun in cloud.TOPICS:
            _done(requests.put(f"{self._messages}/{cloud.topic(noun)}"))
        for one in cloud.subscriptions():
            _done(requests.put(f"{self._messages}/{one['name']}", json=_as_asked(one)))
        for noun in cloud.NOUNS:
            _done(requests.post(self._files, json={"name": f"{cloud.PROJECT}-ew-{noun}"}))

    def drop(self, what):
        _done(requests.delete(f"{self._messages}/{what}"))

    def drop_bucket(self, name):
        _done(requests.delete(f"{self._files}/{name}"))

    def problems(self, name):
        d = Deployment(rest(cloud.PROJECT), load(**cloud.SETTINGS))
        return [f.said for f in checkup.READING[name](d) if f.ok is False]

    def clear(self):
        for one in cloud.subscriptions():
            requests.delete(f"{self._messages}/{one['name']}")
        for noun in cloud.TOPICS:
            requests.delete(f"{self._messages}/{cloud.topic(noun)}")
        for noun in cloud.NOUNS:
            with suppress(AssertionError):
                self.drop_bucket(f"{cloud.PROJECT}-ew-{noun}")


def _done(answer):
    assert answer.ok, answer.text


def _as_asked(subscription):
    return {k: v for k, v in subscription.items() if k not in ("name", "state")}


def test_what_terraform_lays_out_is_found_on_the_emulator(emulated):
    assert emulated.problems("topics") == []
    assert emulated.problems("subscriptions") == []


def test_a_topic_that_was_deleted_is_named(emulated):
    emulated.drop(cloud.topic("recording-events"))

    assert emulated.problems("topics") == [
        "the topic ew-recording-events is missing; `terraform apply` makes it"
    ]


def test_a_subscription_that_was_deleted_is_named(emulated):
    emulated.drop(f"{cloud.PARENT}/subscriptions/ew-lane-high")

    [said] = emulated.problems("subscriptions")
    assert said.startswith("nothing is subscribed to ew-lane-high")


def test_a_bucket_that_was_deleted_is_named(emulated):
    """fake-gcs-server knows nothing of uniform access; whether a bucket is there, it knows."""
    emulated.drop_bucket(f"{cloud.PROJECT}-ew-weights")

    missing = [said for said in emulated.problems("buckets") if "is missing" in said]
    assert missing == [
        f"the bucket {cloud.PROJECT}-ew-weights is missing; `terraform apply` makes it"
    ]


@pytest.fixture
def told(monkeypatch):
    """The settings of a project, and no login of whoever runs the tests."""

    def tell(**changes):
        for name, value in {**cloud.SETTINGS, **changes}.items():
            monkeypatch.setenv(f"EARWITNESS_{name.upper()}", value)

    return tell


def test_without_a_login_one_sentence_says_what_to_do(home, told, tmp_path, monkeypatch):
    told()
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "PUBSUB_EMULATOR_HOST", "STORAGE_EMULATOR_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    monkeypatch.setenv("NO_GCE_CHECK", "true")

    ran = CliRunner().invoke(cli, ["doctor", "--backend", "gcp"])

    assert (ran.exit_code, ran.stdout) == (1, "")
    assert ran.stderr == (
        "Google does not know who this is. Run `gcloud auth application-default login`, and try"
        " again.\n"
    )


def test_settings_that_are_missing_are_named(home):
    ran = CliRunner().invoke(cli, ["doctor", "--backend", "gcp"])

    assert ran.exit_code == 2
    assert "EARWITNESS_PROJECT is not set" in ran.stderr


def test_what_has_no_emulator_is_left_open_and_a_problem_is_status_1(emulated, told):
    told()
    emulated.drop(cloud.topic("recording-events"))

    ran = CliRunner().invoke(cli, ["doctor", "--backend", "gcp", "--no-push", "--json"])

    found = json.loads(ran.stdout)["checks"]
    by_name = {f["what"]: f["ok"] for f in found}
    assert ran.exit_code == 1
    assert (by_name["apis"], by_name["indexes"]) == (None, None)
    assert (by_name["topics"], by_name["subscriptions"]) == (False, True)
    assert "push" not in by_name
    assert by_name["unproved"] is None


def test_the_one_thing_it_does_is_said_first(emulated, told):
    told()

    ran = CliRunner().invoke(cli, ["doctor", "--backend", "gcp"])

    assert ran.stderr.startswith("Looks, and changes nothing; only the lane low is rung once")
    assert f"ok       subscriptions  {6} as they should be" in ran.stdout
    assert "open     push " in ran.stdout
