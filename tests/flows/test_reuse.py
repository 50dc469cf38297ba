"""Known content is answered from what is known: inside the tenant, asked the same."""

import io
import json

import pytest

from shared.domain.answers import Task
from shared.domain.confidence import Calibrations
from shared.domain.lanes import Lane
from shared.domain.names import recording_id
from shared.domain.recording import Topic
from shared.domain.states import State
from shared.domain.tenants import Tenant, Tier
from shared.domain.wishes import Wishes
from shared.errors import EngineDied
from shared.flows.ask import Ask
from shared.flows.work import Settled
from tests.builders import NOW, placed, recording
from tests.calibration.files import fitted
from tests.flows.ears import SmallEars, plainly, survey
from tests.flows.test_work import LANES, SilentBroker, work

CASCADE = {Task.TRANSCRIBE: ("first", "second"), Task.CLASSIFY: ()}


def add(store, name, content=b"sound", tenant="acme", **changes):
    up = store.inlet.put(
        f"uploads/{tenant}/{name}", io.BytesIO(content), content_type="", metadata={}, at=NOW
    )
    made = recording(
        **{"id": recording_id(up.bucket, up.name, up.generation)},
        name=up.name,
        path=name,
        tenant=tenant,
        generation=up.generation,
        **changes,
    )
    return store.recordings.create_or_get(made, lambda _: placed())


def result(store, made):
    known = store.recordings.get(made.id)
    assert known.state is State.DONE
    return json.loads(store.results.load(known.result, "result.json"))


@pytest.fixture
def heard(store):
    first = add(store, "a.wav")
    assert work(store)(LANES) is Settled.DONE
    return first


def test_a_copy_is_answered_without_opening_it(store, heard):
    copy, ears, broker = add(store, "copies/b.wav"), SmallEars(), SilentBroker()

    settled = work(store, ears=ears, broker=broker)(LANES)

    told, original = result(store, copy), result(store, heard)
    assert (settled, ears.asked) == (Settled.DONE, [])
    assert told["transcript"] == original["transcript"]
    assert told["decisions"] == original["decisions"]
    assert (told["recording"]["id"], told["recording"]["name"]) == (copy.id, "copies/b.wav")
    assert (told["reused_from"], original["reused_from"]) == (heard.id, None)
    assert set(told["timings_s"]) == {"queue", "total"}
    hits = store.recordings.find("acme", '"first heard 1"')
    assert {h.recording.id for h in hits} == {heard.id, copy.id}
    topics = [m.topic for m in broker.taken]
    assert Topic.EVENTS in topics
    assert Topic.METRICS not in topics  # nobody was asked, so nothing was measured


def test_a_copy_of_a_copy_names_the_recording_that_was_heard(store, heard):
    add(store, "b.wav")
    work(store)(LANES)
    third = add(store, "c.wav")
    work(store)(LANES)

    assert result(store, third)["reused_from"] == heard.id


@pytest.mark.parametrize(
    ("upload", "worker"),
    [
        pytest.param({"content": b"other"}, {}, id="other content"),
        pytest.param({"tenant": "rival"}, {}, id="another tenant"),
        pytest.param({"wishes": Wishes(language="de")}, {}, id="another language"),
        pytest.param({"wishes": Wishes(separate=True)}, {}, id="channels apart"),
        pytest.param({"wishes": Wishes(engine="extra")}, {}, id="a wished engine"),
        pytest.param({}, {"cascade": {**CASCADE, Task.TRANSCRIBE: ("second",)}}, id="a cascade"),
    ],
)
def test_whatever_the_answer_depends_on_is_heard_again(store, heard, upload, worker):
    store.tenants.ensure("rival", Tier.FREE, NOW)
    again, ears = add(store, "b.wav", **upload), SmallEars()

    assert work(store, ears=ears, **worker)(LANES) is Settled.DONE
    assert ears.asked
    assert result(store, again)["reused_from"] is None


def test_a_new_checkpoint_hears_again(store, heard):
    class Newer(SmallEars):
        def versions(self, engines):
            return dict.fromkeys(engines, "2")

    again, ears = add(store, "b.wav"), Newer()
    work(store, ears=ears)(LANES)

    assert ears.asked
    assert result(store, again)["reused_from"] is None


def test_a_new_calibration_hears_again(store):
    """What was accepted may not have been, had one known what the figures are worth."""
    first = add(store, "a.wav")
    work(store)(LANES)
    again, ears = add(store, "b.wav"), SmallEars()
    calibration = fitted(intercept=3.0)

    work(store, ears=ears, ask=Ask(calibrations=Calibrations((calibration,))))(LANES)

    told = result(store, again)
    assert ears.asked
    assert told["reused_from"] is None
    assert told["versions"]["first"] == f"1 calibration=transcribe/*:{calibration.digest}"
    assert result(store, first)["versions"]["first"] == "1"
    assert told["transcript"]["calibrated"] is True


def test_an_answer_given_while_an_engine_failed_is_not_used_again(store):
    def first_is_down(engine, task, segments):
        if engine == "first":
            raise EngineDied(engine=engine)
        return plainly(engine, task, segments)

    add(store, "a.wav")
    work(store, ears=SmallEars(script=first_is_down))(LANES)
    again, ears = add(store, "b.wav"), SmallEars()
    work(store, ears=ears)(LANES)

    assert ears.asked
    assert result(store, again)["transcript"]["text"].startswith("first")


def test_results_that_are_gone_are_heard_again(store, heard):
    store.results.remove(store.recordings.get(heard.id).result)
    add(store, "b.wav")
    ears = SmallEars()

    assert work(store, ears=ears)(LANES) is Settled.DONE
    assert ears.asked


def test_todays_limits_hold_for_known_content_too(store):
    """The tenant may hear less now than when it was heard: decoding refuses, as for any file."""
    store.tenants.put(Tenant("acme", Tier.ENTERPRISE, NOW))
    add(store, "a.wav")
    work(store, ears=SmallEars(survey(segments=3, each_s=2_000.0)))(LANES)
    store.tenants.put(Tenant("acme", Tier.FREE, NOW))
    add(store, "b.wav")
    ears = SmallEars()
    work(store, ears=ears)([Lane.LOW])

    assert ears.asked
