"""What a recording took, as rows for BigQuery: one an engine and task."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime

from shared.domain.cascade import Verdict
from shared.domain.messages import event_id
from shared.domain.plans import planned
from shared.domain.recording import Message, Topic
from shared.domain.testimony import Testimony


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
