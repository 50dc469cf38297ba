"""What a recording sounds like, in words and in numbers."""

import base64
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from shared.domain.answers import Answer, Embedding, Task
from shared.domain.recording import Topic
from shared.domain.sound import Segment
from shared.domain.states import State
from shared.errors import (
    BreakerOpen,
    EngineDied,
    EngineUnavailable,
    NotFound,
    OutOfMemory,
    WeightsRefused,
)
from shared.flows.work import Settled
from tests.flows import test_reuse as reuse
from tests.flows.ears import SmallEars, plainly, survey
from tests.flows.test_work import LANES, Clock, SilentBroker, add, known, work

CASCADE = {
    Task.TRANSCRIBE: ("first",),
    Task.DESCRIBE: ("teller",),
    Task.EMBED: ("feeler",),
}
#: Frames a second, and numbers a frame.
RATE, DIMS = 12.5, 2


def sound(windows=6, each_s=20.0):
    tiles = tuple(Segment(i, i * each_s, (i + 1) * each_s) for i in range(windows))
    made = survey(segments=1)
    return replace(made, windows=tiles, facts=replace(made.facts, duration_s=windows * each_s))


def script(engine, task, segments):
    if task is Task.DESCRIBE:
        return [Answer(engine, task, f"Rain {s.index}.", confidence=0.5) for s in segments]
    if task is Task.EMBED:
        return [Answer(engine, task, embedding=embedding(s)) for s in segments]
    return plainly(engine, task, segments)


def embedding(segment):
    frames = np.full((round(segment.duration_s * RATE), DIMS), segment.index, np.int8)
    kept = base64.b64encode(frames.tobytes()).decode()
    return Embedding((float(segment.index), 0.0), kept, DIMS, RATE)


def result(store, made=None):
    done = known(store) if made is None else store.recordings.get(made.id)
    assert done.state is State.DONE
    return done.result, json.loads(store.results.load(done.result, "result.json"))


def loaded(store, folder, name):
    return np.load(io.BytesIO(store.results.load(folder, name)))


def test_a_recording_is_described_window_by_window_and_the_rest_is_said(store):
    add(store)

    work(store, SmallEars(sound(), script), cascade=CASCADE)(LANES)

    _, told = result(store)
    assert told["description"]["text"] == "Rain 0. Rain 1. Rain 2. Rain 3."
    assert told["description"]["support"] is None
    assert told["description"]["parts"][1] == {
        "start_s": 20.0,
        "end_s": 40.0,
        "engine": "teller",
        "text": "Rain 1.",
        "confidence": None,
    }
    assert [(w["code"], w["message"]) for w in told["warnings"]] == [
        ("described_in_part", "Only the first 80 of 120 seconds were described.")
    ]


def test_a_short_recording_is_described_whole(store):
    add(store)

    work(store, SmallEars(sound(windows=4), script), cascade=CASCADE)(LANES)

    assert result(store)[1]["warnings"] == []


def test_features_lie_beside_the_result(store):
    add(store)
    broker = SilentBroker()

    work(store, SmallEars(sound(), script), broker, cascade=CASCADE)(LANES)

    folder, told = result(store)
    assert told["features"] == {
        "engine": "feeler",
        "dims": 2,
        "vector_ref": "vector.npy",
        "frames_ref": "features.npy",
        "frame_dims": DIMS,
        "frames_per_s": RATE,
    }
    vector, frames = loaded(store, folder, "vector.npy"), loaded(store, folder, "features.npy")
    np.testing.assert_allclose(vector, [2.5, np.std(range(6))], rtol=1e-6)
    assert (vector.dtype, frames.dtype, frames.shape) == (np.float32, np.int8, (1500, DIMS))
    assert frames[::250, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert told["versions"].keys() >= {"teller", "feeler"}
    rows = {m.body["task"]: m.body for m in broker.taken if m.topic is Topic.METRICS}
    assert (rows["embed"]["segments"], rows["describe"]["audio_s"]) == (6, 80.0)


def test_without_engines_for_them_there_is_neither(store):
    add(store)

    work(store, SmallEars(sound(), script))(LANES)

    folder, told = result(store)
    assert (told["description"], told["features"]) == (None, None)
    with pytest.raises(NotFound):
        store.results.load(folder, "vector.npy")


def test_what_was_felt_before_a_crash_is_not_asked_again(store):
    add(store)

    def dies_at_the_last(engine, task, segments):
        if task is Task.EMBED and segments[-1].index == 5:
            raise KeyboardInterrupt  # stands for kill -9: nothing is written any more
        return script(engine, task, segments)

    with pytest.raises(KeyboardInterrupt):
        work(store, SmallEars(sound(), dies_at_the_last), cascade=CASCADE)(LANES)
    store.jobs.take_back(Clock()(), worker="w1")
    ears = SmallEars(sound(), script)

    settled = work(store, ears, cascade=CASCADE, clock=Clock(step_s=60.0))(LANES)

    folder, _ = result(store)
    assert (settled, ears.asked) == (Settled.DONE, [("feeler", [5])])
    assert loaded(store, folder, "features.npy")[::250, 0].tolist() == [0, 1, 2, 3, 4, 5]


def test_known_content_brings_its_features_along(store):
    reuse.add(store, "a.wav")
    work(store, SmallEars(sound(), script), cascade=CASCADE)(LANES)
    copy, ears = reuse.add(store, "b.wav"), SmallEars(sound(), script)

    work(store, ears, cascade=CASCADE)(LANES)

    folder, told = result(store, copy)
    assert (ears.asked, told["features"]["vector_ref"]) == ([], "vector.npy")
    np.testing.assert_allclose(loaded(store, folder, "vector.npy")[0], 2.5)
    assert loaded(store, folder, "features.npy").shape == (1500, DIMS)


def test_features_that_are_gone_are_made_anew(store):
    first = reuse.add(store, "a.wav")
    work(store, SmallEars(sound(), script), cascade=CASCADE)(LANES)
    folder, _ = result(store, first)
    store.results.remove(folder)
    reuse.add(store, "b.wav")
    ears = SmallEars(sound(), script)

    work(store, ears, cascade=CASCADE)(LANES)

    assert ("feeler", [5]) in ears.asked


def test_another_feeler_is_another_question(store):
    reuse.add(store, "a.wav")
    work(store, SmallEars(sound(), script), cascade=CASCADE)(LANES)
    reuse.add(store, "b.wav")
    ears = SmallEars(sound(), script)

    work(store, ears, cascade={**CASCADE, Task.EMBED: ("second",)})(LANES)

    assert ears.asked[0] == ("first", [0])


def failing(*failures):
    """Each of these engines fails so, whatever it is asked."""
    how = dict(failures)

    def fails(engine, task, segments):
        if engine in how:
            raise how[engine]
        return script(engine, task, segments)

    return fails


BESIDE = {**CASCADE, Task.CLASSIFY: ("namer",)}


@pytest.mark.parametrize(
    ("engine", "task", "code", "what"),
    [
        ("feeler", "embed", "features_missing", "120 of 120 seconds have no features."),
        ("teller", "describe", "description_missing", "80 of 80 seconds have no description."),
        ("namer", "classify", "sounds_missing", "120 of 120 seconds have no sounds."),
    ],
)
@pytest.mark.parametrize(
    "error", [EngineUnavailable, EngineDied, BreakerOpen, OutOfMemory, WeightsRefused]
)
def test_what_is_asked_beside_the_transcript_may_be_missing(store, error, engine, task, code, what):
    add(store)

    settled = work(store, SmallEars(sound(), failing((engine, error))), cascade=BESIDE)(LANES)

    _, told = result(store)
    [warned] = [w for w in told["warnings"] if w["code"] != "described_in_part"]
    assert (settled, known(store).attempts) == (Settled.DONE, 1)
    assert told["transcript"]["text"] == "first heard 0"
    assert warned["code"] == code
    assert warned["message"] == (
        f"{what} Engine {engine} failed ({error.code}). Mend that and upload the recording again."
    )
    assert {
        (d["engine"], d["verdict"], d["reason"]) for d in told["decisions"] if d["task"] == task
    } == {(engine, "escalate", error.code)}
    assert told["review"] is False


def test_a_part_that_is_missing_is_said_with_everybody_who_failed(store):
    add(store)

    def fails_at_the_end(engine, task, segments):
        if task is Task.EMBED and segments[-1].index == 5:
            raise EngineDied
        return script(engine, task, segments)

    cascade = {**CASCADE, Task.EMBED: ("feeler", "feeler-2")}
    work(store, SmallEars(sound(), fails_at_the_end), cascade=cascade)(LANES)

    folder, told = result(store)
    assert told["warnings"][-1] == {
        "code": "features_missing",
        "message": "20 of 120 seconds have no features. Engine feeler failed (engine_died)."
        " Engine feeler-2 failed (engine_died). Mend that and upload the recording again.",
    }
    assert loaded(store, folder, "features.npy")[::250, 0].tolist() == [0, 1, 2, 3, 4, 0]


def test_what_is_missing_is_not_asked_for_ever(store):
    """A job handed over while an engine hangs goes on behind the gap."""
    add(store)
    ears = SmallEars(sound(), failing(("feeler", EngineDied)))

    def settled():
        return work(store, ears, cascade=CASCADE, clock=Clock(step_s=60.0))(LANES, lambda _: True)

    assert [settled(), settled(), settled(), settled()][-1] is Settled.DONE
    assert [asked for engine, asked in ears.asked if engine == "feeler"] == [[0, 1, 2, 3, 4], [5]]


def test_known_content_with_something_missing_is_heard_anew(store):
    reuse.add(store, "a.wav")
    work(store, SmallEars(sound(), failing(("feeler", EngineDied))), cascade=CASCADE)(LANES)
    again, ears = reuse.add(store, "b.wav"), SmallEars(sound(), script)

    work(store, ears, cascade=CASCADE)(LANES)

    assert ("feeler", [5]) in ears.asked
    assert result(store, again)[1]["features"]["engine"] == "feeler"


def test_where_no_transcript_is_asked_for_nothing_may_be_missing(store):
    """Features were all that was asked: the attempt fails, and the next one keeps what is known."""
    add(store)
    cascade = {Task.DESCRIBE: ("teller",), Task.EMBED: ("feeler",)}
    ears = SmallEars(sound(), failing(("feeler", EngineUnavailable)))

    assert work(store, ears, cascade=cascade)(LANES) is Settled.FAILED
    ears = SmallEars(sound(), script)
    work(store, ears, cascade=cascade, clock=Clock(step_s=60.0))(LANES)

    assert {name for name, _ in ears.asked} == {"feeler"}
