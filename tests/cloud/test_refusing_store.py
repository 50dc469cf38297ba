"""R11: a store that refuses for a while costs nothing, and nobody has to be restarted.

The outage here is as long as our own patience with Firestore and a little; a longer one differs
in nothing but the number of deliveries: each ends in the same refusal, and the platform delivers
again for 24 hours (functions) or 100 times (tickets).
"""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from functions_framework import create_app as function_app

import functions.main as source
from gpu_service.main import create_app as service_app
from local import push_keys
from local.cloud_events import storage_finalized
from local.push_keys import PushKeys
from shared import wiring
from shared.domain.states import State
from shared.errors import StoreUnavailable
from shared.settings import load
from tests.cloud.gate import Gate
from tests.sounds import speech, tone_wav

#: Deliveries until one must have been taken: gRPC itself waits longer and longer (a second, then
#: 1.6 times as long each time) before it tries to connect again.
MOST_DELIVERIES = 6
#: So short that a lease runs out while the store refuses.
LEASE_S = 3.0


class Gated(dict):
    """The variables of an emulator behind a gate."""

    gate: Gate


@pytest.fixture
def firestore_emulator(firestore_emulator):
    gate = Gate(firestore_emulator["FIRESTORE_EMULATOR_HOST"])
    variables = Gated(FIRESTORE_EMULATOR_HOST=f"127.0.0.1:{gate.port}")
    variables.gate = gate
    yield variables
    gate.shut()


@pytest.fixture
def gate(firestore_emulator):
    return firestore_emulator.gate


@pytest.fixture
def arrive(cloud):
    """Deliver an event to the function, as Eventarc does; the status it answers."""
    app = function_app("on_audio_uploaded", str(Path(source.__file__)), "cloudevent")
    app.testing = False

    def post(event):
        return app.test_client().post("/", headers=dict(event.headers), data=event.body).status_code

    return post


@pytest.fixture
def ring(cloud, tmp_path):
    """Push a ticket to the service, as Pub/Sub does; the status it answers."""
    keys = PushKeys(tmp_path / "keys", wiring.clock)
    settings = load(
        cascade={"transcribe": ["echo"], "classify": []},
        slots=2,
        decoders=1,
        lease_s=LEASE_S,
        push_issuer=push_keys.ISSUER,
        push_email=push_keys.EMAIL,
        push_subject=push_keys.SUBJECT,
        push_keys=str(keys.jwks),
    )
    ticket = base64.b64encode(json.dumps({"v": 1, "lane": "low"}).encode()).decode()
    headers = {"authorization": keys.authorization()}
    with TestClient(service_app(settings)) as service:

        def post():
            body = {"message": {"data": ticket, "messageId": "1"}, "subscription": "s"}
            return service.post("/pubsub/tickets", json=body, headers=headers).status_code

        yield post


def delivered(send, *again):
    """The statuses of all deliveries until one is taken."""
    seen = []
    while len(seen) < MOST_DELIVERIES and not (seen and seen[-1] < 300):
        seen.append(send(*again))
    return seen


def test_an_event_and_a_ticket_in_an_outage_come_again_and_the_job_ends(cloud, gate, arrive, ring):
    first = storage_finalized(cloud.drop(tone_wav(1.0), "uploads/acme/before.wav"))
    assert arrive(first) == 200
    second = storage_finalized(cloud.drop(tone_wav(2.0), "uploads/acme/meanwhile.wav"))

    gate.shut()
    with ThreadPoolExecutor() as pool:
        refused = [pool.submit(arrive, second), pool.submit(ring)]
        statuses = [one.result() for one in refused]
    gate.open()
    events, tickets = delivered(arrive, second), delivered(ring)
    tickets += delivered(ring)

    assert statuses == [500, 503]
    assert (events[-1], tickets[-1]) == (200, 204)
    known = cloud.parts.recordings.page()
    assert {r.path: (r.state, r.attempts) for r in known} == {
        "before.wav": (State.DONE, 1),
        "meanwhile.wav": (State.DONE, 1),
    }
    told = cloud.topics.bodies("recording-events", 2)
    assert sorted(one["recording_id"] for one in told) == sorted(r.id for r in known)
    assert cloud.parts.outbox.pending() == []


@pytest.mark.slow
def test_a_store_that_refuses_in_the_middle_of_the_work_loses_neither_job_nor_result(
    cloud, gate, arrive, ring
):
    """Nothing can be recorded then, not even that the job is given back: its lease runs out."""
    assert arrive(storage_finalized(cloud.drop(speech("Good morning.")))) == 200

    gate.shut_at(b"/passages/")
    refused = ring()
    gate.open()
    reconcile = wiring.reconcile(cloud.parts)
    seen = []
    while len(seen) < MOST_DELIVERIES and not heard(cloud):
        seen += delivered(reconciled, reconcile)
        seen += delivered(ring)

    assert gate.fell.is_set()
    assert refused == 503
    [known] = cloud.parts.recordings.page()
    assert known.state is State.DONE
    assert json.loads(cloud.parts.results.load(known.result, "result.json"))["status"] == "done"
    [told] = cloud.topics.bodies("recording-events", 1)
    assert told["type"] == "recording.done"
    cloud.topics.taken("inference-metrics", 1)


def heard(cloud):
    try:
        return cloud.parts.recordings.page()[0].state is State.DONE
    except StoreUnavailable:
        return False


def reconciled(reconcile):
    """The status of a tick."""
    try:
        reconcile()
    except StoreUnavailable:
        return 500
    return 200
