"""What was heard of a file, as JSON: one entry an operation, each answered or failed apart."""

from collections.abc import Mapping, Sequence
from typing import Any

from gpu_service.analysis.hearing import Heard
from gpu_service.openai_api import failures
from shared.domain.answers import Answer, Task, Word
from shared.domain.cascade import Decided
from shared.domain.sound import Survey
from shared.domain.stitching import stitched
from shared.errors import EarwitnessError

Json = dict[str, Any]


def fault(error: EarwitnessError) -> Json:
    """OpenAI's shape, and the seeds' two: how often we tried, and whether trying again may help."""
    retries = int(error.context.get("retry_count") or 0)
    more = {"retry_count": retries, "recoverable": error.retryable}
    return {**failures.detail(error).model_dump(), **more}


def analysis(name: str, survey: Survey, heard: Sequence[Heard], accept_at: float) -> Json:
    facts = survey.facts
    return {
        "object": "analysis",
        "file": name,
        "audio": {
            "container": facts.container,
            "codec": facts.codec,
            "duration_s": round(facts.duration_s or 0.0, 3),
        },
        "warnings": [{"code": c.code, "message": c.message} for c in survey.cautions],
        "results": {task.value: _result(survey, task, what, accept_at) for task, what in heard},
        "error": None,
    }


def failed(name: str, error: EarwitnessError) -> Json:
    return {"object": "analysis", "file": name, "results": {}, "error": fault(error)}


def _result(
    survey: Survey, task: Task, what: Sequence[Decided] | EarwitnessError, accept_at: float
) -> Json:
    if isinstance(what, EarwitnessError):
        return {"error": fault(what)}
    segments = survey.speech if task is Task.TRANSCRIBE else survey.windows
    times = {s.index: (s.start_s, s.end_s) for s in segments}
    if task is Task.TRANSCRIBE:
        what = stitched(segments, what)
    parts = [_part(d, times[d.segment], accept_at) for d in what]
    answers = [d.answer for d in what]
    return {
        "text": " ".join(a.text for a in answers if a.text),
        "language": next((a.language for a in answers if a.language), None),
        **_judged(_weighted(answers, [times[d.segment] for d in what]), answers, accept_at),
        "review": any(d.review for d in what),
        "engines": sorted({a.engine for a in answers}),
        "segments": parts,
        "error": None,
    }


def _part(decided: Decided, times: tuple[float, float], accept_at: float) -> Json:
    answer = decided.answer
    sounds = [
        {
            "label": e.label,
            "start_s": round(e.start_s, 3),
            "end_s": round(e.end_s, 3),
            "confidence": e.confidence,
        }
        for e in answer.events
    ]
    return {
        "start_s": round(times[0], 3),
        "end_s": round(times[1], 3),
        "text": answer.text,
        "engine": answer.engine,
        **_judged(answer.confidence, [answer], accept_at),
        "words": [_word(w) for w in answer.words],
        "sounds": sounds,
        "warnings": list(answer.cautions),
    }


def _word(word: Word) -> Json:
    times = {"start_s": round(word.start_s, 3), "end_s": round(word.end_s, 3)}
    return {**times, "text": word.text, "confidence": word.confidence, "source": word.source}


def _judged(confidence: float | None, answers: Sequence[Answer], accept_at: float) -> Json:
    """`accepted` is null where nobody calibrated: a raw score meets no bar."""
    calibrated = bool(answers) and all(a.calibrated for a in answers)
    known = calibrated and confidence is not None
    accepted = (confidence or 0.0) >= accept_at if known else None
    return {"confidence": confidence, "calibrated": calibrated, "accepted": accepted}


def _weighted(answers: Sequence[Answer], times: Sequence[tuple[float, float]]) -> float | None:
    """Mean confidence, each segment by its seconds; None if any gave none."""
    if not answers or any(a.confidence is None for a in answers):
        return None
    weights = [end - start for start, end in times]
    total = sum(w * (a.confidence or 0.0) for w, a in zip(weights, answers, strict=True))
    return round(total / sum(weights), 4)


def versions(told: Sequence[Json], known: Mapping[str, str]) -> Json:
    """What answered, by engine."""
    return {name: known[name] for name in sorted(_engines(told)) if name in known}


def _engines(told: Sequence[Json]) -> set[str]:
    results = [r for one in told for r in one["results"].values()]
    return {engine for r in results for engine in r.get("engines", ())}
