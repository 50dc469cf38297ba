"""A tenant's own profile at work: what is asked, in which order, how much at once, how long."""

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from shared.domain.answers import Answer, Task
from shared.domain.prices import Price, Terms
from shared.domain.profiles import Profile, digest
from shared.domain.states import State
from shared.domain.wishes import Wishes
from shared.errors import EngineDied, EngineUnavailable, StaleLease, TaskTimedOut
from shared.flows.grip import Grip, Term
from shared.flows.hearing import InTime
from shared.flows.work import Settled
from tests.builders import NOW
from tests.flows import test_reuse as reuse
from tests.flows.ears import SmallEars
from tests.flows.test_tasks import BESIDE, failing, result, script, sound
from tests.flows.test_work import LANES, Clock, add, known, work

CASCADE = BESIDE
#: Four tasks that need nothing of each other.
APART = {"transcribe": {}, "classify": {}, "describe": {}, "features": {}}


def own(store, tasks, **more):
    """Give the tenant a profile; its digest."""
    profile = Profile.model_validate_json(json.dumps({"version": 1, "tasks": tasks, **more}))
    store.tenants.put(replace(store.tenants.get("acme"), profile=profile.canonical()))
    return digest(profile.canonical())


def hear(store, ears, **changes):
    return work(store, ears, cascade=CASCADE, **changes)(LANES)


@dataclass
class Crowd(SmallEars):
    """Counts who is asked at the same time; with `company`, nobody answers alone."""

    company: threading.Barrier | None = None
    most: int = 0
    _asked_now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask(self, engine, task, segments, said=()):
        with self._lock:
            self._asked_now += 1
            self.most = max(self.most, self._asked_now)
        if self.company:
            self.company.wait()
        answers = super().ask(engine, task, segments, said)
        with self._lock:
            self._asked_now -= 1
        return answers


@dataclass
class Watched(SmallEars):
    """Calls `alive` when it has answered, as an engine's server does while it waits."""

    alive: object = None

    @contextmanager
    def open(self, sound, *, alive, **more):
        with super().open(sound, alive=lambda: None, **more) as opened:
            self.alive = alive
            alive()
            yield opened

    def ask(self, engine, task, segments, said=()):
        answers = super().ask(engine, task, segments, said)
        self.alive()
        return answers


def test_a_profile_asks_what_it_names_and_the_result_says_which_one_it_was(store):
    add(store)
    named = own(store, {"transcribe": {"engines": ["second"]}, "classify": {}})
    ears = SmallEars(sound(windows=2), script)

    assert hear(store, ears) is Settled.DONE

    _, told = result(store)
    assert ears.asked == [("second", [0]), ("namer", [0, 1])]
    assert told["versions"]["profile"] == named
    assert (told["description"], told["features"]) == (None, None)


def test_without_a_profile_the_result_names_none(store):
    add(store)

    hear(store, SmallEars(sound(windows=2), script))

    assert "profile" not in result(store)[1]["versions"]


def test_what_others_need_goes_first(store):
    add(store)
    own(
        store,
        {
            "transcribe": {"needs": ["features"]},
            "features": {"needs": ["describe", "classify"]},
            "describe": {},
            "classify": {"needs": ["describe"]},
        },
    )
    ears = SmallEars(sound(), script)

    hear(store, ears)

    assert [name for name, _ in ears.asked] == [
        *("teller", "namer", "namer", "feeler", "feeler", "first")
    ]


@pytest.mark.parametrize("parallel", [2, 4])
def test_so_many_tasks_are_asked_about_at_once_and_no_more(store, parallel):
    add(store)
    own(store, APART, parallel=parallel)
    ears = Crowd(sound(windows=4), script, company=threading.Barrier(parallel, timeout=60))

    assert hear(store, ears) is Settled.DONE

    assert (ears.most, len(ears.asked)) == (parallel, 4)


def test_one_task_at_a_time_is_one(store):
    add(store)
    own(store, APART)
    ears = Crowd(sound(), script)

    hear(store, ears)

    assert ears.most == 1


def test_a_task_waits_for_its_needs_however_much_may_go_on_at_once(store):
    add(store)
    own(store, {"transcribe": {}, "classify": {"needs": ["transcribe"]}}, parallel=8)
    ears = Crowd(sound(), script)

    hear(store, ears)

    assert (ears.most, ears.asked[0]) == (1, ("first", [0]))


def test_in_parallel_the_result_is_the_same(store):
    """Tasks end in another order than they began, and nothing of that is seen."""

    def told(parallel):
        made = reuse.add(store, f"{parallel}.wav", content=b"%d" % parallel)
        own(store, APART, parallel=parallel)
        slow = threading.Event()

        def late(engine, task, segments):
            if parallel > 1 and engine == "first":
                assert slow.wait(60)
            if engine == "feeler" and segments[-1].index == 5:
                slow.set()
            return script(engine, task, segments)

        assert hear(store, SmallEars(sound(), late)) is Settled.DONE
        document = result(store, made)[1]
        for own_part in ("recording", "timings_s"):
            del document[own_part]
        del document["versions"]["profile"]
        return document

    assert told(4) == told(1)


def test_whoever_lost_the_job_stops_in_every_thread(store):
    add(store)
    own(store, APART, parallel=2)
    asked, ended = threading.Event(), []

    def lost(engine, task, segments):
        if engine == "namer":
            assert asked.wait(60)
            raise StaleLease
        asked.set()
        try:
            while True:
                ears.alive()
        except StaleLease:
            ended.append(engine)
            raise

    ears = Watched(sound(windows=4), lost)

    assert hear(store, ears) is Settled.LOST
    assert ended == ["first"]
    assert {name for name, _ in ears.asked} == {"first", "namer"}


def test_a_bug_in_one_thread_stops_the_others_and_comes_out(store):
    add(store)
    own(store, APART, parallel=2)
    asked = threading.Event()

    def bug(engine, task, segments):
        if engine == "namer":
            assert asked.wait(60)
            raise ZeroDivisionError
        asked.set()
        while True:
            ears.alive()

    ears = Watched(sound(windows=4), bug)

    with pytest.raises(ZeroDivisionError):
        hear(store, ears)
    assert (known(store).state, known(store).error.code) == (State.QUEUED, "unforeseen")


def test_when_a_required_task_fails_what_others_answered_meanwhile_is_kept(store):
    add(store)
    own(store, {"transcribe": {}, "describe": {"required": True}}, parallel=2)
    failed = threading.Event()

    def fails(engine, task, segments):
        if engine == "teller":
            failed.set()
            raise EngineUnavailable
        assert failed.wait(60)
        return script(engine, task, segments)

    assert hear(store, SmallEars(sound(), fails)) is Settled.FAILED
    again = SmallEars(sound(), script)
    assert hear(store, again, clock=Clock(60.0)) is Settled.DONE

    assert again.asked == [("teller", [0, 1, 2, 3])]


def test_a_transcript_that_is_optional_may_be_missing(store):
    add(store)
    own(store, {"transcribe": {"required": False}, "classify": {}})

    settled = hear(store, SmallEars(sound(), failing(("first", EngineDied))))

    _, told = result(store)
    [missing] = [w for w in told["warnings"] if w["code"] == "transcript_missing"]
    assert settled is Settled.DONE
    assert missing["message"].startswith("10 of 10 seconds have no transcript. Engine first failed")


def test_a_job_in_parallel_is_handed_over_with_what_is_under_way(store):
    add(store)
    own(store, APART, parallel=2)
    together = threading.Barrier(2, timeout=60)

    def at_once(engine, task, segments):
        together.wait()
        return script(engine, task, segments)

    first = SmallEars(sound(windows=4), at_once)
    settled = work(store, first, cascade=CASCADE)(LANES, Later(1))
    rest = SmallEars(sound(windows=4), script)

    assert settled is Settled.HANDED_OVER
    assert hear(store, rest) is Settled.DONE
    assert sorted(first.asked) == [("first", [0]), ("namer", [0, 1, 2, 3])]
    assert rest.asked == [("teller", [0, 1, 2, 3]), ("feeler", [0, 1, 2, 3])]


class Later:
    """Somebody more urgent comes after `looks` looks."""

    def __init__(self, looks):
        self.looks = looks

    def __call__(self, lane):
        self.looks -= 1
        return self.looks < 0


class Taking:
    """A script whose engines need time: seconds by engine."""

    def __init__(self, clock, **seconds):
        self.clock, self.seconds = clock, seconds

    def __call__(self, engine, task, segments):
        self.clock.at += timedelta(seconds=self.seconds.get(engine, 0.0))
        return script(engine, task, segments)


@pytest.mark.parametrize(
    ("each_s", "missing"), [(24.0, []), (25.0, ["20 of 120"]), (50.0, ["120 of 120"])]
)
def test_an_optional_task_ends_with_its_time_and_what_is_missing_is_said(store, each_s, missing):
    """Two rounds in 50 s: an answer that comes when they are over is ignored."""
    add(store)
    own(store, {"transcribe": {}, "classify": {"timeout_s": 50}, "features": {}})
    clock = Clock()
    ears = SmallEars(sound(), Taking(clock, namer=each_s))

    settled = hear(store, ears, clock=clock)

    _, told = result(store)
    assert (settled, known(store).attempts) == (Settled.DONE, 1)
    assert [w["message"] for w in told["warnings"] if w["code"] == "sounds_missing"] == [
        f"{seconds} seconds have no sounds. Engine namer was not waited for: the time that the"
        " tenant's profile gives was over. Mend that and upload the recording again."
        for seconds in missing
    ]
    assert told["features"]["engine"] == "feeler"
    late = {d["start_s"] for d in told["decisions"] if d["reason"] == "task_timed_out"}
    assert len(late) == {"20": 1, "12": 6}.get("".join(missing)[:2], 0)


def test_when_its_time_is_over_nobody_else_is_asked(store):
    add(store)
    own(store, {"transcribe": {}, "classify": {"engines": ["namer", "other"], "timeout_s": 50}})
    clock = Clock()
    ears = SmallEars(sound(), Taking(clock, namer=50))

    hear(store, ears, clock=clock)

    assert ears.asked == [("first", [0]), ("namer", [0, 1, 2, 3, 4])]
    told = result(store)[1]["decisions"]
    assert {(d["engine"], d["reason"]) for d in told if d["task"] == "classify"} == {
        ("namer", "task_timed_out"),
        ("other", "task_timed_out"),
    }


def test_whoever_waits_is_told_in_time(store):
    """`alive` is where a wait ends: an engine that hangs holds nobody longer than its task may."""
    add(store)
    own(store, {"transcribe": {}, "classify": {"timeout_s": 50}})
    clock = Clock()

    def hangs(engine, task, segments):
        if engine != "namer":
            return script(engine, task, segments)
        while True:
            clock.at += timedelta(seconds=1)
            ears.alive()

    ears = Watched(sound(), hangs)

    assert hear(store, ears, clock=clock) is Settled.DONE
    assert (clock.at - NOW).total_seconds() == 50
    assert "120 of 120 seconds have no sounds" in json.dumps(result(store)[1]["warnings"])


def test_a_required_task_whose_time_is_over_fails_the_attempt_and_goes_on_in_the_next(store):
    add(store)
    own(store, {"transcribe": {}, "describe": {}, "features": {"required": True, "timeout_s": 50}})
    clock = Clock()
    first = SmallEars(sound(), Taking(clock, feeler=30))

    settled = hear(store, first, clock=clock)
    cause = known(store).error
    clock.at += timedelta(seconds=2)
    second = SmallEars(sound(), Taking(clock, feeler=30))

    assert (settled, cause.code, cause.engine) == (Settled.FAILED, "task_timed_out", "feeler")
    assert cause.message == "The 50 s that the tenant's profile gives `features` were over."
    assert hear(store, second, clock=clock) is Settled.DONE
    assert second.asked == [("feeler", [5])]


def test_time_spent_before_a_job_was_handed_over_counts(store):
    add(store)
    own(store, {"transcribe": {}, "classify": {"timeout_s": 100}})
    clock = Clock()
    ears = SmallEars(sound(windows=16), Taking(clock, namer=45))

    ends = [
        work(store, ears, None, clock, cascade=CASCADE)(LANES, lambda _: True) for _ in range(5)
    ]

    assert ends == [Settled.HANDED_OVER] * 4 + [Settled.DONE]
    # Two rounds of 45 s; the third began with 10 s left, the fourth with none.
    assert [segments for name, segments in ears.asked if name == "namer"] == [
        *([0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 12, 13, 14])
    ]
    assert "120 of 320 seconds have no sounds" in json.dumps(result(store)[1]["warnings"])


def test_a_task_without_a_limit_keeps_no_time(store):
    add(store)
    clock = Clock()
    ears = SmallEars(sound(), Taking(clock, first=1_000, namer=1_000))

    assert hear(store, ears, clock=clock, ticket_s=1e9) is Settled.DONE
    assert result(store)[1]["warnings"][0]["code"] == "described_in_part"


def test_decoding_that_takes_too_long_fails_the_attempt(store):
    add(store)
    own(store, {"decode": {"timeout_s": 10}, "transcribe": {}})
    clock = Clock()

    @dataclass
    class Slow(Watched):
        @contextmanager
        def open(self, sound, *, alive, **more):
            clock.at += timedelta(seconds=10)
            with super().open(sound, alive=alive, **more) as opened:
                yield opened

    assert hear(store, Slow(sound()), clock=clock) is Settled.FAILED
    assert known(store).error.code == "task_timed_out"
    assert "gives `decode`" in known(store).error.message


TERMS = Terms(price=Price(as_of=NOW.date(), source="us", minute_usd=0.06))


def test_a_call_that_costs_is_not_made_late_and_never_left_alone(store):
    clock = Clock()
    jobs = store.jobs
    add(store)
    lease = jobs.lease_next(LANES, "w1", NOW, 60.0)
    grip = Grip(jobs, lease, clock, 60.0)

    def answers(engine, task, segments):
        clock.at += timedelta(seconds=40)
        ears.alive()
        return script(engine, task, segments)

    ears = Watched(sound(), answers, paid={"paid": TERMS})
    ears.alive = grip.keep
    timed = InTime(ears, grip, Term("classify", 30.0, NOW + timedelta(seconds=30)), clock)
    window = ears.survey.windows[:1]

    [bought] = timed.ask("paid", Task.CLASSIFY, window)
    with pytest.raises(TaskTimedOut) as late:
        timed.ask("paid", Task.CLASSIFY, window)

    assert isinstance(bought, Answer)
    assert late.value.context["charged"] is False
    assert len(ears.asked) == 1


def test_the_same_content_is_heard_anew_under_another_profile_and_known_under_the_same(store):
    def asked(name):
        reuse.add(store, name)
        ears = SmallEars(sound(windows=2), script)
        assert hear(store, ears) is Settled.DONE
        return bool(ears.asked)

    first = asked("a.wav")
    own(store, {"transcribe": {}, "classify": {}})
    other, same = asked("b.wav"), asked("c.wav")
    own(store, {"transcribe": {"timeout_s": 9}, "classify": {}})

    assert (first, other, same, asked("d.wav")) == (True, True, False, True)


def test_answers_kept_under_another_profile_are_not_used(store):
    add(store)
    own(store, {"transcribe": {}, "classify": {}})
    work(store, SmallEars(sound(), script), cascade=CASCADE)(LANES, lambda _: True)
    own(store, {"transcribe": {"accept_at": {"*": 0.5}}, "classify": {}})
    ears = SmallEars(sound(), script)

    hear(store, ears)

    assert ears.asked[0] == ("first", [0])


def test_a_profile_of_another_version_is_said(store):
    add(store)
    store.tenants.put(replace(store.tenants.get("acme"), profile='{"version":9}'))

    assert hear(store, SmallEars(sound(), script)) is Settled.FAILED
    assert known(store).error.code == "invalid_profile"


def test_who_wishes_for_an_engine_where_nothing_is_transcribed_is_told(store):
    add(store, wishes=Wishes(engine="extra"))
    own(store, {"classify": {}})

    assert hear(store, SmallEars(sound(), script)) is Settled.REJECTED
    assert known(store).error.message.startswith("This tenant's recordings are not transcribed")


@pytest.mark.parametrize(
    ("uncalibrated", "asked"),
    [("accept-and-mark", ["first"]), ("escalate", ["first", "second"]), ("review", ["first"])],
)
def test_what_a_profile_says_of_uncalibrated_answers_is_done(store, uncalibrated, asked):
    add(store)
    own(store, {"transcribe": {"engines": ["first", "second"], "uncalibrated": uncalibrated}})
    ears = SmallEars(sound(), script)

    assert hear(store, ears) is Settled.DONE

    assert [name for name, _ in ears.asked] == asked
    assert result(store)[1]["review"] is (uncalibrated != "accept-and-mark")
