"""recordings that were heard -> each segment's figures, and whether its text was right."""

from collections.abc import Mapping
from dataclasses import dataclass

from local import models
from local.calibration.fitting import Example
from local.calibration.segments import Written, shared_out
from local.claim import running
from shared.domain.answers import Task
from shared.domain.deliberations import DECISIONS, Deliberation, Opinion, read
from shared.domain.recording import Recording
from shared.errors import ModelNotFound
from shared.ports import Results
from shared.settings import Settings
from shared.wiring import clock


@dataclass(frozen=True, slots=True)
class Said:
    """A recording, and what was really said in it."""

    recording: Recording
    reference: str


def examples(results: Results, said: Said, engine: str, language: str | None) -> list[Example]:
    """A segment each that the engine answered; of a recording nobody could hear, none.

    What nobody wrote is charged to segments of this engine alone, so that it is asked first and
    about all of them.

    Raises:
        NotFound: the result was removed meanwhile.
    """
    if said.recording.result is None:
        return []
    kept = read(results.load(said.recording.result, DECISIONS))
    answered = [(one, step) for one in kept.segments if (step := _answer(one, engine))]
    written = [Written(step.text or "", one.end_s - one.start_s) for one, step in answered]
    language = language or said.recording.language
    counted = shared_out(said.reference, written, language)
    return [
        Example(said.recording.path, step.signals, right.right, step.language or language or "")
        for (_, step), right in zip(answered, counted, strict=True)
    ]


def _answer(segment: Deliberation, engine: str) -> Opinion | None:
    """What the engine itself said, also where another one's text stands."""
    if segment.task is not Task.TRANSCRIBE:
        return None
    own = (s for s in segment.steps if s.engine == engine and s.text is not None)
    return next(own, None)


def identity(settings: Settings, engine: str) -> Mapping[str, str]:
    """What a calibration of this engine is for: its versions, as the stack would tell them.

    Raises:
        ModelNotFound: there is no such engine. NotRunning: the service has just stopped.
    """
    if running(settings.home):
        return dict(models.service(settings, clock).status(engine)["versions"])
    known = models.configured(settings)
    if engine not in known:
        raise ModelNotFound(f"There is no engine called {engine}, only {', '.join(known)}.")
    return dict(known[engine]["versions"])
