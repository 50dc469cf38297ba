"""What goes over the pipe between the service and an engine's process: JSON and raw samples.

No pickle: the child reads untrusted sound, so its answers are only ever parsed as JSON.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from gpu_service.engines.engine import Clip, Samples
from gpu_service.hosting.warming import Footprint, Loaded
from shared.domain.answers import Answer, Embedding, SoundEvent, Task, Token, Word
from shared.errors import EarwitnessError, EngineUnavailable, leaves

#: Little-endian float32, whatever the host.
WIRE = np.dtype("<f4")
#: Everything of a clip but its samples.
SAID = tuple(f.name for f in fields(Clip) if f.name != "samples")


def request(task: Task, clips: Sequence[Clip]) -> tuple[bytes, bytes]:
    """The header and the samples of all clips, one after another."""
    facts = [_facts(clip) for clip in clips]
    sound = b"".join(np.ascontiguousarray(c.samples, WIRE).tobytes() for c in clips)
    return json.dumps({"task": task, "clips": facts}).encode(), sound


def _facts(clip: Clip) -> dict[str, Any]:
    said = {name: getattr(clip, name) for name in SAID}
    return {"samples": clip.samples.size, **said}


def requested(header: bytes, sound: bytes) -> tuple[Task, list[Clip]]:
    """What `request` said."""
    said = json.loads(header)
    samples: Samples = np.frombuffer(sound, WIRE).astype(np.float32, copy=False)
    ends = np.cumsum([fact["samples"] for fact in said["clips"]]).tolist()
    clips = [
        _clip(samples[end - fact["samples"] : end], fact)
        for fact, end in zip(said["clips"], ends, strict=True)
    ]
    return Task(said["task"]), clips


def _clip(samples: Samples, fact: dict[str, Any]) -> Clip:
    said = {name: fact[name] for name in SAID}
    if said["speech"] is not None:
        said["speech"] = tuple((start, end) for start, end in said["speech"])
    return Clip(samples, **{**said, "labels": tuple(said["labels"])})


def answered(answers: Sequence[Answer]) -> bytes:
    return json.dumps({"answers": [asdict(answer) for answer in answers]}).encode()


def loaded(report: Loaded) -> bytes:
    return json.dumps({"loaded": asdict(report)}).encode()


def load_report(frame: bytes) -> Loaded:
    """What loading took.

    Raises:
        EarwitnessError: the one it met, as it was raised there.
    """
    said = json.loads(frame)
    if "error" in said:
        raise _raised(said["error"])
    report = said["loaded"]
    footprint = report.pop("footprint")
    return Loaded(**report, footprint=Footprint(**footprint) if footprint else None)


def failed(error: EarwitnessError) -> bytes:
    said = {"code": error.code, "message": str(error), "context": error.context}
    return json.dumps({"error": said}).encode()


def reply(frame: bytes) -> list[Answer]:
    """The answers in `frame`.

    Raises:
        EarwitnessError: the one the engine met, as it was raised there.
    """
    said = json.loads(frame)
    if "error" in said:
        raise _raised(said["error"])
    return [_answer(answer) for answer in said["answers"]]


def _answer(said: dict[str, Any]) -> Answer:
    words = tuple(Word(**word) for word in said.pop("words"))
    events = tuple(SoundEvent(**event) for event in said.pop("events"))
    tokens = tuple(Token(**token) for token in said.pop("tokens"))
    felt = said.pop("embedding")
    embedding = felt and Embedding(**{**felt, "vector": tuple(felt["vector"])})
    task, cautions = Task(said.pop("task")), tuple(said.pop("cautions"))
    return Answer(
        **said,
        task=task,
        words=words,
        events=events,
        tokens=tokens,
        embedding=embedding,
        cautions=cautions,
    )


def _raised(said: dict[str, Any]) -> EarwitnessError:
    known = {leaf.code: leaf for leaf in leaves()}
    return known.get(said["code"], EngineUnavailable)(said["message"], **said["context"])
