"""One caller waits: what is told, and when words are placed in time."""

import io
from dataclasses import replace

import pytest

from gpu_service.openai_api.asked import asked
from gpu_service.openai_api.testifying import Witness
from gpu_service.openai_api.transcripts import rendered
from shared.domain.answers import Answer, Task
from shared.domain.sound import Limits, Segment
from shared.domain.tenants import Tenant, Tier
from shared.domain.wishes import Wishes
from shared.errors import EngineDied, EngineUnavailable, LibraryMissing, WeightsRefused
from shared.flows.ask import Ask
from shared.flows.listen import Listen, Listening, parted
from tests.builders import NOW
from tests.flows.ears import SmallEars, survey

LIMITS = Limits(max_seconds=300, max_bytes=10**8)
WANTED = Listening("acme", Wishes(), LIMITS, ("first",), 0.0, ("en-aligner",))
ENGLISH = {"en-aligner": {"en"}}


def told(ears, wanted=WANTED):
    """The survey, then what came, run by run."""
    return list(Listen(ears, Ask())(io.BytesIO(), wanted, lambda: None))


def transcript(steps, format="verbose_json"):
    first, *runs = steps
    witness = Witness(
        Tenant("acme", Tier.PRO, NOW),
        asked([("model", "first"), ("response_format", format)]),
        first,
        NOW,
    )
    return witness.transcript([d for run in runs for d in run])


def sources(made):
    return [word.source for segment in made.segments for word in segment.words]


def test_each_run_is_placed_before_the_next_is_asked():
    ears = SmallEars(survey=survey(2), languages=ENGLISH)

    steps = told(ears)

    assert ears.asked == [("first", [0]), ("en-aligner", [0]), ("first", [1]), ("en-aligner", [1])]
    assert [[d.answer.task for d in run] for run in steps[1:]] == [
        [Task.TRANSCRIBE, Task.ALIGN]
    ] * 2


def test_words_are_where_the_aligner_puts_them():
    made = transcript(told(SmallEars(survey=survey(2), languages=ENGLISH)))

    assert [(w.text, w.start_s) for s in made.segments for w in s.words][3:] == [
        ("first", 10.0),
        ("heard", 10.5),
        ("1", 11.0),
    ]
    assert set(sources(made)) == {"en-aligner"}
    assert (made.engines, made.warnings) == (["first"], [])
    assert made.text == "first heard 0 first heard 1"


@pytest.mark.parametrize("wanted", [replace(WANTED, aligners=()), WANTED], ids=["none", "other"])
def test_without_an_aligner_that_suits_times_are_the_engines(wanted):
    ears = SmallEars(languages={"en-aligner": {"es"}})

    made = transcript(told(ears, wanted))

    assert {engine for engine, _ in ears.asked} == {"first"}
    assert (set(sources(made)), made.warnings) == ({"engine"}, [])


@pytest.mark.parametrize("error", [EngineUnavailable, EngineDied, WeightsRefused, LibraryMissing])
def test_a_failing_aligner_fails_no_request_and_is_said(error):
    def fails(engine, segments, said):
        raise error(engine=engine)

    made = transcript(told(SmallEars(languages=ENGLISH, place=fails)))

    assert made.text == "first heard 0 first heard 1 first heard 2"
    assert set(sources(made)) == {"engine"}
    assert [w["code"] for w in rendered(made)[0]["warnings"]] == [error.code]
    assert "keep the times" in made.warnings[0]["message"]


def test_placing_lends_no_probability_to_what_was_said():
    """The aligner's score is not the engine's probability of a token."""

    def unsure(engine, task, segments):
        return [Answer(engine, task, "no numbers", language="en") for _ in segments]

    made = transcript(told(SmallEars(survey=survey(1), script=unsure, languages=ENGLISH)))

    assert sources(made) == ["en-aligner"] * 2
    assert made.logprobs_source == "none"
    assert rendered(made)[0]["segments"][0]["avg_logprob"] is None


def test_segments_that_overlap_are_told_in_one_run():
    """Their common words are told once; a run that was told is not taken back."""
    cuts = [
        Segment(0, 0, 20, 0),
        Segment(1, 5, 25, 1),
        Segment(2, 18, 40, 0),
        Segment(3, 40, 60, 0),
    ]

    runs = [[s.index for s in run] for run in parted(cuts, 10.0)]

    assert runs == [[0, 1, 2], [3]]
