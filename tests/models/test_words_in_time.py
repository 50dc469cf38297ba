"""The whole service with a taught Wav2Vec2 as aligner: words of a text that came without times."""

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpu_service import house
from gpu_service.engines.engine import Samples
from gpu_service.hearing.segmentation import cut
from gpu_service.hearing.voice_activity import VoiceActivity
from shared import wiring
from shared.domain.lanes import Lane
from shared.domain.sound import SAMPLE_RATE
from shared.flows.work import Settled
from shared.settings import load
from tests.broker import RecordingBroker
from tests.engines.speech import said
from tests.models.checkpoints import ctc_model, saved, taught
from tests.sounds import wav

#: What is spoken, and how an engine with good manners writes it.
SPOKEN, WRITTEN = "we meet at five in the garden", "We meet at 5 in the garden."
INVENTED = "Thank you for watching my channel."
#: Seconds of silence around the speech.
BEFORE_S, AFTER_S = 1.5, 1.0
#: Five frames: a model that learned one clip knows its letters better than their places.
SLACK_S = 0.1


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Taught the very segment that is cut: it knows one sound, not how to hear."""
    folder = tmp_path_factory.mktemp("taught")
    return saved(taught(ctc_model("layer"), [segment()], [SPOKEN]), folder)


def recording() -> Samples:
    return np.pad(said(SPOKEN), (round(BEFORE_S * SAMPLE_RATE), round(AFTER_S * SAMPLE_RATE)))


def segment() -> Samples:
    sound, voice = recording(), VoiceActivity()
    voice.add(sound)
    [only] = cut(voice.result(), sound.size / SAMPLE_RATE, quietest=voice.quietest)
    return sound[round(only.start_s * SAMPLE_RATE) : round(only.end_s * SAMPLE_RATE)]


@pytest.fixture(scope="module")
def broker() -> Iterator[RecordingBroker]:
    with RecordingBroker() as running:
        yield running


def heard(home: Path, broker: RecordingBroker, checkpoint: Path, text: str) -> tuple[Any, Any]:
    """The result of one recording, and what loads the files beside it."""
    aligner = {"language": ["en"], "layer": 2}
    made = house.build(
        load(
            home=home,
            broker_url=broker.url,
            decoders=1,
            push_email="nobody@example.com",
            push_subject="nobody",
            cascade={
                "transcribe": ["writer"],
                "classify": [],
                "align": ["letters"],
                "embed": ["letters"],
            },
            engines={
                "writer": {"kind": "tests.models.writer:Writer", "options": {"text": text}},
                "letters": {
                    "kind": "wav2vec2",
                    "checkpoint": str(checkpoint),
                    "dtype": "float32",
                    "options": aligner,
                },
            },
        )
    )
    made.start()
    try:
        wiring.intake(made.parts)(uploaded(made.parts))
        assert made.work((Lane.HIGH, Lane.LOW)) is Settled.DONE
    finally:
        made.stop()
    results = made.parts.results
    [known] = made.parts.recordings.page()
    assert known.result is not None
    folder = known.result
    return (
        json.loads(results.load(folder, "result.json")),
        lambda name: np.load(io.BytesIO(results.load(folder, name))),
    )


def uploaded(parts: wiring.Parts) -> Any:
    return parts.inlet.put(
        "uploads/demo/a.wav",
        io.BytesIO(wav(recording())),
        content_type="audio/wav",
        metadata={},
        at=datetime.now(UTC),
    )


def test_a_text_without_times_gets_them_from_the_aligner(
    tmp_path: Path, broker: RecordingBroker, checkpoint: Path
) -> None:
    told, array = heard(tmp_path, broker, checkpoint, WRITTEN)

    words = [word for s in told["transcript"]["segments"] for word in s["words"]]
    times = [t for word in words for t in (word["start_s"], word["end_s"])]
    assert [word["text"] for word in words] == WRITTEN.split()
    assert {word["source"] for word in words} == {"letters"}
    assert times == sorted(times)
    end_s = BEFORE_S + said(SPOKEN).size / SAMPLE_RATE
    assert times[0] >= BEFORE_S - SLACK_S and times[-1] <= end_s + SLACK_S
    assert min(word["confidence"] for word in words) > 0.5
    assert told["warnings"] == []
    assert told["features"]["engine"] == "letters"
    duration_s = told["audio"]["duration_s"]
    assert array("features.npy").shape == (round(duration_s * 12.5), 64)
    assert array("vector.npy").shape == (told["features"]["dims"],)


def test_a_text_nobody_said_is_placed_and_not_believed(
    tmp_path: Path, broker: RecordingBroker, checkpoint: Path
) -> None:
    told, _ = heard(tmp_path, broker, checkpoint, INVENTED)

    words = [word for s in told["transcript"]["segments"] for word in s["words"]]
    assert [word["text"] for word in words] == INVENTED.split()
    assert max(word["confidence"] for word in words) < 0.5
    [step] = [s for s in told["decisions"] if s["task"] == "align"]
    assert step["reason"] == "aligned" and step["confidence"] < 0.1
