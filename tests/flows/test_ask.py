"""Down the cascade: what stands, what is kept, what is said of it."""

import pytest

from shared.domain.answers import Task
from shared.domain.cascade import Verdict
from shared.errors import EngineDied, EngineUnavailable
from shared.flows.ask import Ask
from tests.flows.ears import SmallEars, says, survey

TASK = Task.TRANSCRIBE


def ask(script, engines, segments=2):
    ears = SmallEars(survey(segments), script)
    return ears, Ask()(ears, TASK, ears.survey.speech, engines)


def calibrated(engine, segment, confidence):
    return says(engine, segment, confidence=confidence, calibrated=True)


def test_the_first_confident_answer_stands_and_nobody_else_is_asked():
    ears, decided = ask(
        lambda e, t, many: [calibrated(e, s, 0.9) for s in many], ["first", "second"]
    )

    assert [d.answer.engine for d in decided] == ["first", "first"]
    assert ears.asked == [("first", [0, 1])]


def test_only_doubtful_segments_go_to_the_next_engine():
    def script(engine, task, many):
        sure = {0: 0.95, 1: 0.4} if engine == "first" else {1: 0.9}
        return [calibrated(engine, s, sure[s.index]) for s in many]

    ears, decided = ask(script, ["first", "second"])

    assert [d.answer.engine for d in decided] == ["first", "second"]
    assert ears.asked[1] == ("second", [1])
    assert [(s.verdict, s.reason) for s in decided[1].decisions] == [
        (Verdict.ESCALATE, "low_confidence"),
        (Verdict.ACCEPT, "confident"),
    ]


def test_when_nobody_is_sure_the_best_answer_is_kept_for_review():
    def script(engine, task, many):
        return [calibrated(engine, s, {"first": 0.7, "second": 0.5}[engine]) for s in many]

    _, decided = ask(script, ["first", "second"], segments=1)

    assert decided[0].answer.engine == "first"
    assert decided[0].review


def test_a_low_answer_survives_the_failure_of_the_last_engine():
    def script(engine, task, many):
        if engine == "second":
            raise EngineUnavailable
        return [calibrated(engine, s, 0.5) for s in many]

    _, decided = ask(script, ["first", "second"], segments=1)

    assert (decided[0].answer.engine, decided[0].review) == ("first", True)
    assert [s.reason for s in decided[0].decisions] == [
        "low_confidence",
        "engine_unavailable",
        "engine_unavailable",
    ]


def test_a_failing_engine_is_passed_by_and_named():
    def script(engine, task, many):
        if engine == "first":
            raise EngineDied
        return [says(engine, s) for s in many]

    _, decided = ask(script, ["first", "second"], segments=1)

    assert [(s.engine, s.verdict, s.reason) for s in decided[0].decisions] == [
        ("first", Verdict.ESCALATE, "engine_died"),
        ("second", Verdict.ACCEPT, "uncalibrated"),
    ]


def test_without_any_answer_the_failure_comes_out():
    def script(engine, task, many):
        raise EngineDied

    with pytest.raises(EngineDied):
        ask(script, ["first", "second"])


def test_without_any_engine_there_is_no_answer():
    with pytest.raises(EngineUnavailable):
        ask(lambda e, t, many: [], [])
