"""The archive as the cloud runs it: the backend gcp, on Google's emulators."""

import json
import os

import pytest

from local.cloud_events import PubsubMessage, message_published, storage_finalized
from shared.domain.states import State
from tests.functions.deployment import Function
from tests.sounds import silence_wav

OF_THE_CLOUD = ("EARWITNESS_", "GOOGLE_CLOUD_PROJECT")


@pytest.fixture
def variables(cloud):
    """What the platform would set for the function."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(OF_THE_CLOUD) or name.endswith("_EMULATOR_HOST")
    }


@pytest.fixture
def started(deployed, variables, tmp_path):
    """Start entry points as the platform does; each is ended by its pid."""
    running = []

    def start(name):
        running.append(Function(deployed, name, tmp_path / f"{name}.log", **variables))
        return running[-1].until_ready()

    yield start
    for one in running:
        one.end()


def test_clients_made_at_start_serve_in_the_forked_worker(cloud, started):
    """The framework loads main.py, then gunicorn forks: gRPC's channels must survive that."""
    event = storage_finalized(cloud.drop(silence_wav(2.0)))
    function = started("on_audio_uploaded")

    codes = [function.post(event.headers, event.body) for _ in range(2)]

    [known] = cloud.parts.recordings.page()
    assert codes == [200, 200]
    assert known.state is State.QUEUED
    assert cloud.topics.bodies("lane-low", 1) == [{"v": 1, "lane": "low"}]


def test_a_tick_is_settled_in_the_cloud(cloud, started):
    tick = message_published("ticks", PubsubMessage("1", "e30=", {}, "2026-01-01T00:00:00.000Z"))

    assert started("reconcile").post(tick.headers, tick.body) == 200


def test_a_dead_letter_is_logged_in_the_cloud(cloud, started):
    letter = PubsubMessage("1", "eyJtZXNzYWdlIjogIkl0IGRpZWQuIn0=", {}, "2026-01-01T00:00:00.000Z")
    event = message_published("jobs-dead", letter)
    function = started("on_job_dead")

    assert function.post(event.headers, event.body) == 200
    assert "dead letter: It died." in function.log.read_text()


FIRST_REQUEST = """
import json, os, sys
from functions_framework import create_app

app = create_app("on_audio_uploaded", "main.py", "cloudevent")
from shared import wiring
at_start = wiring.from_environment.cache_info()
before = set(sys.modules)
answer = app.test_client().post(
    "/", headers=json.loads(os.environ["HEADERS"]), data=os.environ["BODY"].encode()
)
after = wiring.from_environment.cache_info()
late = sorted(m for m in sys.modules.keys() - before if m.startswith(("google.", "grpc")))
print(json.dumps([answer.status_code, at_start.currsize, after.misses, late]))
"""


def test_clients_are_built_at_start_not_in_the_first_request(cloud, deployed, variables):
    event = storage_finalized(cloud.drop(silence_wav(2.0)))

    said = deployed.python(
        FIRST_REQUEST, HEADERS=json.dumps(event.headers), BODY=event.body.decode(), **variables
    )

    status, built_at_start, built, imported_late = json.loads(said.splitlines()[-1])
    assert (status, built_at_start, built) == (200, 1, 1)
    assert imported_late == []
