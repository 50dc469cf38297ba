"""Load, unload, health and status of engines, through ASGI and a real store."""

import time

import httpx
import jwt
import msgspec
import pytest

from gpu_service.hosting.host import State
from gpu_service.main import create_app
from shared.errors import InvalidSettings
from shared.settings import Cascade
from tests.engines.kinds import ON_CUDA, ON_TORCH
from tests.gpu_service.test_tickets import IDENTITY, KEY, settings  # noqa: F401  # a fixture

OPERATOR = {"operator_email": "ops@earwitness.local", "operator_subject": "local-operator"}
ENGINES = {
    "fast": {"kind": ON_CUDA, "device": "cuda"},
    "strict": {"kind": ON_CUDA, "device": "cuda", "fallback": False},
}


def proof(email="ops@earwitness.local", subject="local-operator"):
    now = int(time.time())
    claims = {"iss": IDENTITY["push_issuer"], "aud": IDENTITY["push_audience"], "email": email}
    claims |= {"email_verified": True, "sub": subject, "iat": now, "exp": now + 600}
    token = jwt.encode(claims, KEY, algorithm="RS256", headers={"kid": "k"})
    return {"authorization": f"Bearer {token}"}


@pytest.fixture
async def service(settings):  # noqa: F811
    app = create_app(msgspec.structs.replace(settings, engines=ENGINES, **OPERATOR))
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            client.house = app.state.house
            yield client


async def test_load_is_a_wish_that_the_next_tick_follows(service):
    asked = await service.post("/v1/models/echo/load", json={"reason": "demo"}, headers=proof())
    before = (await service.get("/status/echo")).json()
    service.house.fleet.tick(time.monotonic())
    service.house.hosts["echo"].load()  # waits for the load that the tick began
    after = (await service.get("/status/echo")).json()

    assert asked.status_code == 202
    assert asked.json() == before["wanted"]
    assert (asked.json()["wanted"], asked.json()["reason"]) == ("loaded", "demo")
    assert (before["state"], after["state"]) == ("absent", "ready")
    assert after["pid"] == service.house.hosts["echo"].pid
    assert after["loaded"]["parts_s"]["build"] >= 0


async def test_unload_gives_the_memory_back(service):
    service.house.hosts["echo"].load()

    asked = await service.post("/v1/models/echo/unload", headers=proof())
    service.house.fleet.tick(time.monotonic())

    assert (asked.status_code, asked.json()["wanted"]) == (202, "unloaded")
    assert service.house.hosts["echo"].pid is None


@pytest.mark.parametrize(
    "headers",
    [{}, proof("push@earwitness.local", "local-push"), {"authorization": "Bearer a.b.c"}],
    ids=["nobody", "who rings for work", "forged"],
)
async def test_only_operators_may_wish(service, headers):
    asked = await service.post("/v1/models/echo/load", headers=headers)

    assert asked.status_code == 403
    assert "Only an operator" in asked.json()["error"]["message"]
    assert (await service.get("/status/echo")).json()["wanted"] is None


async def test_without_an_operator_in_the_settings_nobody_may(settings):  # noqa: F811
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            asked = await client.post("/v1/models/echo/load", headers=proof())

    assert asked.status_code == 403


@pytest.mark.parametrize("body", [b"{", b'{"why": "x"}', b"[" * 5000], ids=["cut", "else", "long"])
async def test_a_body_that_is_not_understood_is_refused(service, body):
    asked = await service.post("/v1/models/echo/load", content=body, headers=proof())

    assert (asked.status_code, asked.json()["error"]["code"]) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/health/no"), ("GET", "/status/no"), ("POST", "/v1/models/no/load")],
)
async def test_an_unknown_engine_is_a_typed_404(service, method, path):
    answer = await service.request(method, path, headers=proof())

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"


async def test_a_fallback_is_said(service):
    service.house.hosts["fast"].load()

    said = (await service.get("/status/fast")).json()

    assert (said["state"], said["device"]) == ("ready", "cpu")
    assert "Found no NVIDIA driver" in said["fallback"]
    assert said["kind"] == ON_CUDA
    assert said["memory_mb"] > 1
    assert (said["breaker"], said["waiting"], said["concurrency"]) == ("closed", 0, 1)


async def test_health_is_ill_after_a_failed_load(service):
    before = await service.get("/health/strict")
    with pytest.raises(Exception, match="NVIDIA"):
        service.house.hosts["strict"].load()
    after = await service.get("/health/strict")

    assert (before.status_code, before.json()["status"]) == (200, "ok")
    assert after.status_code == 503
    assert after.json() == {
        "status": "failed",
        "engine": "strict",
        "state": "failed",
        "error": "device_unavailable",
    }


async def test_preloading_does_not_hold_up_the_start(settings):  # noqa: F811
    engines = {"early": {"kind": "echo", "preload": True}}
    app = create_app(msgspec.structs.replace(settings, engines=engines))
    house = app.state.house
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            ready = await client.get("/readyz")
            house.hosts["early"].load()  # behind the one that began at the start

    assert ready.status_code == 200
    assert ready.json()["status"] in ("loading", "ready")
    assert house.hosts["early"].state is State.ABSENT  # stopped


def test_everything_wrong_is_named_at_once(settings, tmp_path):  # noqa: F811
    wrong = msgspec.structs.replace(
        settings,
        engines={
            "a": {"kind": "wisper"},
            "b": {"kind": "whisper", "options": {"beams": 5}, "dtype": "int3"},
            "c": {"kind": "whisper", "checkpoint": str(tmp_path / "none")},
            "d": {"kind": "echo", "device": "gpu"},
            "e": {"kind": ON_TORCH, "preload": True},
            "f": {"kind": ON_TORCH},
        },
        cascade=Cascade(transcribe=["b", "e", "oracle"], classify=["whisper"]),
        accept_at={"transcribe": {"whispr": 0.9, "*": 0.9, "b": 0.9}},
        synthesis={"weights": {"whisper": 2, "ecko": 1}},
        models_python=tmp_path / "python",
    )

    with pytest.raises(InvalidSettings) as refusal:
        create_app(wrong)

    said = str(refusal.value)
    assert refusal.value.context["problems"] == 10
    for part in (
        "engine a: the kind 'wisper' is unknown",
        "engine b: beams: ",
        "engine b: dtype: 'int3' is not known to the kind whisper; use one of auto, ",
        "engine c: checkpoint: there is no ",
        "engine d: device: ",
        "TRANSCRIBE names oracle: there is no such engine",
        "ACCEPT_AT names whispr: there is no such engine",
        "SYNTHESIS names ecko: there is no such engine",
        "CLASSIFY names whisper: it cannot classify",
        "engine e: This kind of engine needs torch. Run `make env-models`",
    ):
        assert part in said
