"""What the reader of a result must know: what was cut, skipped, degraded or failed."""

from collections.abc import Iterable, Mapping, Sequence

from shared.domain import result as r
from shared.domain.accounting import unaccounted, warnings
from shared.domain.answers import Task
from shared.domain.cascade import Decided, Verdict
from shared.domain.plans import planned
from shared.domain.sound import Survey

#: What an engine's caution means, for people. An unknown code is shown as it is.
CAUTIONS = {
    "repetition_suspected": "An engine may have repeated itself; compare with the sound.",
    "repetition_cut": "An engine wrote the same again and again; the text ends where that began.",
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
    "answer_unstructured": "An engine answered in a form of its own; its words stand as they are.",
    "transcript_cut": "More was said in a window than an engine is given with a question.",
    "question_missing": "An engine was asked nothing, so it was not asked at all.",
    "confidence_outside_domain": "Some of this is unlike the sound that confidence was fitted to;"
    " it promises less there.",
    "answer_filtered": "An engine's vendor left out a part of its answer.",
}
#: Escalations that are no news: they say that an answer was weighed, as every answer is.
WEIGHED = frozenset({"low_confidence", "uncalibrated"})
#: Why an engine's answer does not stand though nothing failed (`spending.Refusal`).
PASSED_BY = {
    "not_opted_in": "was not asked: this tenant has not agreed to engines that cost money.",
    "over_budget": "was not asked: it would cost more than is left of the tenant's day.",
    "over_limit": "was not asked: one call would cost more than the tenant's whole day may.",
    "intent_unresolved": "was not asked again: a call of this attempt may have been paid for.",
    "already_called": "was not asked again: this attempt's answer was lost.",
    "task_timed_out": "was not waited for: the time that the tenant's profile gives was over.",
    "residency": "was not asked: this tenant's data may not leave.",
    "no_words": "found no words where another one did.",
    "degraded": "was passed over: the recording had waited longer than its lane should take.",
    "coverage": "left words out; another one was asked.",
}
#: What is asked beside the transcript, which stands without it: code of the warning, name.
MISSING = {
    Task.TRANSCRIBE: ("transcript_missing", "transcript"),
    Task.CLASSIFY: ("sounds_missing", "sounds"),
    Task.DESCRIBE: ("description_missing", "description"),
    Task.EMBED: ("features_missing", "features"),
}
#: Aligning that ends with a failure: what was said keeps its times.
UNPLACED = "some words keep the times of the engine that wrote them, or have none."

Heard = Mapping[Task, Sequence[Decided]]


def cautions(survey: Survey, heard: Heard) -> Iterable[r.Warned]:
    for caution in survey.cautions:
        yield r.Warned(code=caution.code, message=caution.message)
    codes = sorted({code for d in everything(heard) for code in d.answer.cautions})
    for code in codes:
        yield r.Warned(code=code, message=CAUTIONS.get(code, code.replace("_", " ")))
    yield from warnings(unaccounted(survey, heard))
    yield from _left_undescribed(survey, heard)
    yield from _missing(survey, heard)
    failed = {
        (s.engine, s.reason, d.missing)
        for task, many in heard.items()
        for d in many
        if not (d.missing and (task in MISSING or task is Task.ANSWER))
        for s in d.decisions
        if s.verdict is Verdict.ESCALATE and s.reason not in WEIGHED
    }
    for engine, reason, without in sorted(failed):
        instead = UNPLACED if without else "the next one answered."
        told = PASSED_BY.get(reason, f"failed; {instead}")
        yield r.Warned(code=reason, message=f"Engine {engine} {told}")


def _missing(survey: Survey, heard: Heard) -> Iterable[r.Warned]:
    for task, (code, what) in MISSING.items():
        gaps = [d for d in heard.get(task, ()) if d.missing]
        if not gaps:
            continue
        plan = {s.index: s.duration_s for s in planned(survey, task)}
        lost_s, asked_s = sum(plan[d.segment] for d in gaps), sum(plan.values())
        steps = sorted({(s.engine, s.reason) for d in gaps for s in d.decisions})
        why = " ".join(f"Engine {e} {PASSED_BY.get(w, f'failed ({w}).')}" for e, w in steps)
        told = f"{lost_s:.0f} of {asked_s:.0f} seconds have no {what}. {why}"
        yield r.Warned(code=code, message=f"{told} Mend that and upload the recording again.")


def _left_undescribed(survey: Survey, heard: Heard) -> Iterable[r.Warned]:
    total_s = survey.facts.duration_s or 0.0
    ends = [s.end_s for s in planned(survey, Task.DESCRIBE)]
    if heard.get(Task.DESCRIBE) and ends and len(ends) < len(survey.windows):
        told = f"Only the first {ends[-1]:.0f} of {total_s:.0f} seconds were described."
        yield r.Warned(code="described_in_part", message=told)


def everything(heard: Heard) -> Iterable[Decided]:
    return (d for many in heard.values() for d in many)
