"""Questions that come with an upload are asked, answered, and never silently dropped."""

import json

import pytest

from shared.domain.answers import Answer, Task
from shared.domain.questions import Question
from shared.domain.wishes import Wishes
from shared.errors import EngineDied
from shared.flows.work import Settled
from tests.flows import test_reuse as reuse
from tests.flows.ears import SmallEars, plainly
from tests.flows.test_tasks import sound
from tests.flows.test_work import LANES, Clock, add, known, work

WHO, WHY = "Who calls?", "Why?"
ASKED = Wishes(questions=(WHO, WHY))
CASCADE = {Task.TRANSCRIBE: ("first",), Task.ANSWER: ("sage", "oracle")}


def script(engine, task, segments):
    if task is not Task.ANSWER:
        return plainly(engine, task, segments)
    return [
        Answer(engine, task, f"{engine} says {s.index}.", evidence="a voice", confidence=0.5)
        for s in segments
    ]


def told(store, made=None):
    done = known(store) if made is None else store.recordings.get(made.id)
    return json.loads(store.results.load(done.result, "result.json"))


def warned(result):
    return {w["code"]: w["message"] for w in result["warnings"]}


def test_each_question_is_asked_of_each_window_with_what_was_said_there(store):
    add(store, wishes=ASKED)
    ears = SmallEars(sound(windows=2), script)

    assert work(store, ears, cascade=CASCADE)(LANES) is Settled.DONE

    answers = told(store)["answers"]
    assert [(a["question"], a["text"], a["confidence"]) for a in answers] == [
        (WHO, "sage says 0. sage says 5.", None),
        (WHY, "sage says 1. sage says 6.", None),
    ]
    assert answers[1]["parts"][1] == {
        "start_s": 20.0,
        "end_s": 40.0,
        "engine": "sage",
        "text": "sage says 6.",
        "evidence": "a voice",
        "confidence": None,
    }
    assert ears.questions == [
        Question(WHO, "first heard 0"),
        Question(WHY, "first heard 0"),
        Question(WHO),
        Question(WHY),
    ]
    assert warned(told(store)) == {}


def test_decisions_say_which_question_they_are_about(store):
    add(store, wishes=ASKED)
    work(store, SmallEars(sound(windows=2), script), cascade=CASCADE)(LANES)

    steps = [d for d in told(store)["decisions"] if d["task"] == "answer"]
    assert [(d["question"], d["start_s"], d["engine"]) for d in steps] == [
        (0, 0.0, "sage"),
        (1, 0.0, "sage"),
        (0, 20.0, "sage"),
        (1, 20.0, "sage"),
    ]
    assert {d["question"] for d in told(store)["decisions"] if d["task"] != "answer"} == {None}


def test_windows_that_do_not_tell_are_left_out_of_the_answer(store):
    def tells_once(engine, task, segments):
        if task is not Task.ANSWER:
            return plainly(engine, task, segments)
        return [
            Answer(engine, task, "Ann." if s.start_s else "It is not said.", evidence=evidence)
            for s in segments
            for evidence in ["It is Ann" if s.start_s else ""]
        ]

    add(store, wishes=Wishes(questions=(WHO,)))
    work(store, SmallEars(sound(windows=3), tells_once), cascade=CASCADE)(LANES)

    [answer] = told(store)["answers"]
    assert (answer["text"], len(answer["parts"]), answer["confidence"]) == ("Ann.", 3, None)


def test_where_no_window_tells_the_answer_says_so(store):
    def tells_nothing(engine, task, segments):
        if task is not Task.ANSWER:
            return plainly(engine, task, segments)
        return [Answer(engine, task, "It is not said.", evidence="") for _ in segments]

    add(store, wishes=Wishes(questions=(WHO,)))
    work(store, SmallEars(sound(windows=3), tells_nothing), cascade=CASCADE)(LANES)

    assert told(store)["answers"][0]["text"] == "It is not said."


def test_without_an_engine_a_warning_says_that_nobody_was_asked(store):
    add(store, wishes=ASKED)

    assert work(store, SmallEars(sound(), script))(LANES) is Settled.DONE

    result = told(store)
    assert [(a["question"], a["text"], a["parts"]) for a in result["answers"]] == [
        (WHO, "", []),
        (WHY, "", []),
    ]
    assert warned(result) == {
        "questions_not_asked": "2 questions were not asked: no engine here answers questions."
        " Name one in EARWITNESS_CASCADE__ANSWER, and `answer` in the tenant's profile if it has"
        " one, and upload the recording again."
    }


def test_without_questions_nobody_is_asked(store):
    add(store)
    ears = SmallEars(sound(), script)

    work(store, ears, cascade=CASCADE)(LANES)

    assert {name for name, _ in ears.asked} == {"first"}
    assert (told(store)["answers"], warned(told(store))) == ([], {})


def test_a_long_recording_is_asked_in_part_and_that_is_said(store):
    add(store, wishes=Wishes(questions=(WHO,)))
    ears = SmallEars(sound(windows=9), script)

    work(store, ears, cascade=CASCADE)(LANES)

    result = told(store)
    assert len(result["answers"][0]["parts"]) == 8
    assert warned(result) == {
        "questions_asked_in_part": "Questions were asked of the first 160 of 180 seconds only."
    }


def test_the_next_engine_answers_where_one_fails(store):
    def fails(engine, task, segments):
        if engine == "sage":
            raise EngineDied
        return script(engine, task, segments)

    add(store, wishes=ASKED)
    work(store, SmallEars(sound(windows=1), fails), cascade=CASCADE)(LANES)

    assert told(store)["answers"][0]["parts"][0]["engine"] == "oracle"
    assert "engine_died" in warned(told(store))


def test_what_nobody_answers_leaves_the_transcript_and_is_said(store):
    def fails(engine, task, segments):
        if task is Task.ANSWER and any(s.start_s for s in segments):
            raise EngineDied
        return script(engine, task, segments)

    add(store, wishes=Wishes(questions=(WHO,)))
    ears = SmallEars(sound(windows=6), fails)

    assert work(store, ears, cascade={**CASCADE, Task.ANSWER: ("sage",)})(LANES) is Settled.DONE

    result = told(store)
    assert result["transcript"]["text"] == "first heard 0"
    assert (result["answers"][0]["text"], result["answers"][0]["parts"]) == ("", [])
    assert warned(result) == {
        "answers_missing": "Question 1 has no answer for 120 of 120 seconds. Engine sage failed"
        " (engine_died). Mend that and upload the recording again."
    }


def test_answers_survive_a_hand_over(store):
    add(store, wishes=ASKED)
    ears = SmallEars(sound(windows=6), script)

    def settled():
        return work(store, ears, cascade=CASCADE, clock=Clock(step_s=60.0))(LANES, lambda _: True)

    assert [settled(), settled(), settled(), settled()][-1] is Settled.DONE
    asked = [n for engine, many in ears.asked if engine == "sage" for n in many]
    assert asked == [w * 5 + q for w in range(6) for q in (0, 1)]
    assert len(told(store)["answers"][1]["parts"]) == 6


@pytest.mark.parametrize(
    ("questions", "reused"), [((WHO, WHY), True), ((WHY, WHO), False), ((WHO,), False), ((), False)]
)
def test_known_content_answers_the_same_questions_only(store, questions, reused):
    reuse.add(store, "a.wav", wishes=ASKED)
    work(store, SmallEars(sound(), script), cascade=CASCADE)(LANES)
    copy = reuse.add(store, "b.wav", wishes=Wishes(questions=questions))

    work(store, SmallEars(sound(), script), cascade=CASCADE)(LANES)

    result = told(store, copy)
    assert (result["reused_from"] is not None) is reused
    assert [a["question"] for a in result["answers"]] == list(questions)
