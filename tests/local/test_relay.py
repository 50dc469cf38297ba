"""The relay before the real service, and before none."""

import base64
import http.client
import json
import threading
from urllib.parse import urlsplit

import pytest
import uvicorn

from gpu_service.main import create_app
from gpu_service.slots import Slots
from local import push_keys
from local.emulated.relay import MAX_BYTES, Relay
from local.push_keys import PushKeys
from shared.adapters.embedded.posts import Posts
from shared.settings import load
from shared.wiring import clock
from tests.journeys.running import until


@pytest.fixture
def keys(tmp_path):
    return PushKeys(tmp_path / "keys", clock)


@pytest.fixture
def service(tmp_path, keys):
    """The real app on a port; nothing is to be heard, so no decoder is started."""
    app = create_app(
        load(
            home=tmp_path / "home",
            push_issuer=push_keys.ISSUER,
            push_email=push_keys.EMAIL,
            push_subject=push_keys.SUBJECT,
            push_keys=str(keys.jwks),
            cascade={"transcribe": ["echo"], "classify": []},
        )
    )
    server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started)
    app.state.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield app
    server.should_exit = True
    thread.join()


@pytest.fixture
def relay_to():
    started = []

    def relay(url, keys):
        started.append(Relay(Posts(lambda: url, 10), keys))
        started[-1].start()
        return started[-1].url

    yield relay
    for one in started:
        one.stop()


#: A push as the emulator sends it: no token, no deliveryAttempt.
PUSH = {
    "message": {
        "attributes": {},
        "data": base64.b64encode(b'{"v": 1, "lane": "high"}').decode(),
        "messageId": "1",
        "message_id": "1",
        "publishTime": "2026-03-01T12:00:00Z",
        "publish_time": "2026-03-01T12:00:00Z",
    },
    "subscription": "projects/p/subscriptions/lane-high",
}


def post(url, body=b"", path=None, **headers):
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
    try:
        connection.request("POST", path or address.path, body or json.dumps(PUSH), headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_a_push_without_a_token_reaches_the_service_with_ours(service, keys, relay_to):
    assert post(service.state.url, path="/pubsub/tickets") == 403
    assert post(relay_to(service.state.url, keys)) == 204
    assert service.state.house.pushes == {"forged_ticket": 1, "nothing": 1}


def test_the_services_answer_comes_back_as_it_is(service, keys, tmp_path, relay_to):
    strange = PushKeys(tmp_path / "strange", clock)
    url = relay_to(service.state.url, keys)

    assert post(relay_to(service.state.url, strange)) == 403
    assert post(url, b"no ticket") == 204
    service.state.house.slots = Slots(0, room=0)
    assert post(url) == 429
    assert dict(service.state.house.pushes) == {
        "forged_ticket": 1,
        "invalid_event": 1,
        "service_full": 1,
    }


def test_a_service_that_is_away_is_rung_again(keys, relay_to):
    assert post(relay_to("http://127.0.0.1:9", keys)) == 503


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/livez", {}),
        ("/pubsub/tickets/", {}),
        (None, {"origin": "https://evil.example"}),
        (None, {"host": "evil.example"}),
        (None, {"content-length": str(MAX_BYTES + 1)}),
    ],
)
def test_what_is_no_push_of_this_machine_is_refused(service, keys, relay_to, path, headers):
    assert post(relay_to(service.state.url, keys), path=path, **headers) == 403
    assert not service.state.house.pushes
