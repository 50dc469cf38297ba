"""How the page says things: states, times, sizes, decisions, in plain words."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from markupsafe import Markup, escape

from gateway.search import HIT_BEGINS, HIT_ENDS
from shared.domain.names import display
from shared.domain.result import Step
from shared.domain.states import State


@dataclass(frozen=True, slots=True)
class Look:
    """A state as people see it: an icon of the sprite, a word, a sentence."""

    icon: str
    word: str
    sentence: str


LOOKS: dict[State, Look] = {
    State.RECEIVED: Look("clock", "Received", "It is here and will be queued in a moment."),
    State.QUEUED: Look("clock", "Waiting", "It waits for a free place. There is nothing to do."),
    State.PROCESSING: Look("wave", "Listening", "It is being heard right now."),
    State.DEFERRED: Look("pause", "Deferred", "It waits for a promised time and comes by itself."),
    State.DONE: Look("check", "Done", "It was heard."),
    State.DEAD: Look("cross", "Failed", "Every attempt failed. It waits for you to decide."),
    State.REJECTED: Look("stop", "Rejected", "It was refused for good. The upload is untouched."),
    State.ERASED: Look("stop", "Erased", "Its sound and results are gone for good."),
}

#: The languages most often spoken in recordings; others are shown by their code.
LANGUAGES = {
    "ar": "Arabic",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fi": "Finnish",
    "fr": "French",
    "he": "Hebrew",
    "hi": "Hindi",
    "hu": "Hungarian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "no": "Norwegian",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sv": "Swedish",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "vi": "Vietnamese",
    "zh": "Chinese",
}

#: Why an engine was passed by or its answer does not stand, by reason.
PASSED = {
    "low_confidence": "passed on: it was not sure enough",
    "uncalibrated": "passed on: its confidence is not calibrated",
    "coverage": "passed on: words that were spoken are missing",
    "no_words": "passed on: it found no words where another engine did",
    "degraded": "passed over: the recording had waited longer than its lane should take",
    "breaker_open": "not asked: it failed too often just before and is left alone for a while",
    "not_opted_in": "not asked: the tenant has not agreed to engines that cost money",
    "residency": "not asked: the tenant's data may not leave",
    "over_budget": "not asked: it would cost more than is left of the tenant's day",
    "over_limit": "not asked: one call would cost more than the tenant's whole day may",
    "intent_unresolved": "not asked again: a call may have been paid for",
    "already_called": "not asked again: the call was made and its answer lost",
    "task_timed_out": "not waited for: the time that the tenant's profile gives was over",
}
#: Why an answer is accepted.
ACCEPTED = {
    "confident": "accepted: it was sure enough",
    "uncalibrated": "accepted and marked: its confidence is not calibrated",
    "aligned": "placed",
    "unplaced": "left as it was: the words could not be placed",
    "highest-confidence": "kept: of all answers it has the highest confidence",
    "latest": "kept: it is the last answer that is good enough",
    "weighted": "kept: the engines' votes were for it",
}
#: Why nobody was believed and a person should look.
REVIEWED = {
    "low_confidence": "nobody was sure enough",
    "uncalibrated": "its confidence is not calibrated",
    "coverage": "words that were spoken are missing",
    "no_words": "another engine found no words",
    "not_opted_in": "no engine that costs money may be asked",
    "residency": "no engine elsewhere may be asked",
    "over_budget": "the tenant's day has no money left",
    "over_limit": "one call would cost more than the tenant's whole day may",
    "highest-confidence": "of all answers it is the best",
    "latest": "of all answers it is the last one",
    "weighted": "the engines' votes were for it",
}
TASKS = {
    "transcribe": "writing down speech",
    "align": "placing words in time",
    "classify": "naming sounds",
    "describe": "describing",
    "answer": "answering questions",
    "embed": "making features to search by",
}

PHASES = {"queue": "waiting", "decode": "decoding", "hear": "hearing", "total": "in all"}

_HIT = re.compile(f"{HIT_BEGINS}([^{HIT_BEGINS}{HIT_ENDS}]*){HIT_ENDS}")
_CODE = re.compile(r"`([^`]*)`")
_MARKS = re.compile(f"[{HIT_BEGINS}{HIT_ENDS}]")
KB = 1_000


def clock(seconds: float | None) -> str:
    """0:07, 12:34, 1:02:03; an en dash where nothing is known."""
    if seconds is None:
        return "–"
    whole = int(seconds)  # as players count
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def moment(seconds: float) -> str:
    """A place in a recording for an address: 12.3, never in exponents."""
    return f"{seconds:.2f}".rstrip("0").rstrip(".")


def percent(share: float | None) -> str:
    return "–" if share is None else f"{share * 100:.0f} %"


def size(size_bytes: float) -> str:
    """812 B, 1.2 MB: decimal units, as disks and browsers count."""
    if size_bytes < KB:
        return f"{size_bytes:.0f} B"
    for unit in ("kB", "MB"):
        size_bytes /= KB
        if size_bytes < KB:
            return f"{size_bytes:.1f} {unit}"
    return f"{size_bytes / KB:.1f} GB"


def when(at: datetime) -> str:
    """For people without script; the script writes it in their own zone and language."""
    return f"{at:%d %b %Y, %H:%M} UTC"


def language(code: str | None) -> str:
    return "–" if code is None else LANGUAGES.get(code, code)


def marked(snippet: str) -> Markup:
    """A snippet, escaped, with its hits in <mark>."""
    safe = _HIT.sub(lambda hit: f"<mark>{hit[1]}</mark>", str(escape(snippet)))
    return Markup(_MARKS.sub("", safe))  # noqa: S704  # escaped in the line above


def coded(message: str) -> Markup:
    """A message, escaped, with what stands between backticks as <code>."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(message))))  # noqa: S704  # escaped


def decisions(steps: Iterable[Step]) -> list[str]:
    """The cascade's steps in sentences, alike ones counted together, in order."""
    alike: dict[tuple[str, str, str, str], list[Step]] = {}
    for s in steps:
        alike.setdefault((s.engine, s.task.value, s.verdict.value, s.reason), []).append(s)
    return [_sentence(*key, its) for key, its in alike.items()]


def _sentence(engine: str, task: str, verdict: str, reason: str, steps: Sequence[Step]) -> str:
    stretch = "1 stretch" if len(steps) == 1 else f"{len(steps)} stretches"
    cost_usd = sum(s.cost_usd for s in steps)
    paid = f" It cost {cost_usd:.4f} USD." if cost_usd else ""
    return f"{engine}, {TASKS.get(task, task)}: {stretch} {_became(verdict, reason)}.{paid}"


def _became(verdict: str, reason: str) -> str:
    plain = reason.replace("_", " ")
    if verdict == "accept":
        return ACCEPTED.get(reason, f"accepted ({plain})")
    if verdict == "review":
        why = REVIEWED.get(reason, f"nobody else answered ({plain})")
        return f"kept for a person to review: {why}"
    return PASSED.get(reason, f"not answered ({plain}), so the next engine was asked")


def decibel(value: float | None, unit: str) -> str:
    return "digital silence" if value is None else f"{value:.1f} {unit}".replace("-", "−")


FILTERS: dict[str, Callable[..., Any]] = {
    "clock": clock,
    "moment": moment,
    "percent": percent,
    "size": size,
    "when": when,
    "language": language,
    "marked": marked,
    "coded": coded,
    "shown": display,
    "decibel": decibel,
}
