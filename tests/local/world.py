"""A store with recordings in it, made through the ports alone."""

import io
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from shared import wiring
from shared.domain import result as r
from shared.domain.lanes import Lane
from shared.domain.recording import Failure, Outcome, Passage, Recording, UploadedObject
from shared.domain.sound import Facts, Quality, Segment, Survey
from shared.domain.states import State
from shared.domain.testimony import Testimony, rendered, summary, testify
from shared.settings import load
from tests.builders import NOW, placed, recording


class World:
    """`done`, `dead`, `rejected` and `queued` each add one recording of that kind."""

    def __init__(self, home: Path) -> None:
        self.parts = wiring.parts(load(home=home))
        self._count = 0

    def queued(self, path: str = "talk.wav", tenant: str = "demo", **changes) -> Recording:
        made = self._draft(path, tenant, **changes)
        return self.parts.recordings.create_or_get(made, lambda _: placed(Lane.HIGH))

    def rejected(self, path: str = "notes.txt", tenant: str = "demo") -> Recording:
        cause = Failure("not_audio", "The file holds no audio.")
        return self.parts.recordings.refuse(self._draft(path, tenant), cause)

    def done(self, path: str = "talk.wav", text: str = "hello there", **changes) -> Recording:
        """`text` is said from 1 to 2 seconds into the recording."""
        made = self.queued(path, **changes)
        lease = self.parts.jobs.lease_next([Lane.HIGH], "test", made.received_at, 60)
        assert lease is not None
        folder = f"results/{made.tenant}/{made.id}/{lease.token}"
        result = _result(replace(lease.recording, state=State.DONE), text)
        self.parts.results.save(folder, rendered(result))
        outcome = Outcome(folder, 2.0, "en", 0.9, False, (Passage(1.0, 2.0, text),))
        return self.parts.jobs.complete(lease, outcome, [], made.received_at)

    def dead(
        self,
        path: str = "broken.wav",
        *,
        engine: str | None = None,
        at: datetime | None = None,
        **changes,
    ) -> Recording:
        made = self.queued(path, **changes)
        lease = self.parts.jobs.lease_next([Lane.HIGH], "test", made.received_at, 60)
        assert lease is not None
        said = "The decoder died while reading this recording."
        cause = Failure("decoder_died", said, engine)
        self.parts.jobs.fail(lease, cause, None, at or made.received_at)
        found = self.parts.recordings.get(made.id)
        assert found is not None
        return found

    def upload(self, name: str = "uploads/demo/talk.wav", content: bytes = b"x") -> UploadedObject:
        return self.parts.inlet.put(
            name, io.BytesIO(content), content_type="audio/wav", metadata={}, at=NOW
        )

    def _draft(self, path: str, tenant: str, **changes) -> Recording:
        self._count += 1
        at = NOW + timedelta(seconds=self._count)
        return recording(
            self._count,
            tenant=tenant,
            path=path,
            name=f"uploads/{tenant}/{path}",
            received_at=at,
            updated_at=at,
            **changes,
        )


def _result(known: Recording, text: str) -> r.Result:
    segment = r.TranscriptSegment(
        start_s=1.0, end_s=2.0, channel=None, language="en", text=text, confidence=0.9, words=()
    )
    transcript = r.Transcript(
        text=text,
        confidence=0.9,
        calibrated=False,
        coverage=1.0,
        unexplained_s=0.0,
        segments=(segment,),
    )
    quality = Quality(-3.0, 0.0, -20.0, 0.1, -60.0)
    survey = Survey(
        Facts("wav", "pcm_s16le", 16_000, 1, 2.0), quality, (), (Segment(0, 0, 2),), (), "p"
    )
    bare = testify(Testimony(known, survey, {}, "0" * 64, {}, {}))
    warned = r.Warned(code="cut_tail", message="The end is missing.")
    sound = r.Sound(label="music", start_s=0.0, end_s=1.0, confidence=None)
    assert summary(known).status is State.DONE
    return bare.model_copy(
        update={
            "transcript": transcript,
            "language": "en",
            "warnings": (warned,),
            "sounds": (sound,),
        }
    )
