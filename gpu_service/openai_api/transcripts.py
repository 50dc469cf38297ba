"""What was decided -> OpenAI's six formats."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any

from gpu_service.openai_api.asked import Asked, Format, Granularity
from shared.domain.answers import Answer
from shared.domain.cascade import Decided
from shared.domain.result import Result, TranscriptSegment
from shared.domain.sound import Segment, Survey
from shared.domain.subtitles import cues, to_srt, to_vtt

#: Until diarization exists everybody is the same speaker, and the answer says so.
SPEAKER = "A"
#: A probability is taken for at least this before its logarithm: log(0) is no number.
LEAST = 1e-10
#: Whisper's frames: 10 ms. `seek` counts them.
SEEK_PER_S = 100
PLAIN, VTT, JSON = "text/plain; charset=utf-8", "text/vtt; charset=utf-8", "application/json"
CAUTIONS = {
    "one_speaker": "Speakers are not told apart yet: everything is said to be by speaker A.",
    "parameter_unheeded": "A parameter was taken and changes nothing here.",
    "language_unexpected": "Another language was heard than those the caller named.",
    "logprobs_of_words": "The engine gives no tokens: these are words with their probabilities.",
    "logprobs_unknown": "The engine that answered gives no probabilities.",
}


@dataclass(frozen=True, slots=True)
class Transcript:
    """One sound, heard to its end: the caller's request, and all that answers it."""

    asked: Asked
    survey: Survey
    decided: Sequence[Decided]
    result: Result

    @property
    def segments(self) -> Sequence[TranscriptSegment]:
        return self.result.transcript.segments if self.result.transcript else ()

    @property
    def text(self) -> str:
        return self.result.transcript.text if self.result.transcript else ""

    @property
    def duration_s(self) -> float:
        return self.survey.facts.duration_s or 0.0

    @property
    def engines(self) -> list[str]:
        """Who answered, in the order of time, each once."""
        return list(dict.fromkeys(d.answer.engine for d in self.decided))

    @property
    def languages(self) -> list[str]:
        """What was heard to be spoken, in the order of time, each once."""
        return list(dict.fromkeys(s.language for s in self.segments if s.language))

    @property
    def warnings(self) -> list[dict[str, str]]:
        """What a reader must know: ours of the sound and the engines, then of this request."""
        heard = [{"code": w.code, "message": w.message} for w in self.result.warnings]
        return heard + [{"code": c, "message": CAUTIONS[c]} for c in self._cautions()]

    def _cautions(self) -> list[str]:
        hints, heard = self.asked.languages, self.result.language
        holds = {
            "one_speaker": self.asked.format is Format.DIARIZED_JSON,
            "parameter_unheeded": bool(self.asked.unheeded),
            "language_unexpected": len(hints) > 1 and heard is not None and heard not in hints,
            "logprobs_of_words": self.asked.logprobs and self.logprobs_source == "words",
            "logprobs_unknown": self.asked.logprobs and self.logprobs_source == "none",
        }
        return [code for code, true in holds.items() if true]

    @property
    def logprobs_source(self) -> str:
        """tokens, words or none: what the log-probabilities are made of."""
        answers = [d.answer for d in self.decided if d.answer.text]
        if answers and all(a.tokens for a in answers):
            return "tokens"
        known = bool(answers) and all(_probable_words(a) for a in answers)
        return "words" if known else "none"


def rendered(t: Transcript) -> tuple[str | dict[str, Any], str]:
    """The body in the format asked for, and its content type."""
    if t.asked.format is Format.TEXT:
        return f"{t.text}\n", PLAIN
    if t.asked.format is Format.SRT:
        return to_srt(cues(t.segments)), PLAIN
    if t.asked.format is Format.VTT:
        return to_vtt(cues(t.segments)), VTT
    make = {Format.VERBOSE_JSON: _verbose, Format.DIARIZED_JSON: _diarized}
    return make.get(t.asked.format, _json)(t), JSON


def usage(duration_s: float) -> dict[str, Any]:
    return {"type": "duration", "seconds": round(duration_s, 3)}


def logprobs(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """Natural log-probabilities: of tokens where the engine gives them, else of its words."""
    return [entry for a in answers for entry in (_tokens(a) if a.tokens else _words(a))]


def diarized(segment: TranscriptSegment, number: int) -> dict[str, Any]:
    """One segment of `diarized_json`, and of its stream."""
    return {
        "type": "transcript.text.segment",
        "id": f"seg_{number}",
        "start": segment.start_s,
        "end": segment.end_s,
        "speaker": SPEAKER,
        "text": segment.text,
    }


def _json(t: Transcript) -> dict[str, Any]:
    body: dict[str, Any] = {"text": t.text, "usage": usage(t.duration_s)}
    body["languages"] = [{"code": code} for code in t.languages]
    if t.asked.logprobs:
        known = t.logprobs_source != "none"
        body["logprobs"] = logprobs([d.answer for d in t.decided]) if known else None
    return body | _warned(t)


def _diarized(t: Transcript) -> dict[str, Any]:
    return {
        "task": "transcribe",
        "duration": t.duration_s,
        "text": t.text,
        "segments": [diarized(s, n) for n, s in enumerate(t.segments)],
        "usage": usage(t.duration_s),
    } | _warned(t)


def _verbose(t: Transcript) -> dict[str, Any]:
    body: dict[str, Any] = {
        "task": "transcribe",
        "language": t.result.language or "",
        "duration": t.duration_s,
        "text": t.text,
        "usage": usage(t.duration_s),
    }
    if Granularity.WORD in t.asked.granularities:
        body["words"] = [
            {"word": w.text, "start": w.start_s, "end": w.end_s}
            for s in t.segments
            for w in s.words
        ]
    if Granularity.SEGMENT in t.asked.granularities:
        body["segments"] = [_segment(t, s, n) for n, s in enumerate(t.segments)]
    return body | _warned(t)


def _segment(t: Transcript, s: TranscriptSegment, number: int) -> dict[str, Any]:
    """Source of the keys: OpenAI's `TranscriptionSegment`; what nobody measured is null."""
    cut, answer = _heard_in(t, s)
    return {
        "id": number,
        "seek": round(cut.start_s * SEEK_PER_S),
        "start": s.start_s,
        "end": s.end_s,
        "text": s.text,
        "tokens": [],  # their ids mean nothing outside the model that has them
        "temperature": t.asked.temperature,
        "avg_logprob": _mean_logprob(answer),
        "compression_ratio": _compression_ratio(s.text),
        "no_speech_prob": answer.signals.get("no_speech_probability"),
    }


def _heard_in(t: Transcript, s: TranscriptSegment) -> tuple[Segment, Answer]:
    """The cut a piece of transcript lies in, and the answer to it: the one it shares most with."""
    plan = {cut.index: cut for cut in t.survey.speech}

    def shared_s(d: Decided) -> float:
        cut = plan[d.segment]
        return min(cut.end_s, s.end_s) - max(cut.start_s, s.start_s)

    best = max(t.decided, key=shared_s)
    return plan[best.segment], best.answer


def _mean_logprob(answer: Answer) -> float | None:
    measured = answer.signals.get("mean_logprob")
    if measured is not None:
        return measured
    words = _words(answer)
    return sum(w["logprob"] for w in words) / len(words) if _probable_words(answer) else None


def _compression_ratio(text: str) -> float:
    """How often a text repeats itself. Source: openai/whisper, `whisper/utils.py`."""
    content = text.encode()
    return round(len(content) / len(zlib.compress(content)), 4)


def _probable_words(answer: Answer) -> bool:
    return bool(answer.words) and all(w.confidence is not None for w in answer.words)


def _tokens(answer: Answer) -> list[dict[str, Any]]:
    return [_logprob(token.text, token.logprob) for token in answer.tokens]


def _words(answer: Answer) -> list[dict[str, Any]]:
    return [
        _logprob(f"{' ' if n else ''}{word.text}", log(max(word.confidence or 0.0, LEAST)))
        for n, word in enumerate(answer.words)
    ]


def _logprob(text: str, value: float) -> dict[str, Any]:
    return {"token": text, "logprob": value, "bytes": list(text.encode())}


def _warned(t: Transcript) -> dict[str, Any]:
    return {"warnings": t.warnings} if t.warnings else {}
