"""A recording through the real decoder, voice activity and serving, to an engine that costs."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpu_service.decoding.decoder import Decoder
from gpu_service.engines.registry import EngineSettings
from gpu_service.hearing.ears import LocalEars
from gpu_service.hosting.host import EngineHost
from gpu_service.hosting.remote import RemoteHost
from gpu_service.serving.server import Server
from shared import wiring
from shared.domain.cascade import Policy, Uncalibrated
from shared.domain.lanes import Lane
from shared.flows.ask import Ask
from shared.flows.work import Settled, Work
from shared.settings import load
from tests.broker import RecordingBroker
from tests.engines.openai_server import KEY, OpenAiServer, Reply, recorded, refusal
from tests.engines.speech import SENTENCES, said
from tests.sounds import wav


@dataclass
class World:
    """One service on one HOME; its first engine doubts everything, its second one costs."""

    parts: wiring.Parts
    work: Work
    server: OpenAiServer

    def hear(self, content: bytes) -> Settled:
        self.parts.inlet.put(
            "uploads/demo/a.wav",
            BytesIO(content),
            content_type="audio/wav",
            metadata={},
            at=datetime.now(UTC),
        )
        [pending] = self.parts.uploads.events()  # type: ignore[attr-defined]  # the embedded one's
        wiring.intake(self.parts)(pending.event)
        return self.work(tuple(Lane))

    def result(self) -> dict[str, Any]:
        [known] = self.parts.recordings.page()
        assert known.result is not None
        found: dict[str, Any] = json.loads(self.parts.results.load(known.result, "result.json"))
        return found

    def spent(self) -> float:
        return self.parts.spending.spent_usd("demo", datetime.now(UTC))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    with OpenAiServer() as server, RecordingBroker() as broker:
        paid = EngineSettings(kind="openai", options={"base_url": server.url})
        servers = {
            "echo": Server(EngineHost("echo", EngineSettings(kind="echo"), cache=tmp_path)),
            "paid": Server(RemoteHost("paid", paid, cache=tmp_path)),
        }
        cascade = {"transcribe": list(servers), "classify": []}
        settings = load(home=tmp_path, broker_url=broker.url, cascade=cascade)
        parts, decoder = wiring.parts(settings), Decoder(processes=1)
        decoder.start()
        for one in servers.values():
            one.start()
        work = wiring.work(parts, LocalEars(decoder, servers, tmp_path))
        yield World(
            parts, replace(work, ask=Ask(Policy(uncalibrated=Uncalibrated.ESCALATE))), server
        )
        for one in servers.values():
            one.stop()
        decoder.stop()
    assert server.refused == []


def agreed(world: World) -> None:
    demo = world.parts.tenants.get("demo")
    assert demo is not None
    world.parts.tenants.put(replace(demo, fallback=True))


def talk() -> bytes:
    """Twelve sentences with pauses, some 50 s: two segments at least."""
    pause = np.zeros(12_000, np.float32)
    return wav(np.concatenate([part for text in SENTENCES for part in (said(text), pause)]))


def test_doubtful_segments_are_sent_in_one_call_and_its_text_is_given_back(world: World) -> None:
    agreed(world)
    said_there = " ".join(SENTENCES)  # nine words for all the talk would not cover it
    heard = {**json.loads(recorded("transcription")), "text": said_there}
    world.server.replies.append(Reply(json.dumps(heard).encode()))

    assert world.hear(talk()) is Settled.DONE

    [call], result = world.server.calls, world.result()
    steps = [s for s in result["decisions"] if s["engine"] == "paid"]
    assert len(steps) >= 2
    assert call.sound_s == pytest.approx(steps[-1]["end_s"] - steps[0]["start_s"], abs=0.01)
    assert result["transcript"]["text"] == said_there
    # The recorded answer says 3 s were billed.
    assert result["cost_usd"] == pytest.approx(3 / 60 * 0.0045)
    assert world.spent() == pytest.approx(3 / 60 * 0.0045, abs=1e-6)


def test_a_tenant_that_has_not_agreed_is_told_and_not_charged(world: World) -> None:
    assert world.hear(talk()) is Settled.DONE

    result = world.result()
    assert (world.server.calls, world.spent(), result["review"]) == ([], 0.0, True)
    assert [w["code"] for w in result["warnings"]] == ["not_opted_in"]


def test_a_call_refused_for_its_rate_is_made_again_and_paid_once(world: World) -> None:
    agreed(world)
    world.server.replies.append(Reply(refusal("rate_limit_exceeded"), 429, {"retry-after": "0"}))

    assert world.hear(talk()) is Settled.DONE

    assert len(world.server.calls) == 2
    assert world.spent() == pytest.approx(3 / 60 * 0.0045, abs=1e-6)


def test_a_vendor_that_fails_is_not_asked_again_and_counts_as_paid(world: World) -> None:
    agreed(world)
    world.server.replies.append(Reply(refusal("server_error"), 500))

    assert world.hear(talk()) is Settled.DONE

    result = world.result()
    assert len(world.server.calls) == 1
    assert (result["review"], result["transcript"]["text"].startswith("echo")) == (True, True)
    assert result["cost_usd"] == pytest.approx(ceil(world.server.calls[0].sound_s) / 60 * 0.0045)
    assert world.spent() == pytest.approx(result["cost_usd"], abs=1e-6)
