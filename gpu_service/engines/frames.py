"""What goes over the pipe between the service and an engine's process: JSON and raw samples.

No pickle: the child reads untrusted sound, so its answers are only ever parsed as JSON.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from gpu_service.engines.engine import Clip, Samples
from shared.domain.answers import Answer, SoundEvent, Task, Word
from shared.errors import EarwitnessError, EngineUnavailable, leaves

#: Little-endian float32, whatever the host.
WIRE = np.dtype("<f4")


def request(task: Task, clips: Sequence[Clip]) -> tuple[bytes, bytes]:
    """The header and the samples of all clips, one after another."""
    facts = [
        {"tenant": c.tenant, "language": c.language, "samples": c.samples.size, "speech": c.speech}
        for c in clips
    ]
    sound = b"".join(np.ascontiguousarray(c.samples, WIRE).tobytes() for c in clips)
    return json.dumps({"task": task, "clips": facts}).encode(), sound


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
    speech = fact["speech"]
    spans = None if speech is None else tuple((start, end) for start, end in speech)
    return Clip(samples, fact["tenant"], fact["language"], spans)


def answered(answers: Sequence[Answer]) -> bytes:
    return json.dumps({"answers": [asdict(answer) for answer in answers]}).encode()


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
    task, cautions = Task(said.pop("task")), tuple(said.pop("cautions"))
    return Answer(**said, task=task, words=words, events=events, cautions=cautions)


def _raised(said: dict[str, Any]) -> EarwitnessError:
    known = {leaf.code: leaf for leaf in leaves()}
    return known.get(said["code"], EngineUnavailable)(said["message"], **said["context"])
