"""Implements `Ears`: one pass to decode and survey, then engines asked segment by segment."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from gpu_service.decoding.decoder import Decoder, Decoding
from gpu_service.engines.engine import Clip
from gpu_service.engines.serving import Server
from gpu_service.hearing.pcm import Pcm
from gpu_service.hearing.quality import QualityMeter
from gpu_service.hearing.segmentation import PLAN, cut, windows
from gpu_service.hearing.voice_activity import VoiceActivity
from shared.domain.answers import Answer, Task
from shared.domain.sound import Limits, Segment, Survey
from shared.domain.wishes import Wishes
from shared.errors import EngineUnavailable, InvalidWish
from shared.ports import Hearing


@dataclass(frozen=True, slots=True)
class OpenedRecording:
    """Implements `Hearing`."""

    survey: Survey
    pcm: Pcm
    servers: Mapping[str, Server]
    tenant: str
    wishes: Wishes
    alive: Callable[[], None]

    def ask(self, engine: str, task: Task, segments: Sequence[Segment]) -> list[Answer]:
        server = self.servers.get(engine)
        if server is None:
            raise EngineUnavailable(f"There is no engine called {engine}.")
        if engine == self.wishes.engine and task not in server.capabilities().tasks:
            raise InvalidWish(f"The engine {engine} does not {task}. Wish for another, or none.")
        clips = [
            Clip(self.pcm.samples(s), tenant=self.tenant, language=self.wishes.language)
            for s in segments
        ]
        answers = server.infer(task, clips)
        self.alive()
        return [moved(a, s.start_s) for a, s in zip(answers, segments, strict=True)]


@dataclass(frozen=True, slots=True)
class LocalEars:
    """Ears of one process: its decoder, and its engines behind their servers."""

    decoder: Decoder
    servers: Mapping[str, Server]
    tmp: Path | None  #: where long recordings are spooled while they are heard

    def names(self) -> list[str]:
        return sorted(self.servers)

    def versions(self, engines: Sequence[str]) -> dict[str, str]:
        known = {n: self.servers[n].capabilities().versions for n in engines if n in self.servers}
        return {n: " ".join(f"{k}={v}" for k, v in sorted(of.items())) for n, of in known.items()}

    @contextmanager
    def open(
        self,
        sound: BinaryIO,
        *,
        tenant: str,
        wishes: Wishes,
        limits: Limits,
        alive: Callable[[], None],
    ) -> Iterator[Hearing]:
        with Pcm(self.tmp) as pcm:
            with self.decoder.open(
                sound, tenant=tenant, limits=limits, separate=wishes.separate, alive=alive
            ) as decoding:
                survey = surveyed(decoding, pcm)
            yield OpenedRecording(survey, pcm, self.servers, tenant, wishes, alive)


def surveyed(decoding: Decoding, pcm: Pcm) -> Survey:
    """Listen once from beginning to end: measure, find speech, keep the samples."""
    meter, detectors = QualityMeter(), list[VoiceActivity]()
    for block in decoding:
        while len(detectors) < block.shape[0]:
            detectors.append(VoiceActivity())
        meter.add(block[0] if block.shape[0] == 1 else block.mean(axis=0))
        for detector, channel in zip(detectors, block, strict=True):
            detector.add(channel)
        pcm.add(block)
    return Survey(
        facts=replace(decoding.facts, duration_s=decoding.duration_s),
        quality=meter.result(),
        speech=_speech(detectors, decoding.duration_s),
        windows=windows(decoding.duration_s),
        cautions=tuple(decoding.cautions),
        plan=PLAN,
    )


def _speech(detectors: Sequence[VoiceActivity], duration_s: float) -> tuple[Segment, ...]:
    """The segments of all channels in the order of time, numbered through."""
    apart = len(detectors) > 1
    found = [
        segment
        for n, detector in enumerate(detectors)
        for segment in cut(
            detector.result(), duration_s, n if apart else None, quietest=detector.quietest
        )
    ]
    ordered = sorted(found, key=lambda s: (s.start_s, s.channel or 0))
    return tuple(replace(segment, index=i) for i, segment in enumerate(ordered))


def moved(answer: Answer, by_s: float) -> Answer:
    """The answer with its times counted from the start of the recording."""
    return replace(
        answer,
        words=tuple(
            replace(w, start_s=w.start_s + by_s, end_s=w.end_s + by_s) for w in answer.words
        ),
        events=tuple(
            replace(e, start_s=e.start_s + by_s, end_s=e.end_s + by_s) for e in answer.events
        ),
    )
