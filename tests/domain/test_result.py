"""The result document: what is written, what is read, what the schema accepts."""

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from shared.domain import result as r
from shared.domain.answers import Task
from shared.domain.cascade import Verdict
from shared.domain.lanes import Lane
from shared.domain.states import State
from shared.domain.tenants import Tier

KEYS = {
    "schema",
    "recording",
    "status",
    "review",
    "error",
    "warnings",
    "tier",
    "lane",
    "rule",
    "kept_until",
    "audio",
    "language",
    "transcript",
    "sounds",
    "description",
    "answers",
    "features",
    "conflicts",
    "decisions",
    "reused_from",
    "cost_usd",
    "timings_s",
    "versions",
}


def subject(**changes: Any) -> r.Subject:
    known = {
        "id": "0" * 32,
        "name": "calls/monday.wav",
        "tenant": "acme",
        "uri": "gs://bucket/uploads/acme/calls/monday.wav",
        "generation": 1,
        "sha256": "a" * 64,
        "size_bytes": 44,
    }
    return r.Subject(**(known | changes))


def transcript() -> r.Transcript:
    word = r.TranscriptWord(start_s=0.1, end_s=0.5, text="Hello", confidence=0.9, source="engine")
    segment = r.TranscriptSegment(
        start_s=0.0,
        end_s=1.0,
        channel=None,
        language="en",
        text="Hello",
        confidence=0.9,
        words=(word,),
    )
    return r.Transcript(
        text="Hello",
        confidence=0.9,
        calibrated=False,
        coverage=1.0,
        unexplained_s=0.0,
        segments=(segment,),
    )


def full() -> r.Result:
    quality = r.AudioQuality(
        peak_dbfs=-1.0, clipped_share=0.0, loudness_lufs=-23.0, silence_share=0.1, noise_dbfs=None
    )
    audio = r.Audio(
        container="wav",
        codec="pcm_s16le",
        sample_rate_hz=8_000,
        channels=1,
        duration_s=1.0,
        quality=quality,
    )
    return r.Result(
        recording=subject(),
        status=State.DONE,
        review=True,
        warnings=(r.Warned(code="tail_cut", message="The end is missing."),),
        tier=Tier.PRO,
        lane=Lane.HIGH,
        rule="short",
        kept_until=datetime(2027, 1, 1, tzinfo=UTC),
        audio=audio,
        language="en",
        transcript=transcript(),
        sounds=(r.Sound(label="speech", start_s=0.0, end_s=1.0, confidence=None),),
        description=r.Description(text="A greeting.", support=0.5),
        answers=(r.Answered(question="Who?", text="Nobody.", confidence=None),),
        features=r.Features(engine="wav2vec2", dims=768, vector_ref="vectors/1"),
        conflicts=(
            r.Conflict(
                start_s=0.0, end_s=1.0, channel=0, engines=("a", "b"), texts=("Hello", "Yellow")
            ),
        ),
        decisions=(
            r.Step(
                segment=0,
                task=Task.TRANSCRIBE,
                engine="whisper",
                verdict=Verdict.ACCEPT,
                reason="uncalibrated",
                confidence=0.9,
            ),
        ),
        cost_usd=0.01,
        timings_s={"queue": 0.1, "total": 1.5},
        versions={"earwitness": "0.1.0", "whisper": "base"},
    )


def refused() -> r.Result:
    return r.Result(
        recording=subject(sha256=None),
        status=State.REJECTED,
        error=r.Fault(code="not_audio", message="Upload a sound file."),
        tier=Tier.FREE,
    )


def check(document: dict[str, Any]) -> None:
    schema = r.schema_document()
    jsonschema.validate(document, schema, jsonschema.Draft202012Validator)


BOTH = pytest.mark.parametrize("make", [full, refused])


@BOTH
def test_written_result_has_every_key_and_follows_the_schema(make):
    document = json.loads(r.written(make()))

    assert set(document) == KEYS
    check(document)


@BOTH
def test_what_was_written_is_read_back_equal(make):
    assert r.read(r.written(make())) == make()


def test_document_begins_with_its_schema():
    assert next(iter(json.loads(r.written(refused())).items())) == (
        "schema",
        "earwitness.result/v1",
    )


def test_reader_and_schema_accept_keys_of_a_later_release():
    document = json.loads(r.written(full()))
    document["mood"] = document["recording"]["mood"] = {"deep": 1}
    document["transcript"]["segments"][0]["words"][0]["stress"] = 0.2

    check(document)
    assert r.read(json.dumps(document)) == full()


def test_writer_refuses_a_key_the_schema_does_not_name():
    with pytest.raises(ValidationError, match="mood"):
        subject(mood="good")


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (("schema",), "earwitness.result/v2"),
        (("status",), "finished"),
        (("recording", "sha256"), "xyz"),
        (("recording", "size_bytes"), -1),
        (("transcript", "coverage"), 1.01),
        (("transcript", "coverage"), -0.01),
        (("transcript", "segments", 0, "start_s"), -0.01),
        (("kept_until",), "2027-01-01T00:00:00"),
        (("audio", "channels"), 0),
    ],
    ids=lambda v: ".".join(map(str, v)) if isinstance(v, tuple) else str(v),
)
def test_impossible_values_are_refused(at, value):
    document = json.loads(r.written(full()))
    *way, last = at
    spot = document
    for step in way:
        spot = spot[step]
    spot[last] = value

    with pytest.raises(ValidationError):
        r.read(json.dumps(document))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_json_does_not_have_are_refused(value):
    with pytest.raises(ValidationError):
        r.Description(text="", support=value)


def test_a_result_cannot_be_changed():
    with pytest.raises(ValidationError):
        refused().review = True


def test_any_name_survives_the_document():
    strange = "a\u202egnp\r\n=1+1\x00'\"é\u0301/../x"

    written = r.written(refused().model_copy(update={"recording": subject(name=strange)}))

    assert r.read(written).recording.name == strange


def described(schema: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    for title, part in {"Result": schema, **schema["$defs"]}.items():
        for name, field in part.get("properties", {}).items():
            yield f"{title}.{name}", bool(field.get("description"))


def test_every_field_of_the_schema_is_described():
    assert [name for name, said in described(r.schema_document()) if not said] == []
