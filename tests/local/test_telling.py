"""What people read: plain, and harmless whatever a name holds."""

from datetime import timedelta

import pytest

from local.telling import clock_time, portrait, result_of, safe, transcript_lines, verdict
from shared.domain.recording import Failure
from shared.domain.states import State
from tests.builders import NOW, recording


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00.0"),
        (0.3, "0:00.3"),
        (59.99, "0:59.9"),
        (60, "1:00.0"),
        (3599.99, "59:59.9"),
        (3600, "1:00:00.0"),
        (37_230.4, "10:20:30.4"),
    ],
)
def test_times_are_rounded_down_to_tenths(seconds, text):
    assert clock_time(seconds) == text


VERDICTS = {
    "done": ({"state": State.DONE}, "a.wav: done"),
    "review": (
        {"state": State.DONE, "review": True},
        "a.wav: done; a person should look at it",
    ),
    "rejected": (
        {"state": State.REJECTED, "error": Failure("empty_audio", "It is empty.")},
        "a.wav: rejected: It is empty.",
    ),
    "waiting": ({"state": State.QUEUED}, "a.wav: queued"),
}


def test_of_what_is_erased_only_the_id_is_left_to_tell():
    gone = recording(path="", state=State.ERASED)

    assert verdict(gone) == f"{gone.id}: erased"


@pytest.mark.parametrize(("changes", "sentence"), VERDICTS.values(), ids=VERDICTS)
def test_verdict_is_one_line(changes, sentence):
    assert verdict(recording(path="a.wav", **changes)) == sentence


def test_put_off_recording_says_until_when():
    late = recording(state=State.DEFERRED, deferred_until=NOW + timedelta(days=1))

    assert "deferred; it is heard from 2026-03-0" in verdict(late)


def test_what_was_put_off_by_its_work_says_why_and_until_when():
    cause = Failure("paid_call_withheld", "It would cost too much today.")
    late = recording(state=State.DEFERRED, deferred_until=NOW + timedelta(days=1), error=cause)

    assert "deferred: It would cost too much today. It is heard from 2026-03-0" in verdict(late)


@pytest.mark.parametrize("text", ["a\x1b[2Jb", "a\nb", "a\u202eb", "a\x9bb"])
def test_nothing_from_outside_steers_the_terminal(text):
    name = recording(path=text, state=State.DONE)

    assert "\\" in safe(text)
    assert verdict(name).isprintable()


def test_portrait_tells_what_is_asked_first(world):
    made = world.done("talk.wav", "hello there")
    result = result_of(made, world.parts.results)

    lines = list(portrait(made, result))

    assert lines[0] == f"talk.wav   {made.id}"
    assert "done, tenant demo (free), lane high by rule everything_else" in lines[1]
    assert "0:02.0 of wav/pcm_s16le, 16000 Hz, 1 channel(s)" in lines
    assert "language en, confidence 0.90 (not calibrated)" in lines
    assert "   0:00.0 - 0:01.0    (music)" in lines
    assert "warning cut_tail: The end is missing." in lines
    assert lines[-1] == next(transcript_lines(result))
    assert lines[-1] == "   0:01.0 - 0:02.0    hello there"


def test_portrait_says_whose_answers_these_are(world):
    made = world.done("talk.wav", "hello there")
    result = result_of(made, world.parts.results).model_copy(update={"reused_from": "abc"})

    assert "the same content as abc, whose answers these are" in list(portrait(made, result))


def test_portrait_of_what_was_refused_says_why(world):
    made = world.rejected()

    lines = list(portrait(made, result_of(made, world.parts.results)))

    assert "rejected, tenant demo (free), no lane" in lines
    assert lines[-1] == "not_audio: The file holds no audio."
