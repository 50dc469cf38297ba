"""Everything heard of one recording, put together into its result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from shared.domain import result as r
from shared.domain.accounting import unaccounted
from shared.domain.answered import answered, unanswered
from shared.domain.answers import Task
from shared.domain.cascade import Decided
from shared.domain.cautions import cautions, everything
from shared.domain.features import FRAMES, VECTOR, Pooled
from shared.domain.plans import planned
from shared.domain.recording import Outcome, Passage, Recording
from shared.domain.shares import share
from shared.domain.sound import Survey
from shared.domain.sounds_heard import sounds
from shared.domain.spoken import language, spoken, transcript
from shared.domain.states import State
from shared.domain.steps import conflicts, steps
from shared.domain.subtitles import cues, to_srt, to_text, to_vtt

VERSION = "0.1.0"


@dataclass(frozen=True, slots=True)
class Testimony:
    """What the work flow has gathered when every segment is settled."""

    recording: Recording
    survey: Survey
    heard: Mapping[Task, Sequence[Decided]]
    sha256: str | None  #: None where nothing is kept, so nothing is digested
    timings_s: Mapping[str, float]
    versions: Mapping[str, str]  #: engine -> checkpoint and library
    features: Pooled | None = None  #: what `features.pooled` makes of the embeddings heard


def subject(known: Recording, sha256: str | None = None) -> r.Subject:
    return r.Subject(
        id=known.id,
        name=known.path,
        tenant=known.tenant,
        uri=f"gs://{known.bucket}/{quote(known.name, safe='/', errors='replace')}",
        generation=known.generation,
        sha256=sha256,
        size_bytes=known.size_bytes,
    )


def summary(known: Recording) -> r.Result:
    """A recording without a result of its own yet, or ever, in the same shape."""
    error = known.error and r.Fault(code=known.error.code, message=known.error.message)
    return r.Result(
        recording=subject(known),
        status=known.state,
        review=known.review,
        error=error,
        tier=known.tier,
        lane=known.lane,
        rule=known.rule,
        kept_until=known.kept_until,
        language=known.language,
    )


def testify(t: Testimony) -> r.Result:
    """The result, complete. Pure: the same testimony always gives the same result."""
    questions = t.recording.wishes.questions
    said = t.heard.get(Task.TRANSCRIBE)
    segments, left = spoken(t.survey, said or ()), unaccounted(t.survey, t.heard)
    return r.Result(
        recording=subject(t.recording, t.sha256),
        status=State.DONE,
        review=_review(t),
        warnings=(
            *cautions(t.survey, t.heard),
            *unanswered(t.survey, questions, t.heard),
        ),
        tier=t.recording.tier,
        lane=t.recording.lane,
        rule=t.recording.rule,
        kept_until=t.recording.kept_until,
        audio=_audio(t.survey),
        language=language(segments),
        transcript=None if said is None else transcript(t.survey, said, segments, left),
        sounds=tuple(sounds(t.heard.get(Task.CLASSIFY, ()))),
        description=_description(t),
        answers=tuple(answered(t.survey, questions, t.heard)),
        features=_features(t.features),
        conflicts=tuple(conflicts(t.survey, said or ())),
        decisions=tuple(steps(t.survey, t.heard)),
        cost_usd=sum(step.cost_usd for d in everything(t.heard) for step in d.decisions),
        timings_s={name: max(0.0, round(s, 4)) for name, s in t.timings_s.items()},
        versions={"earwitness": VERSION, **t.versions},
    )


def rendered(result: r.Result) -> dict[str, bytes]:
    """The files of a result, by name."""
    return {"result.json": r.written(result), **transcripts(result.transcript)}


def transcripts(heard: r.Transcript | None) -> dict[str, bytes]:
    """The files of a transcript, by name."""
    segments = heard.segments if heard else ()
    lines = cues(segments)
    said = heard.model_dump_json(indent=2) if heard else "null"
    return {
        "transcript.json": said.encode() + b"\n",
        "transcript.srt": to_srt(lines).encode(),
        "transcript.vtt": to_vtt(lines).encode(),
        "transcript.txt": to_text(segments).encode(),
    }


def outcome(result: r.Result, folder: str, answer_key: str | None) -> Outcome:
    """What the store keeps of a result; `answer_key` None where it must not be used again."""
    said = result.transcript
    passages = said.segments if said else ()
    return Outcome(
        result=folder,
        seconds=result.audio.duration_s if result.audio else 0.0,
        language=result.language,
        confidence=said.confidence if said and said.calibrated else None,
        review=result.review,
        passages=tuple(Passage(p.start_s, p.end_s, p.text) for p in passages),
        answer_key=answer_key,
    )


def _review(t: Testimony) -> bool:
    return any(d.review for d in everything(t.heard))


def _audio(survey: Survey) -> r.Audio:
    facts, quality = survey.facts, survey.quality
    return r.Audio(
        container=facts.container,
        codec=facts.codec,
        sample_rate_hz=facts.sample_rate_hz,
        channels=facts.channels,
        duration_s=facts.duration_s or 0.0,
        quality=r.AudioQuality(
            peak_dbfs=quality.peak_dbfs,
            clipped_share=quality.clipped_share,
            loudness_lufs=quality.loudness_lufs,
            silence_share=quality.silence_share,
            noise_dbfs=quality.noise_dbfs,
        ),
    )


def _description(t: Testimony) -> r.Description | None:
    """Of every window described; None where nobody was asked, or nothing was said."""
    plan = {s.index: s for s in planned(t.survey, Task.DESCRIBE)}
    decided = sorted(t.heard.get(Task.DESCRIBE, ()), key=lambda d: d.segment)
    parts = tuple(
        r.DescriptionPart(
            start_s=round(plan[d.segment].start_s, 3),
            end_s=round(plan[d.segment].end_s, 3),
            engine=d.answer.engine,
            text=d.answer.text,
            confidence=share(d.answer.confidence),
        )
        for d in decided
        if d.answer.text
    )
    if not parts:
        return None
    # How sure an engine is of its own words is no support for them.
    return r.Description(text=" ".join(p.text for p in parts), support=None, parts=parts)


def _features(made: Pooled | None) -> r.Features | None:
    if made is None:
        return None
    return r.Features(
        engine=made.engine,
        dims=len(made.vector),
        vector_ref=VECTOR,
        frames_ref=FRAMES if made.frames else None,
        frame_dims=made.dims if made.frames else None,
        frames_per_s=made.frames_per_s if made.frames else None,
    )
