"""The line to the GPU service: who is let through, what hangs up what, and what is said of it."""

import asyncio
import socket
import threading
from contextlib import contextmanager
from dataclasses import replace

import httpx
import jwt
import msgspec
import openai
import pytest
from fastapi.testclient import TestClient

from gateway.main import create_app
from gateway.upstream import Upstream
from gpu_service.openai_api.calls import CallerGone
from gpu_service.openai_api.routes import ROUND_S
from gpu_service.slots import Slots
from local.push_keys import PushKeys
from shared.adapters.embedded.home_identity import read_key
from shared.domain.lanes import Lane
from shared.errors import EngineDied, EngineUnavailable, InvalidSettings
from shared.flows.ask import Ask
from shared.flows.listen import Listen
from shared.wiring import clock, gateway_identity
from tests.flows.ears import SmallEars, plainly, survey
from tests.gateway.serving import gateway
from tests.journeys.running import until
from tests.sounds import speech
from tests.streaming.conftest import given
from tests.streaming.serving import running

FILE = {"file": ("a.wav", speech("Good morning."))}


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return given(tmp_path_factory.mktemp("home"), engines={"other": {"kind": "echo"}})


@pytest.fixture(scope="module")
def service(settings):
    with running(settings) as up:
        yield up


@pytest.fixture
def api(service):
    """What the routes of the service stand on, put back afterwards."""
    before = service.app.state.openai_api
    yield service.app.state
    service.app.state.openai_api = before


@pytest.fixture(scope="module")
def url(settings, service):
    found = msgspec.structs.replace(settings, service_url=f"http://{service.address}")
    with gateway(found) as address:
        yield address


def hear(url, **more):
    return httpx.post(
        f"{url}/v1/audio/transcriptions", files=FILE, data={"model": "echo"} | more, timeout=60
    )


def test_the_service_hears_for_the_gateway_only(service, settings):
    def asked(**headers):
        base = f"http://{service.address}"
        named = {"x-earwitness-tenant": "demo"} | headers
        return httpx.get(f"{base}/v1/models", headers=named).status_code

    ours = gateway_identity(settings).authorization()
    pushing = PushKeys(settings.home / "keys", clock).authorization()
    forged = jwt.encode({"sub": "local-gateway"}, "x" * 32, algorithm="HS256")

    assert asked(Authorization=ours) == 200
    assert asked() == 403
    assert asked(Authorization=f"Bearer {forged}") == 403
    assert asked(Authorization=pushing) == 403  # who may ring for work may not hear


def test_a_service_that_knows_no_gateway_hears_for_nobody(settings, tmp_path):
    lonely = msgspec.structs.replace(settings, home=tmp_path, gateway_email="")
    with running(lonely) as up, gateway(with_service(settings, up.address)) as url:
        answer = hear(url)

    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "service_unreachable")


def test_a_caller_cannot_choose_another_tenant(url):
    answer = httpx.post(
        f"{url}/v1/audio/transcriptions",
        files=FILE,
        data={"model": "echo"},
        headers={"x-earwitness-tenant": "nobody", "X-Earwitness-Tenant": "nobody"},
    )

    assert answer.status_code == 200  # the gateway's word, demo, is the only one told


def test_a_full_service_is_a_rate_limit_error_that_says_when_to_come_back(service, url):
    house, before = service.app.state.house, service.app.state.house.slots
    house.slots = Slots(0, patience_s=0.001)
    try:
        with (
            openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as client,
            pytest.raises(openai.RateLimitError) as refused,
        ):
            client.audio.transcriptions.create(file=FILE["file"], model="echo")
    finally:
        house.slots = before

    assert refused.value.code == "rate_limit_exceeded"
    assert int(refused.value.response.headers["retry-after"]) > 0
    assert hear(url).status_code == 200


class Pausing(SmallEars):
    """Answers when let go, and keeps what tells whether the caller is still there."""

    def __init__(self):
        # Each segment is longer than what is asked together: a question of its own.
        super().__init__(survey=survey(5, each_s=ROUND_S))
        self.go = threading.Event()

    @contextmanager
    def open(self, sound, *, alive, **told):
        self.alive = alive
        with super().open(sound, alive=alive, **told) as opened:
            yield opened

    def ask(self, *question):
        answers = super().ask(*question)
        self.go.wait(60)
        return answers

    @property
    def abandoned(self):
        try:
            self.alive()
        except CallerGone:
            return True
        return False


def listening_to(api, ears):
    api.openai_api = replace(api.openai_api, listen=Listen(ears, Ask()))


def scripted(script, segments):
    return SmallEars(survey=survey(segments), script=script)


@pytest.mark.parametrize("stream", ["true", "false"])
async def test_a_caller_that_hangs_up_costs_no_further_question(service, api, url, stream):
    house, ears = service.app.state.house, Pausing()
    listening_to(api, ears)
    async with httpx.AsyncClient() as client:
        data = {"model": "echo", "stream": stream}
        call = asyncio.create_task(
            client.post(f"{url}/v1/audio/transcriptions", files=FILE, data=data, timeout=60)
        )
        await asyncio.to_thread(until, lambda: ears.asked)
        call.cancel()
        await asyncio.wait([call])

    await asyncio.to_thread(until, lambda: ears.abandoned)
    ears.go.set()
    await asyncio.to_thread(until, lambda: house.slots.taken == 0)
    assert len(ears.asked) == 1
    assert house.admission.inside_s == 0.0


async def test_a_caller_that_hangs_up_in_line_leaves_the_line(service, url):
    house, before = service.app.state.house, service.app.state.house.slots
    house.slots = slots = Slots(0, patience_s=60)
    try:
        async with httpx.AsyncClient() as client:
            call = asyncio.create_task(
                client.post(f"{url}/v1/audio/transcriptions", files=FILE, data={"model": "echo"})
            )
            await asyncio.to_thread(until, lambda: slots.waits(Lane.HIGH))
            call.cancel()
            await asyncio.wait([call])
        await asyncio.to_thread(until, lambda: not slots.waits(Lane.HIGH))
    finally:
        house.slots = before

    assert house.admission.inside_s == 0.0


def test_a_stream_is_told_as_it_is_decided_not_at_the_end(api, url):
    """The first delta comes while the second answer is still held back."""
    held = threading.Event()

    def one_then_wait(engine, task, segments):
        if segments[0].index:
            held.wait(60)
        return plainly(engine, task, segments)

    listening_to(api, scripted(one_then_wait, 2))
    with openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as client:
        stream = client.audio.transcriptions.create(file=FILE["file"], model="echo", stream=True)
        first = next(stream)
        held.set()
        rest = list(stream)

    assert first.delta == "echo heard 0"
    assert [e.type for e in rest] == ["transcript.text.delta", "transcript.text.done"]
    assert rest[-1].text == "echo heard 0 echo heard 1"


def test_a_failure_in_the_middle_of_a_stream_is_its_last_event(api, url):
    def dies(engine, task, segments):
        if segments[0].index:
            raise EngineDied
        return plainly(engine, task, segments)

    listening_to(api, scripted(dies, 3))
    with openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as client:
        stream = client.audio.transcriptions.create(file=FILE["file"], model="echo", stream=True)

        assert next(stream).delta == "echo heard 0"
        with pytest.raises(openai.APIError, match="engine's process died"):
            next(stream)


def test_an_engine_that_fails_is_a_server_error_in_their_shape(api, url):
    def fails(engine, task, segments):
        raise EngineUnavailable

    listening_to(api, scripted(fails, 1))

    answer = hear(url)

    assert answer.status_code == 503
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert "retry-after" in answer.headers


def test_a_service_that_stops_says_so(service, api, url):
    house = service.app.state.house
    house.stopping = True
    try:
        answer = hear(url)
    finally:
        house.stopping = False

    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "service_stopping")


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{}", {"Content-Type": "application/json"}, 415),
        (b"x", {"Content-Type": "multipart/form-data"}, 400),
        (b"garbage", {"Content-Type": "multipart/form-data; boundary=b"}, 400),
        (b"--b\r\n\r\n", {"Content-Type": "multipart/form-data; boundary=b"}, 400),
    ],
)
def test_what_is_no_form_is_refused(url, content, headers, status):
    answer = httpx.post(f"{url}/v1/audio/transcriptions", content=content, headers=headers)

    assert answer.status_code == status
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "files",
    [
        [("sound", ("a.wav", b"x"))],
        [("file", ("a.wav", b"x")), ("file", ("b.wav", b"x"))],
        [("model", (None, "echo"))],
    ],
)
def test_one_file_is_wanted(url, files):
    answer = httpx.post(f"{url}/v1/audio/transcriptions", files=files)

    assert answer.status_code == 400


def test_a_body_without_a_length_is_streamed_through(url):
    """Chunked from the caller to the service; nothing waits for its end to know its size."""
    form = httpx.Request("POST", url, files=FILE, data={"model": "echo"})
    form.read()

    answer = httpx.post(
        f"{url}/v1/audio/transcriptions",
        content=iter([form.content[:1000], form.content[1000:]]),
        headers={"Content-Type": form.headers["content-type"]},
    )

    assert answer.json()["text"].startswith("echo ")


def with_service(settings, address):
    return msgspec.structs.replace(settings, service_url=f"http://{address}")


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_a_service_that_is_not_there_is_a_bad_gateway(settings):
    with gateway(with_service(settings, f"127.0.0.1:{free_port()}")) as url:
        answer = hear(url)

    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "service_unreachable")


def test_a_gateway_without_a_service_says_so(settings):
    with (
        gateway(settings) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as client,
        pytest.raises(openai.InternalServerError) as refused,
    ):
        client.models.list()

    assert refused.value.status_code == 502


def test_a_signing_key_is_needed_where_it_is_named(settings, tmp_path):
    (tmp_path / "none.pem").write_text("no key")
    for path in (tmp_path / "none.pem", tmp_path / "missing.pem"):
        assert read_key(path) is None
        with pytest.raises(InvalidSettings, match="SIGNING_KEY"):
            gateway_identity(msgspec.structs.replace(settings, signing_key=path))


def test_a_service_that_says_nothing_is_a_timeout(settings):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # it takes the line, and never a word
        found = with_service(settings, f"127.0.0.1:{silent.getsockname()[1]}")
        app = create_app(found)
        app.state.upstream = Upstream(found, gateway_identity(found), patience_s=0.1)
        with TestClient(app, base_url="http://127.0.0.1:8080") as client:
            answer = client.get("/v1/models")

    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "service_silent")


def test_an_upload_that_breaks_off_leaves_nothing_behind(service, url):
    address = httpx.URL(url)
    with socket.create_connection((address.host, address.port)) as line:
        head = (
            f"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: {address.netloc.decode()}\r\n"
            "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000\r\n\r\n"
        )
        line.sendall(head.encode() + b"--b\r\n")

    assert hear(url).status_code == 200
    assert service.app.state.house.admission.inside_s == 0.0


def test_a_strange_path_is_no_server_error(url):
    strange = [b"/v1/models/%00", b"/v1/models/%ff", b"/v1/models/..", b"/v1/models/a%3Fb%23c"]
    asked = [httpx.URL(url).copy_with(raw_path=path) for path in strange]

    statuses = [httpx.get(one).status_code for one in asked]

    assert set(statuses) <= {404, 200}
