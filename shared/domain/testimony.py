"""Everything heard of one recording, put together into its result."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote

from shared.domain import result as r
from shared.domain.answers import Answer, SoundEvent, Task
from shared.domain.cascade import Decided, Verdict
from shared.domain.features import FRAMES, VECTOR, Pooled
from shared.domain.messages import event_id
from shared.domain.phrases import Phrase, phrases
from shared.domain.plans import planned
from shared.domain.recording import Message, Outcome, Passage, Recording, Topic
from shared.domain.sound import Segment, Survey
from shared.domain.states import State
from shared.domain.subtitles import cues, to_srt, to_text, to_vtt

#: Seconds two events of one label may be apart and still be one; windows are cut anywhere.
MERGE_GAP_S = 0.5
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
    spoken = _spoken(t)
    return r.Result(
        recording=subject(t.recording, t.sha256),
        status=State.DONE,
        review=_review(t),
        warnings=tuple(_warnings(t)),
        tier=t.recording.tier,
        lane=t.recording.lane,
        rule=t.recording.rule,
        kept_until=t.recording.kept_until,
        audio=_audio(t.survey),
        language=_language(spoken),
        transcript=_transcript(t, spoken) if Task.TRANSCRIBE in t.heard else None,
        sounds=tuple(_sounds(t.heard.get(Task.CLASSIFY, ()))),
        description=_description(t),
        features=_features(t.features),
        decisions=tuple(_decisions(t)),
        cost_usd=sum(step.cost_usd for d in _all(t) for step in d.decisions),
        timings_s={name: max(0.0, round(s, 4)) for name, s in t.timings_s.items()},
        versions={"earwitness": VERSION, **t.versions},
    )


def rendered(result: r.Result) -> dict[str, bytes]:
    """The files of a result, by name."""
    segments = result.transcript.segments if result.transcript else ()
    lines = cues(segments)
    transcript = result.transcript.model_dump_json(indent=2) if result.transcript else "null"
    return {
        "result.json": r.written(result),
        "transcript.json": transcript.encode() + b"\n",
        "transcript.srt": to_srt(lines).encode(),
        "transcript.vtt": to_vtt(lines).encode(),
        "transcript.txt": to_text(segments).encode(),
    }


def outcome(result: r.Result, folder: str, answer_key: str | None) -> Outcome:
    """What the store keeps of a result; `answer_key` None where it must not be used again."""
    transcript = result.transcript
    passages = transcript.segments if transcript else ()
    return Outcome(
        result=folder,
        seconds=result.audio.duration_s if result.audio else 0.0,
        language=result.language,
        confidence=transcript.confidence if transcript else None,
        review=result.review,
        passages=tuple(Passage(p.start_s, p.end_s, p.text) for p in passages),
        answer_key=answer_key,
    )


def measurements(t: Testimony, at: datetime) -> list[Message]:
    """One row an engine and task: what it heard, how long it took, how it was judged."""
    rows: dict[tuple[str, str], Measured] = defaultdict(Measured)
    for task, many in t.heard.items():
        plan = {s.index: s for s in planned(t.survey, task)}
        for decided in many:
            for step in decided.decisions:
                row = rows[step.engine, task.value]
                row.audio_s += plan[step.segment].duration_s
                row.verdicts[step.verdict] += 1
            rows[decided.answer.engine, task.value].engine_s += decided.answer.seconds
    return [_row(t, engine, task, rows[engine, task], at) for engine, task in sorted(rows)]


@dataclass(slots=True)
class Measured:
    """Of one engine and task, added up while a testimony is gone through."""

    audio_s: float = 0.0
    engine_s: float = 0.0
    verdicts: Counter[Verdict] = field(default_factory=Counter)


def _row(t: Testimony, engine: str, task: str, row: Measured, at: datetime) -> Message:
    """Its columns are those of `shared/schemas/inference_metrics.json`."""
    known = t.recording
    unique = event_id(known.id, f"metric/{engine}/{task}", known.attempts)
    body: dict[str, str | int | float | bool | None] = {
        "v": 1,
        "event_id": unique,
        "recording_id": known.id,
        "tenant": known.tenant,
        "at": at.isoformat(),
        "engine": engine,
        "task": task,
        "lane": known.lane and known.lane.value,
        "rule": known.rule,
        "segments": row.verdicts.total(),
        "audio_s": round(row.audio_s, 4),
        "engine_s": round(row.engine_s, 4),
        **{f"verdict_{verdict.value}": row.verdicts[verdict] for verdict in Verdict},
        **{f"{name}_s": round(s, 4) for name, s in t.timings_s.items()},
    }
    return Message(Topic.METRICS, known.id, body, unique)


def _all(t: Testimony) -> Iterable[Decided]:
    return (d for many in t.heard.values() for d in many)


def _review(t: Testimony) -> bool:
    return any(d.review for d in _all(t))


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


def _spoken(t: Testimony) -> list[r.TranscriptSegment]:
    """Segments in which something was said, in the order of time."""
    plan = {s.index: s for s in t.survey.speech}
    said = (
        _segment(plan[d.segment], d.answer, phrase)
        for d in t.heard.get(Task.TRANSCRIBE, ())
        if d.answer.text
        for phrase in phrases(d.answer)
    )
    return sorted(said, key=lambda s: (s.start_s, s.channel or 0))


def _segment(cut: Segment, answer: Answer, phrase: Phrase) -> r.TranscriptSegment:
    words = phrase.words
    return r.TranscriptSegment(
        start_s=round(words[0].start_s if words else cut.start_s, 3),
        end_s=round(words[-1].end_s if words else cut.end_s, 3),
        channel=cut.channel,
        language=answer.language,
        text=phrase.text,
        confidence=_share(answer.confidence),
        words=tuple(
            r.TranscriptWord(
                start_s=round(w.start_s, 3),
                end_s=round(w.end_s, 3),
                text=w.text,
                confidence=_share(w.confidence),
                source=w.source,
            )
            for w in words
        ),
    )


def _share(confidence: float | None) -> float | None:
    """Into 0..1: float32 probabilities may be a rounding error above."""
    return None if confidence is None else min(max(confidence, 0.0), 1.0)


def _transcript(t: Testimony, spoken: Sequence[r.TranscriptSegment]) -> r.Transcript:
    total_s = t.survey.facts.duration_s or 0.0
    mute = _unexplained_s(t)
    answers = [d.answer for d in t.heard[Task.TRANSCRIBE] if d.answer.text]
    return r.Transcript(
        text=" ".join(s.text for s in spoken),
        confidence=_weighted(spoken),
        calibrated=bool(answers) and all(a.calibrated for a in answers),
        coverage=1.0 if not total_s else max(0.0, 1.0 - mute / total_s),
        unexplained_s=round(mute, 3),
        segments=tuple(spoken),
    )


def _unexplained_s(t: Testimony) -> float:
    """Seconds in which somebody may have spoken and no engine wrote a word."""
    plan = {s.index: s for s in t.survey.speech}
    silent = (d for d in t.heard[Task.TRANSCRIBE] if not d.answer.text)
    channels = len({s.channel for s in t.survey.speech}) or 1
    return sum(plan[d.segment].duration_s for d in silent) / channels


def _weighted(spoken: Sequence[r.TranscriptSegment]) -> float | None:
    """Mean confidence, each segment by its seconds; None if any gave none."""
    if not spoken or any(s.confidence is None for s in spoken):
        return None
    weights = [max(s.end_s - s.start_s, 0.01) for s in spoken]
    total = sum(w * (s.confidence or 0.0) for w, s in zip(weights, spoken, strict=True))
    return round(total / sum(weights), 4)


def _language(spoken: Sequence[r.TranscriptSegment]) -> str | None:
    """The language of most of the spoken seconds."""
    seconds: dict[str, float] = defaultdict(float)
    for s in spoken:
        if s.language:
            seconds[s.language] += s.end_s - s.start_s
    return max(seconds, key=lambda language: seconds[language]) if seconds else None


def _sounds(decided: Iterable[Decided]) -> list[r.Sound]:
    """Events of all windows; neighbours of one label that a window's edge parted are one."""
    merged: list[SoundEvent] = []
    events = (e for d in decided for e in d.answer.events)
    for event in sorted(events, key=lambda e: (e.label, e.start_s)):
        last = merged[-1] if merged else None
        if last and last.label == event.label and event.start_s - last.end_s <= MERGE_GAP_S:
            merged[-1] = _joined(last, event)
        else:
            merged.append(event)
    ordered = sorted(merged, key=lambda e: (e.start_s, e.label))
    return [
        r.Sound(
            label=e.label,
            start_s=round(e.start_s, 3),
            end_s=round(e.end_s, 3),
            confidence=_share(e.confidence),
        )
        for e in ordered
    ]


def _joined(a: SoundEvent, b: SoundEvent) -> SoundEvent:
    known = [c for c in (a.confidence, b.confidence) if c is not None]
    return SoundEvent(a.label, a.start_s, max(a.end_s, b.end_s), max(known) if known else None)


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
            confidence=_share(d.answer.confidence),
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


def _decisions(t: Testimony) -> Iterable[r.Step]:
    for task, many in t.heard.items():
        plan = {s.index: s for s in planned(t.survey, task)}
        for decided in sorted(many, key=lambda d: d.segment):
            cut = plan[decided.segment]
            for step in decided.decisions:
                yield r.Step(
                    segment=step.segment,
                    channel=cut.channel,
                    task=task,
                    engine=step.engine,
                    verdict=step.verdict,
                    reason=step.reason,
                    confidence=_share(step.confidence),
                    calibrated=step.calibrated,
                    start_s=round(cut.start_s, 3),
                    end_s=round(cut.end_s, 3),
                )


#: What an engine's caution means, for people. An unknown code is shown as it is.
CAUTIONS = {
    "repetition_suspected": "An engine may have repeated itself; compare with the sound.",
    "language_guessed": "The language could not be told for certain.",
    "language_unknown": "The engine does not know the language asked for; it was detected instead.",
    "words_in_silence_dropped": "An engine wrote words where nobody speaks; they were left out.",
    "too_short": "A stretch was too short for an engine, or for its text to be placed in time.",
    "speech_without_words": "Somebody seems to speak, but the engine found no words.",
    "answer_cut": "An engine had more to say than one answer holds.",
    "label_unlisted": "An engine named a sound that is none of those asked for.",
    "prompt_ignored": "The engine that answered takes no prompt; it changed nothing.",
    "prompt_cut": "The prompt is longer than the engine reads: only its end was read.",
    "temperature_ignored": "The engine that answered knows no temperature; it changed nothing.",
    "answer_filtered": "An engine's vendor left out a part of its answer.",
}


def _warnings(t: Testimony) -> Iterable[r.Warned]:
    for caution in t.survey.cautions:
        yield r.Warned(code=caution.code, message=caution.message)
    codes = sorted({code for d in _all(t) for code in d.answer.cautions})
    for code in codes:
        yield r.Warned(code=code, message=CAUTIONS.get(code, code.replace("_", " ")))
    yield from _left_undescribed(t)
    yield from _missing(t)
    failed = {
        (s.engine, s.reason, d.missing)
        for task, many in t.heard.items()
        for d in many
        if not (d.missing and task in MISSING)
        for s in d.decisions
        if s.verdict is Verdict.ESCALATE and s.reason not in ("low_confidence", "uncalibrated")
    }
    for engine, reason, without in sorted(failed):
        instead = UNPLACED if without else "the next one answered."
        told = PASSED_BY.get(reason, f"failed; {instead}")
        yield r.Warned(code=reason, message=f"Engine {engine} {told}")


#: Why an engine's answer does not stand though nothing failed (`spending.Refusal`).
PASSED_BY = {
    "not_opted_in": "was not asked: this tenant has not agreed to engines that cost money.",
    "over_budget": "was not asked: it would cost more than is left of the tenant's day.",
    "over_limit": "was not asked: one call would cost more than the tenant's whole day may.",
    "intent_unresolved": "was not asked again: a call of this attempt may have been paid for.",
    "already_called": "was not asked again: this attempt's answer was lost.",
    "no_words": "found no words where another one did.",
}
#: What is asked beside the transcript, which stands without it: code of the warning, name.
MISSING = {
    Task.CLASSIFY: ("sounds_missing", "sounds"),
    Task.DESCRIBE: ("description_missing", "description"),
    Task.EMBED: ("features_missing", "features"),
}
#: Aligning that ends with a failure: what was said keeps its times.
UNPLACED = "some words keep the times of the engine that wrote them, or have none."


def _missing(t: Testimony) -> Iterable[r.Warned]:
    for task, (code, what) in MISSING.items():
        gaps = [d for d in t.heard.get(task, ()) if d.missing]
        if not gaps:
            continue
        plan = {s.index: s.duration_s for s in planned(t.survey, task)}
        lost_s, asked_s = sum(plan[d.segment] for d in gaps), sum(plan.values())
        steps = sorted({(s.engine, s.reason) for d in gaps for s in d.decisions})
        why = " ".join(f"Engine {e} {PASSED_BY.get(w, f'failed ({w}).')}" for e, w in steps)
        told = f"{lost_s:.0f} of {asked_s:.0f} seconds have no {what}. {why}"
        yield r.Warned(code=code, message=f"{told} Mend that and upload the recording again.")


def _left_undescribed(t: Testimony) -> Iterable[r.Warned]:
    total_s = t.survey.facts.duration_s or 0.0
    ends = [s.end_s for s in planned(t.survey, Task.DESCRIBE)]
    if t.heard.get(Task.DESCRIBE) and ends and len(ends) < len(t.survey.windows):
        told = f"Only the first {ends[-1]:.0f} of {total_s:.0f} seconds were described."
        yield r.Warned(code="described_in_part", message=told)
