"""Implements `Ears`: one pass to decode and survey, then engines asked segment by segment."""

import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, islice, takewhile
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO

from gpu_service.decoding.decoder import Decoder, Decoding
from gpu_service.engines.engine import Capabilities, Clip, Span
from gpu_service.hearing.against_sound import RULES, checked
from gpu_service.hearing.pcm import Pcm
from gpu_service.hearing.presence import Presence
from gpu_service.hearing.quality import QualityMeter
from gpu_service.hearing.segmentation import PLAN, cut, windows
from gpu_service.hearing.throughput import Throughput
from gpu_service.serving.server import Server
from shared.domain.answers import Answer, Task
from shared.domain.confined import confined
from shared.domain.lanes import Lane
from shared.domain.prices import Terms
from shared.domain.questions import Question
from shared.domain.sound import SAMPLE_RATE, Limits, Segment, Survey
from shared.domain.wishes import Wishes
from shared.errors import EngineUnavailable, InvalidWish
from shared.ports import Hearing, Said


@dataclass(frozen=True, slots=True)
class OpenedRecording:
    """Implements `Hearing`."""

    survey: Survey
    pcm: Pcm
    servers: Mapping[str, Server]
    tenant: str
    wishes: Wishes
    alive: Callable[[], None]
    lane: Lane

    def ask(
        self, engine: str, task: Task, segments: Sequence[Segment], said: Sequence[Said] = ()
    ) -> list[Answer]:
        server = self.servers.get(engine)
        if server is None:
            raise EngineUnavailable(f"There is no engine called {engine}.")
        if engine == self.wishes.engine and task not in server.capabilities().tasks:
            raise InvalidWish(f"The engine {engine} does not {task}. Wish for another, or none.")
        clips = [self._clip(s) for s in segments]
        if said:
            clips = [self._saying(c, a) for c, a in zip(clips, said, strict=True)]
        answers = server.infer(task, clips, lane=self.lane, alive=self.alive)
        self.alive()
        answers = [confined(a, s.duration_s) for a, s in zip(answers, segments, strict=True)]
        if task is Task.TRANSCRIBE:
            able = server.capabilities()
            answers = [checked(a, c, able) for a, c in zip(answers, clips, strict=True)]
            answers = [unheeded(a, able, self.wishes) for a in answers]
        return [moved(a, s.start_s) for a, s in zip(answers, segments, strict=True)]

    def terms(self, engine: str, task: Task) -> Terms | None:
        server = self.servers.get(engine)
        return server.capabilities().terms.get(task) if server else None

    def suits(self, engine: str, segment: Segment, language: str | None) -> bool:
        if (server := self.servers.get(engine)) is None:
            return False
        able, language = server.capabilities(), language or self.wishes.language
        if able.languages is not None and language not in able.languages:
            return False
        # Counted as the samples are read: rounding may add one.
        count = round(segment.end_s * SAMPLE_RATE) - round(segment.start_s * SAMPLE_RATE)
        return count / SAMPLE_RATE <= able.max_duration_s

    def identity(self, engine: str) -> Mapping[str, str]:
        return _identity(self.servers, engine)

    def _saying(self, clip: Clip, said: Said) -> Clip:
        if isinstance(said, Question):
            return replace(clip, text=said.text, transcript=said.transcript)
        return replace(clip, text=said.text, language=said.language or clip.language)

    def _clip(self, segment: Segment) -> Clip:
        # The detector takes as long as the rest of the survey: an engine need not run it again.
        mixed = segment.channel is None and len(self.survey.voiced) > 1
        return Clip(
            self.pcm.samples(segment),
            tenant=self.tenant,
            language=self.wishes.language,
            speech=None if mixed else inside(self.survey.voiced[segment.channel or 0], segment),
            prompt=self.wishes.prompt,
            temperature=self.wishes.temperature,
        )


@dataclass(frozen=True, slots=True)
class LocalEars:
    """Ears of one process: its decoder, and its engines behind their servers."""

    decoder: Decoder
    servers: Mapping[str, Server]
    tmp: Path | None  #: where long recordings are spooled while they are heard
    throughput: Throughput = field(default_factory=Throughput)

    def names(self) -> list[str]:
        return sorted(self.servers)

    def versions(self, engines: Sequence[str]) -> dict[str, str]:
        known = {n: self.servers[n].capabilities() for n in engines if n in self.servers}
        return {n: _told(able) for n, able in known.items()}

    def identity(self, engine: str) -> Mapping[str, str]:
        return _identity(self.servers, engine)

    @contextmanager
    def open(
        self,
        sound: BinaryIO,
        *,
        tenant: str,
        wishes: Wishes,
        limits: Limits,
        alive: Callable[[], None],
        lane: Lane = Lane.HIGH,
    ) -> Iterator[Hearing]:
        begun_s = time.monotonic()
        with Pcm(self.tmp) as pcm:
            with self.decoder.open(
                sound, tenant=tenant, limits=limits, separate=wishes.separate, alive=alive
            ) as decoding:
                survey = surveyed(decoding, pcm)
            yield OpenedRecording(survey, pcm, self.servers, tenant, wishes, alive, lane)
        self.throughput.heard(survey.facts.duration_s or 0.0, time.monotonic() - begun_s)


def _told(able: Capabilities) -> str:
    """What an engine is, and by which rules its transcripts are held against the sound."""
    rules = {"heard": RULES} if Task.TRANSCRIBE in able.tasks else {}
    return " ".join(f"{k}={v}" for k, v in sorted({**able.versions, **rules}.items()))


def _identity(servers: Mapping[str, Server], engine: str) -> Mapping[str, str]:
    server = servers.get(engine)
    return server.capabilities().versions if server else {}


def surveyed(decoding: Decoding, pcm: Pcm) -> Survey:
    """Listen once from beginning to end: measure, find speech (by channel), keep the samples."""
    meter, present = QualityMeter(), list[Presence]()
    for block in decoding:
        while len(present) < block.shape[0]:
            present.append(Presence())
        meter.add(block[0] if block.shape[0] == 1 else block.mean(axis=0))
        for presence, channel in zip(present, block, strict=True):
            presence.add(channel)
        pcm.add(block)
    found = [presence.result(decoding.duration_s) for presence in present]
    voiced = tuple(tuple(spans) for spans, _ in found)
    return Survey(
        facts=replace(decoding.facts, duration_s=decoding.duration_s),
        quality=meter.result(),
        speech=_speech(voiced, present, decoding.duration_s),
        windows=windows(decoding.duration_s),
        cautions=tuple(decoding.cautions),
        plan=PLAN,
        voiced=voiced,
        unexplained=tuple(tuple(spans) for _, spans in found),
    )


def _speech(
    voiced: Sequence[Sequence[Span]], present: Sequence[Presence], duration_s: float
) -> tuple[Segment, ...]:
    """The segments of all channels in the order of time, numbered through."""
    apart = len(present) > 1
    found = [
        cut(spans, duration_s, n if apart else None, quietest=by.quietest, goes_on=by.goes_on)
        for n, (spans, by) in enumerate(zip(voiced, present, strict=True))
    ]
    ordered = sorted(chain(*found), key=lambda s: (s.start_s, s.channel or 0))
    return tuple(replace(segment, index=i) for i, segment in enumerate(ordered))


def inside(spans: Sequence[Span], segment: Segment) -> tuple[Span, ...]:
    """What of `spans` (sorted, apart) lies in `segment`, in seconds from its start."""
    first = bisect_right(spans, segment.start_s, key=itemgetter(1))
    reached = takewhile(lambda span: span[0] < segment.end_s, islice(spans, first, None))
    start, end = segment.start_s, segment.end_s
    return tuple((max(a, start) - start, min(b, end) - start) for a, b in reached)


def unheeded(answer: Answer, able: Capabilities, wishes: Wishes) -> Answer:
    """The answer, with a caution for each wish that such an engine ignores."""
    asked = {"prompt": bool(wishes.prompt), "temperature": wishes.temperature > 0}
    wished = {name for name, given in asked.items() if given}
    ignored = (f"{name}_ignored" for name in sorted(wished - able.heeds))
    return replace(answer, cautions=(*answer.cautions, *ignored))


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
