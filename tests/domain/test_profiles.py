"""What a profile means for one recording: who is asked, after what, and when an answer stands."""

from dataclasses import replace

import pytest

from shared.domain.answers import Task
from shared.domain.cascade import EVERY, Policy, Uncalibrated
from shared.domain.plans import ASKED
from shared.domain.profiles import BUILT_IN, Profile, SynthesisPlan, TaskPlan, digest, stored
from shared.domain.synthesis import Strategy, Synthesis
from shared.domain.task_graph import EVERY_NAME, TASKS, always, cycles

DEPLOYED = {Task.TRANSCRIBE: ("first", "second"), Task.CLASSIFY: ("namer",), Task.EMBED: ()}


def profile(**tasks):
    return Profile(version=1, tasks={name: TaskPlan(**plan) for name, plan in tasks.items()})


def test_the_built_in_profile_asks_what_the_deployment_asks_in_its_order():
    assert list(BUILT_IN.cascade(DEPLOYED).items()) == list(DEPLOYED.items())
    backwards = dict(reversed(DEPLOYED.items()))
    assert list(BUILT_IN.cascade(backwards)) == [Task.EMBED, Task.CLASSIFY, Task.TRANSCRIBE]


def test_the_built_in_profile_changes_no_policy_and_waits_for_nobody():
    base = Policy(min_coverage=0.5, uncalibrated=Uncalibrated.REVIEW)

    assert BUILT_IN.asked() == ASKED
    assert (BUILT_IN.parallel, BUILT_IN.decode_timeout_s()) == (1, None)
    assert {BUILT_IN.policy(task, base) == base for task in ASKED} == {True}
    assert {BUILT_IN.plan(task).timeout_s for task in ASKED} == {None}
    required = [task for task in ASKED if BUILT_IN.required(task, DEPLOYED)]
    assert required == [Task.TRANSCRIBE]


def test_tasks_that_are_not_named_are_not_asked():
    own = profile(classify={}, features={"engines": ("feeler",)})

    assert own.cascade(DEPLOYED) == {Task.CLASSIFY: ("namer",), Task.EMBED: ("feeler",)}


def test_a_profile_may_ask_what_the_deployment_does_not():
    own = profile(describe={"engines": ("teller",)}, transcribe={})

    assert list(own.cascade(DEPLOYED).items()) == [
        (Task.TRANSCRIBE, ("first", "second")),
        (Task.DESCRIBE, ("teller",)),
    ]


@pytest.mark.parametrize(
    ("tasks", "required"),
    [
        ({"transcribe": {}, "classify": {}}, {Task.TRANSCRIBE}),
        ({"classify": {}, "features": {}}, {Task.CLASSIFY, Task.EMBED}),
        ({"transcribe": {"required": False}, "classify": {"required": True}}, {Task.CLASSIFY}),
    ],
    ids=["beside a transcript", "without one", "as it says"],
)
def test_what_a_recording_fails_without(tasks, required):
    own = profile(**tasks)

    engines = dict.fromkeys(own.asked(), ("somebody",))
    assert {task for task in own.asked() if own.required(task, engines)} == required


def test_a_task_comes_after_what_it_needs_and_what_it_is_made_from():
    own = profile(
        transcribe={"needs": ("segments", "classify")},
        align={},
        classify={},
        answer={},
        features={},
    )

    assert {task: own.after(task) for task in own.asked()} == {
        Task.TRANSCRIBE: {Task.CLASSIFY},
        Task.ALIGN: {Task.TRANSCRIBE},
        Task.CLASSIFY: set(),
        Task.ANSWER: {Task.TRANSCRIBE},
        Task.EMBED: set(),
    }
    assert profile(answer={}).after(Task.ANSWER) == set()


def test_what_a_profile_says_of_a_task_replaces_the_policy_of_the_deployment():
    base = Policy({Task.TRANSCRIBE: {"first": 0.7}, Task.CLASSIFY: {EVERY: 0.6}}, min_coverage=0.9)
    own = replace_synthesis(
        profile(
            transcribe={"accept_at": {"second": 0.5}, "min_coverage": 0.8},
            classify={"uncalibrated": Uncalibrated.ESCALATE},
        )
    )

    words, sounds = own.policy(Task.TRANSCRIBE, base), own.policy(Task.CLASSIFY, base)

    assert words.accepts_at(Task.TRANSCRIBE, "second") == 0.5
    assert (words.min_coverage, words.uncalibrated) == (0.8, base.uncalibrated)
    assert words.synthesis == Synthesis(Strategy.LATEST, quality=0.3)
    assert sounds == replace(
        base, uncalibrated=Uncalibrated.ESCALATE, synthesis=Synthesis(Strategy.LATEST, quality=0.3)
    )


def replace_synthesis(own):
    return own.model_copy(
        update={"synthesis": SynthesisPlan(strategy=Strategy.LATEST, quality=0.3)}
    )


def test_the_stored_profile_is_the_saved_one_and_every_change_has_another_digest():
    one, other = profile(transcribe={"timeout_s": 5.0}), profile(transcribe={"timeout_s": 6.0})

    assert stored(one.canonical()) == one
    assert len({digest(p.canonical()) for p in (one, other, BUILT_IN)}) == 3
    assert len(digest(one.canonical())) == 64


def test_what_always_holds_has_no_cycle_and_ends_in_the_synthesis():
    needs = {name: sorted(always(name, list(TASKS))) for name in EVERY_NAME}

    assert list(cycles(needs)) == []
    assert set(needs["synthesize"]) == {"segments", *TASKS}


@pytest.mark.parametrize(
    ("needs", "found"),
    [
        ({"a": ["b"], "b": []}, []),
        ({"a": ["a"]}, [("a",)]),
        ({"a": ["b"], "b": ["a"]}, [("a", "b")]),
        ({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}, []),
        ({"a": ["b"], "b": ["a"], "c": ["d"], "d": ["c"]}, [("a", "b"), ("c", "d")]),
        ({"a": ["b", "c"], "b": ["a"], "c": ["a"]}, [("a", "b"), ("a", "c")]),
    ],
    ids=["a chain", "itself", "two", "a diamond", "two tangles", "two through one"],
)
def test_cycles_are_found_once_each(needs, found):
    assert list(cycles(needs)) == found
