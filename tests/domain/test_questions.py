"""What may be asked, of which windows, and what goes with it."""

import json

import pytest

from shared.domain.answers import Answer, Task, Word
from shared.domain.cascade import Decided, Decision, Verdict
from shared.domain.questions import (
    MAX_EXCERPT_BYTES,
    MAX_QUESTION,
    MAX_QUESTIONS,
    QUESTIONED_WINDOWS,
    excerpt,
    number_of,
    put,
    questions,
    slots,
)
from shared.domain.sound import Segment
from shared.errors import InvalidWish
from tests.flows.ears import survey
from tests.flows.test_tasks import sound


def stood(index, text, *words):
    step = Decision(index, Task.TRANSCRIBE, "e", Verdict.ACCEPT, "confident")
    return Decided(index, Answer("e", Task.TRANSCRIBE, text, words=words), (step,))


@pytest.mark.parametrize(
    ("one", "many", "asked"),
    [
        (None, None, ()),
        ("Who calls?", None, ("Who calls?",)),
        (None, '["Who calls?", "¿Por qué?"]', ("Who calls?", "¿Por qué?")),
        ("First?", '["Then?"]', ("First?", "Then?")),
        (None, "[]", ()),
        ("  Who\r\n\tcalls?\x00\x1b[31m ", None, ("Who calls? [31m",)),
        ("Who\u202e calls\U000e0041?", None, ("Who calls?",)),
        ("می\u200cخواهد؟", None, ("می\u200cخواهد؟",)),
        ("?" * MAX_QUESTION, None, ("?" * MAX_QUESTION,)),
    ],
)
def test_what_is_asked(one, many, asked):
    assert questions(one, many) == asked


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("", None),
        ("\x00\u202e", None),
        ("?" * (MAX_QUESTION + 1), None),
        (None, "Who calls?"),
        (None, '{"question": "Who?"}'),
        (None, "[1]"),
        (None, "[" * 100_000),
        (None, json.dumps(["Who?"] * (MAX_QUESTIONS + 1))),
        ("One more?", json.dumps(["Who?"] * MAX_QUESTIONS)),
    ],
)
def test_what_cannot_be_asked_is_refused(one, many):
    with pytest.raises(InvalidWish):
        questions(one, many)


def test_the_most_that_may_be_asked_fits_into_an_objects_metadata():
    most = json.dumps(["\U0001f3a7" * MAX_QUESTION] * MAX_QUESTIONS, ensure_ascii=False)

    assert len(most.encode()) < 8 << 10


def test_every_pair_of_window_and_question_has_its_number():
    made = slots(sound(windows=QUESTIONED_WINDOWS + 1))

    assert len(made) == len({s.index for s in made}) == QUESTIONED_WINDOWS * MAX_QUESTIONS
    assert [number_of(s.index) for s in made[:MAX_QUESTIONS]] == list(range(MAX_QUESTIONS))
    assert {s.start_s for s in made[:MAX_QUESTIONS]} == {0.0}
    assert made[-1].end_s == QUESTIONED_WINDOWS * 20.0


def test_a_window_brings_what_was_said_in_it():
    window = Segment(1, 10.0, 20.0)
    timed = stood(
        0, "a b c", *(Word(t, t + 1, x, None) for t, x in ((8, "a"), (9.6, "b"), (19, "c")))
    )
    untimed = [stood(1, "middle"), stood(2, "after")]

    told = excerpt(window, survey(segments=3).speech, [*untimed, timed])

    assert told == "b middle c"


def test_a_window_brings_no_more_than_anybody_says_in_it():
    window, long = Segment(0, 0.0, 10.0), "¡" * MAX_EXCERPT_BYTES

    told = put(window, ("Who?",), survey(segments=1).speech, [stood(0, long)])

    assert told.text == "Who?"
    assert len(told.transcript.encode()) == MAX_EXCERPT_BYTES
