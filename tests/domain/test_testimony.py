"""From answers to a result: merged, weighted, and never silent about what is missing."""

import json
from dataclasses import replace

import pytest

from shared.domain.answers import Answer, SoundEvent, Task, Word
from shared.domain.cascade import Decided, Decision, Verdict
from shared.domain.coverage import SLACK_S
from shared.domain.measured import measurements
from shared.domain.recording import Failure
from shared.domain.sound import Caution, Facts, Quality, Segment, Survey
from shared.domain.states import State
from shared.domain.testimony import Testimony, outcome, rendered, summary, testify
from tests.builders import NOW, recording

SURVEY = Survey(
    Facts("wav", "pcm_s16le", 16_000, 1, 40.0),
    Quality(-1.0, 0.0, None, 0.2, None),
    (Segment(0, 0.0, 10.0), Segment(1, 20.0, 30.0)),
    (Segment(0, 0.0, 20.0), Segment(1, 20.0, 40.0)),
    (),
    "p",
)


def said(index, text, at=0.0, confidence=0.5, language="en", **extra):
    words = tuple(Word(at + i, at + i + 0.9, w, confidence) for i, w in enumerate(text.split()))
    answer = Answer(
        "e", Task.TRANSCRIBE, text, language, confidence, words=words, seconds=0.25, **extra
    )
    step = Decision(index, Task.TRANSCRIBE, "e", Verdict.ACCEPT, "uncalibrated", confidence)
    return Decided(index, answer, (step,))


def heard(index, *events):
    step = Decision(index, Task.CLASSIFY, "s", Verdict.ACCEPT, "uncalibrated")
    return Decided(index, Answer("s", Task.CLASSIFY, events=events), (step,))


def testimony(transcribe=(), classify=(), survey=SURVEY):
    both = {Task.TRANSCRIBE: list(transcribe), Task.CLASSIFY: list(classify)}
    return Testimony(recording(1), survey, both, "a" * 64, {"hear": 1.0, "queue": -0.1}, {"e": "1"})


def test_segments_come_in_the_order_of_time_with_the_text_of_all():
    result = testify(testimony([said(1, "second one", 20.0), said(0, "first", 0.0)]))

    assert result.transcript.text == "first second one"
    assert [s.start_s for s in result.transcript.segments] == [0.0, 20.0]


def test_a_pause_inside_an_answer_parts_the_transcript_and_what_search_finds():
    one = said(0, "hello there", 0.0)
    late = (one.answer.words[0], replace(one.answer.words[1], start_s=5.0, end_s=5.5))
    t = testimony([replace(one, answer=replace(one.answer, words=late))])

    result = testify(t)

    assert [s.text for s in result.transcript.segments] == ["hello", "there"]
    assert [(p.start_s, p.text) for p in outcome(result, "f", None).passages] == [
        (0.0, "hello"),
        (5.0, "there"),
    ]


def test_confidence_is_weighted_by_seconds():
    result = testify(testimony([said(0, "a b c", 0.0, 0.9), said(1, "d", 20.0, 0.3)]))

    expected = (2.9 * 0.9 + 0.9 * 0.3) / 3.8
    assert result.transcript.confidence == pytest.approx(expected, abs=1e-3)
    assert result.transcript.calibrated is False


@pytest.mark.parametrize(("calibrated", "words"), [(True, None), (False, 0.5)])
def test_an_engines_own_number_never_stands_beside_a_probability(calibrated, words):
    result = testify(testimony([said(0, "so", calibrated=calibrated)]))

    [segment] = result.transcript.segments
    assert result.transcript.calibrated is calibrated
    assert [w.confidence for w in segment.words] == [words]


def test_one_segment_without_confidence_leaves_the_whole_without():
    result = testify(testimony([said(0, "a"), said(1, "b", 20.0, None)]))

    assert result.transcript.confidence is None


def test_a_rounding_error_above_one_is_one():
    result = testify(testimony([said(0, "a", 0.0, 1.0000001)]))

    assert result.transcript.segments[0].confidence == 1.0


def test_speech_without_words_is_said():
    result = testify(testimony([said(0, "a"), said(1, "")]))

    assert result.transcript.unexplained_s == 0.0
    assert result.transcript.coverage == pytest.approx(0.75)
    assert len(result.transcript.segments) == 1
    [warned] = result.warnings
    assert warned.code == "speech_unaccounted"
    assert warned.message.endswith("no words: 10.0 s, at 20.0-30.0 s.")


def test_words_are_missed_where_the_last_ones_leave_speech_behind():
    heard_as = replace(SURVEY, voiced=(((0.0, 10.0), (20.0, 30.0), (35.0, 36.0)),))

    result = testify(testimony([said(0, "a b c"), said(1, "d " * 10, 20.0)], survey=heard_as))

    missed_s = (10.0 - 2.9 - SLACK_S) + 1.0
    assert result.transcript.coverage == pytest.approx(1 - missed_s / 40)
    assert result.warnings[0].message.endswith("at 3.6-10.0 s, 35.0-36.0 s.")


def test_channels_are_accounted_for_one_by_one():
    cuts = (Segment(0, 0.0, 10.0, 0), Segment(1, 0.0, 10.0, 1))
    both = replace(SURVEY, speech=cuts, voiced=(((0.0, 10.0),), ((0.0, 10.0),)))

    result = testify(testimony([said(0, "x " * 10), said(1, "")], survey=both))

    assert result.transcript.coverage == pytest.approx(1 - 10 / 2 / 40)
    assert "10.0 s, at 0.0-10.0 s (channel 2)" in result.warnings[0].message


@pytest.mark.parametrize(
    ("label", "unexplained_s"), [("music", 2.0), ("speech", 5.0)], ids=["named", "not by speech"]
)
def test_what_is_loud_and_unnamed_is_unexplained(label, unexplained_s):
    loud = replace(SURVEY, speech=(), unexplained=(((10.0, 15.0),),))

    result = testify(testimony((), [heard(0, SoundEvent(label, 12.0, 18.0, 0.9))], survey=loud))

    assert result.transcript.unexplained_s == unexplained_s
    assert result.transcript.coverage == pytest.approx(1 - unexplained_s / 40)
    assert [w.code for w in result.warnings] == ["loud_unexplained"]


def test_nothing_said_is_an_empty_transcript():
    silent = replace(SURVEY, speech=())

    result = testify(testimony(survey=silent))

    assert (result.transcript.text, result.transcript.coverage) == ("", 1.0)
    assert (result.language, result.transcript.confidence) == (None, None)
    assert rendered(result)["transcript.srt"] == b""


def test_the_language_is_that_of_most_seconds():
    both = [said(0, "uno", language="es"), said(1, "one two three", 20.0, language="en")]

    assert testify(testimony(both)).language == "en"


def test_events_a_window_parted_are_one():
    result = testify(
        testimony(
            classify=[
                heard(
                    0, SoundEvent("music", 15.0, 20.0, 0.7), SoundEvent("speech", 1.0, 2.0, None)
                ),
                heard(
                    1, SoundEvent("music", 20.2, 25.0, 0.9), SoundEvent("music", 30.0, 31.0, 0.5)
                ),
            ]
        )
    )

    assert [(s.label, s.start_s, s.end_s, s.confidence) for s in result.sounds] == [
        ("speech", 1.0, 2.0, None),
        ("music", 15.0, 25.0, 0.9),
        ("music", 30.0, 31.0, 0.5),
    ]


def test_cautions_and_failures_become_warnings():
    cut = replace(SURVEY, cautions=(Caution("cut_short", "The file ends early."),))
    failed = Decision(0, Task.TRANSCRIBE, "first", Verdict.ESCALATE, "engine_died")
    once = said(0, "a", cautions=("repetition_suspected",))
    decided = replace(once, decisions=(failed, *once.decisions))

    result = testify(testimony([decided, said(1, "b", 20.0)], survey=cut))

    assert [w.code for w in result.warnings] == ["cut_short", "repetition_suspected", "engine_died"]


def test_a_channel_stays_with_its_segment_and_decisions():
    apart = replace(SURVEY, speech=(Segment(0, 0.0, 10.0, 1), Segment(1, 0.0, 9.0, 0)))

    result = testify(testimony([said(0, "agent"), said(1, "customer")], survey=apart))

    assert [s.channel for s in result.transcript.segments] == [0, 1]
    assert [d.channel for d in result.decisions] == [1, 0]


def test_measurements_are_one_row_an_engine_and_task():
    rows = measurements(testimony([said(0, "a"), said(1, "b", 20.0)], [heard(0), heard(1)]), NOW)

    assert [(r.body["engine"], r.body["task"]) for r in rows] == [
        ("e", "transcribe"),
        ("s", "classify"),
    ]
    assert (rows[0].body["segments"], rows[0].body["audio_s"]) == (2, 20.0)
    assert (rows[0].body["engine_s"], rows[0].body["verdict_accept"]) == (0.5, 2)
    assert len({r.event_id for r in rows}) == 2
    assert "text" not in json.dumps([r.body for r in rows])


def test_the_outcome_is_what_search_and_lists_need():
    t = testimony([said(0, "one two", 0.0)])

    kept = outcome(testify(t), "results/acme/r/1", "key")

    assert (kept.seconds, kept.language, kept.review) == (40.0, "en", False)
    assert [(p.start_s, p.text) for p in kept.passages] == [(0.0, "one two")]


def test_a_clock_that_went_back_gives_no_negative_times():
    assert testify(testimony()).timings_s == {"hear": 1.0, "queue": 0.0}


def test_the_files_of_a_result_agree():
    files = rendered(testify(testimony([said(0, "hello world", 0.0)])))

    assert json.loads(files["result.json"])["transcript"] == json.loads(files["transcript.json"])
    assert b"hello world" in files["transcript.srt"]
    assert files["transcript.vtt"].startswith(b"WEBVTT")
    assert files["transcript.txt"] == b"hello world\n"


def test_a_recording_without_a_result_has_the_same_shape():
    refused = recording(1, state=State.REJECTED, error=Failure("not_audio", "No audio."))

    result = summary(refused)

    assert (result.status, result.error.code) == (State.REJECTED, "not_audio")
    assert (result.transcript, result.audio) == (None, None)
