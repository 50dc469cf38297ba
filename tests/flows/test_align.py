"""Words in time: by the aligner of their language, and never at the price of the words."""

import json

import pytest

from shared.domain.answers import Answer, Task
from shared.domain.prices import Price, Terms
from shared.domain.recording import Topic
from shared.domain.states import State
from shared.errors import (
    EngineDied,
    EngineUnavailable,
    InvalidSettings,
    StaleLease,
    WeightsRefused,
)
from shared.flows.align import Align
from shared.flows.work import Settled
from tests.builders import NOW
from tests.flows.ears import SmallEars, plainly, says, side_by_side, survey
from tests.flows.test_work import LANES, Clock, SilentBroker, add, known, work

ENGLISH = {"en-aligner": {"en"}, "es-aligner": {"es"}}
CASCADE = {Task.TRANSCRIBE: ("first",), Task.ALIGN: ("es-aligner", "en-aligner", "spare")}


def broken(error):
    def place(engine, segments, said):
        raise error

    return place


def result(store):
    assert known(store).state is State.DONE
    return json.loads(store.results.load(known(store).result, "result.json"))


def words(told):
    return [word for s in told["transcript"]["segments"] for word in s["words"]]


def steps(told):
    return [
        (s["engine"], s["verdict"], s["reason"]) for s in told["decisions"] if s["task"] == "align"
    ]


def test_words_come_where_the_aligner_of_their_language_puts_them(store):
    add(store)
    ears, broker = SmallEars(languages=ENGLISH), SilentBroker()

    settled = work(store, ears, broker, cascade=CASCADE)(LANES)

    told = result(store)
    assert settled is Settled.DONE
    assert ears.asked == [("first", [0, 1, 2]), ("en-aligner", [0, 1, 2])]
    assert [(w["text"], w["start_s"], w["source"]) for w in words(told)[:3]] == [
        ("first", 0.0, "en-aligner"),
        ("heard", 0.5, "en-aligner"),
        ("0", 1.0, "en-aligner"),
    ]
    assert told["transcript"]["text"] == "first heard 0 first heard 1 first heard 2"
    assert steps(told) == [("en-aligner", "accept", "aligned")] * 3
    assert told["versions"]["en-aligner"] == "1"
    assert not told["review"]
    rows = {m.body["task"]: m.body for m in broker.taken if m.topic is Topic.METRICS}
    assert rows["align"]["engine"] == "en-aligner"
    assert (rows["align"]["audio_s"], rows["align"]["engine_s"]) == (30.0, 0.375)


def test_without_an_aligner_of_the_language_times_are_the_engines(store):
    add(store)
    ears = SmallEars(languages={"es-aligner": {"es"}})

    work(store, ears, cascade=CASCADE)(LANES)

    told = result(store)
    assert {w["source"] for w in words(told)} == {"engine"}
    assert (steps(told), told["warnings"]) == ([], [])


def test_without_times_from_anybody_none_are_invented(store):
    add(store)

    def mute_about_time(engine, task, segments):
        return [Answer(engine, task, "some words", language="fr") for _ in segments]

    work(store, SmallEars(script=mute_about_time, languages=ENGLISH), cascade=CASCADE)(LANES)

    told = result(store)
    assert words(told) == []
    assert [s["text"] for s in told["transcript"]["segments"]] == ["some words"] * 3


@pytest.mark.parametrize("error", [EngineUnavailable, EngineDied, WeightsRefused, InvalidSettings])
def test_a_failing_aligner_fails_no_recording_and_is_said(store, error):
    add(store)
    ears = SmallEars(languages=ENGLISH, place=broken(error(engine="en-aligner")))

    settled = work(store, ears, cascade=CASCADE)(LANES)

    told = result(store)
    assert settled is Settled.DONE
    assert {w["source"] for w in words(told)} == {"engine"}
    assert steps(told) == [("en-aligner", "escalate", error.code)] * 3
    assert [w["code"] for w in told["warnings"]] == [error.code]
    assert "keep the times" in told["warnings"][0]["message"]
    assert not told["review"]


def test_what_one_aligner_cannot_another_may(store):
    add(store)

    def first_fails(engine, segments, said):
        if engine == "en-aligner":
            raise EngineDied(engine=engine)
        return side_by_side(engine, segments, said)

    ears = SmallEars(languages={**ENGLISH, "spare": {"en"}}, place=first_fails)

    work(store, ears, cascade=CASCADE)(LANES)

    told = result(store)
    assert {w["source"] for w in words(told)} == {"spare"}
    assert steps(told)[:2] == [
        ("en-aligner", "escalate", "engine_died"),
        ("spare", "accept", "aligned"),
    ]
    assert "the next one answered" in told["warnings"][0]["message"]


def test_text_too_long_for_its_sound_keeps_its_times(store):
    add(store)

    def too_short(engine, segments, said):
        return [Answer(engine, Task.ALIGN, a.text, cautions=("too_short",)) for a in said]

    work(store, SmallEars(languages=ENGLISH, place=too_short), cascade=CASCADE)(LANES)

    told = result(store)
    assert {w["source"] for w in words(told)} == {"engine"}
    assert {s[2] for s in steps(told)} == {"unplaced"}
    assert [w["code"] for w in told["warnings"]] == ["too_short"]


def test_an_aligner_that_costs_is_not_asked(store):
    add(store)
    dear = Terms(price=Price(as_of=NOW.date(), source="us", minute_usd=6.0))
    ears = SmallEars(languages=ENGLISH, paid={"en-aligner": dear})

    work(store, ears, cascade=CASCADE)(LANES)

    assert ears.asked == [("first", [0, 1, 2])]
    assert {w["source"] for w in words(result(store))} == {"engine"}


def test_silence_is_not_placed(store):
    add(store)

    def half_silent(engine, task, segments):
        return [says(engine, s, "" if s.index == 1 else None) for s in segments]

    ears = SmallEars(script=half_silent, languages=ENGLISH)
    work(store, ears, cascade=CASCADE)(LANES)

    assert ears.asked[1:] == [("en-aligner", [0, 2])]


def test_a_lost_lease_is_no_failing_aligner(store):
    add(store)

    settled = work(store, SmallEars(languages=ENGLISH, place=broken(StaleLease())), cascade=CASCADE)

    assert settled(LANES) is Settled.LOST
    assert known(store).state is State.PROCESSING


def test_a_crash_while_placing_asks_only_for_the_places(store):
    add(store)
    ears = SmallEars(languages=ENGLISH, place=broken(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        work(store, ears, cascade=CASCADE)(LANES)
    store.jobs.take_back(Clock()(), worker="w1")
    again = SmallEars(languages=ENGLISH)

    settled = work(store, again, cascade=CASCADE, clock=Clock(step_s=60.0))(LANES)

    assert (settled, again.asked) == (Settled.DONE, [("en-aligner", [0, 1, 2])])
    assert {w["source"] for w in words(result(store))} == {"en-aligner"}


def test_answers_carry_the_alignment_score():
    ears = SmallEars(survey(1), plainly, languages=ENGLISH)

    [decided] = Align()(
        ears, ears.survey.speech, {0: says("e", ears.survey.speech[0])}, ["en-aligner"]
    )

    assert decided.answer.signals == {"alignment_score": -0.25}
