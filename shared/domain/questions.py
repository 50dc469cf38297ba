"""Questions that came with a recording: how many, how long, and of which windows they are asked.

A question is its tenant's instruction, but a confined one: bounded text, asked of sound and
transcript that are data. What is answered is text in a result and nothing else.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from shared.domain.cascade import Decided
from shared.domain.confined import plain
from shared.domain.sound import Segment, Survey
from shared.errors import InvalidWish

#: Questions a recording, and characters a question: together 6,000 bytes in any script, which
#: fit into the 8 KiB of custom metadata that an object of Cloud Storage may have.
MAX_QUESTIONS, MAX_QUESTION = 5, 300
#: Every question is asked of these first windows (224 s). With 5 questions that is 40 calls, or
#: 1.46 USD at most with `gpt-audio-1.5`, of the 5 USD that a pro tenant's day has. What was left
#: out is said in a warning.
QUESTIONED_WINDOWS = 8
#: UTF-8 bytes of the transcript that go with a question about a window of 28 s: twice what the
#: fastest speaker says in it (25 characters a second).
MAX_EXCERPT_BYTES = 1_500


@dataclass(frozen=True, slots=True)
class Question:
    """What an engine is asked about one window."""

    text: str
    transcript: str = ""  #: what was said there, as far as known: data to answer from


def questions(one: str | None, many: str | None) -> tuple[str, ...]:
    """What `x-goog-meta-question` and `x-goog-meta-questions` (a JSON list) ask.

    Raises:
        InvalidWish: not such a list, too many, empty or too long. Repeating will not help.
    """
    asked = [*([] if one is None else [one]), *([] if many is None else _listed(many))]
    if len(asked) > MAX_QUESTIONS:
        raise InvalidWish(
            f"The upload asks {len(asked)} questions; a recording takes {MAX_QUESTIONS}."
        )
    return tuple(map(checked, asked))


def _listed(document: str) -> list[str]:
    try:
        found = json.loads(document)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(q, str) for q in found):
        raise InvalidWish("The upload's metadata `questions` is no JSON list of texts.")
    return found


def checked(question: str) -> str:
    """The question on one line, without control characters.

    Raises:
        InvalidWish: it is empty or too long.
    """
    text = plain(question)
    if not text:
        raise InvalidWish("A question of the upload is empty.")
    if len(text) > MAX_QUESTION:
        raise InvalidWish(f"A question has {MAX_QUESTION} characters at most, not {len(text):,}.")
    return text


def slots(survey: Survey) -> tuple[Segment, ...]:
    """Every window that may be asked about, once for each question there may be.

    The number of a slot says both: window x MAX_QUESTIONS + question. So each pair has its own
    checkpoint and its own paid call.
    """
    return tuple(
        replace(window, index=window.index * MAX_QUESTIONS + number)
        for window in survey.windows[:QUESTIONED_WINDOWS]
        for number in range(MAX_QUESTIONS)
    )


def number_of(slot: int) -> int:
    """The question that is asked in a slot, counted from 0."""
    return slot % MAX_QUESTIONS


def put(
    slot: Segment, texts: Sequence[str], speech: Iterable[Segment], said: Iterable[Decided]
) -> Question:
    """The question of a slot, with what was said in its window."""
    return Question(texts[number_of(slot.index)], excerpt(slot, speech, said))


def excerpt(window: Segment, speech: Iterable[Segment], said: Iterable[Decided]) -> str:
    """What was said in a window, in the order of time; cut where it is longer than anybody talks.

    Words without times count where their segment's middle lies.
    """
    plan = {s.index: s for s in speech}
    found: list[tuple[float, str]] = []
    for decided in said:
        cut = plan[decided.segment]
        words = [((w.start_s + w.end_s) / 2, w.text) for w in decided.answer.words]
        found += words or [((cut.start_s + cut.end_s) / 2, decided.answer.text)]
    inside = [text for at_s, text in sorted(found) if window.start_s <= at_s < window.end_s]
    whole = plain(" ".join(inside)).encode()
    return whole[:MAX_EXCERPT_BYTES].decode(errors="ignore")
