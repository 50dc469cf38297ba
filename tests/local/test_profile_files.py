"""A profile is refused with everything that is wrong with it, each with its line and column."""

import json
import re
from pathlib import Path

import pytest

from local.profile_files import MAX_BYTES, MAX_DEPTH, profile_in
from shared.domain.answers import Task
from shared.domain.profile_rules import Deployed
from shared.domain.profiles import Profile, SynthesisPlan, TaskPlan, stored
from shared.errors import InvalidProfile

ROOT = Path(__file__).parents[2]
EXAMPLE, README = ROOT / "docs" / "profile.yaml", ROOT / "README.md"
DEPLOYED = Deployed(
    {
        "whisper": frozenset({Task.TRANSCRIBE}),
        "sounds": frozenset({Task.CLASSIFY}),
        "wav2vec2": frozenset({Task.EMBED, Task.ALIGN}),
    },
    {Task.TRANSCRIBE: ["whisper"], Task.CLASSIFY: ["sounds"]},
)
TASKS = "decode, segments, transcribe, align, classify, describe, answer, features, synthesize"
KEYS = "needs, engines, required, timeout_s, accept_at, uncalibrated, min_coverage"


@pytest.fixture
def refusals(tmp_path):
    """What is said of a file with this content, line by line, without the file's name."""

    def told(content, name="p.yaml"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(InvalidProfile) as refused:
            profile_in(path, DEPLOYED)
        lines = str(refused.value).splitlines()
        assert refused.value.context["problems"] == len(lines)
        assert all(line.startswith(f"{name}:") for line in lines)
        return [line.removeprefix(f"{name}:") for line in lines]

    return told


def of_tasks(tasks):
    return f"version: 1\ntasks:\n{tasks}"


REFUSED = {
    "an unknown task": (
        of_tasks("  transcribe:\n  translate: {}\n"),
        f"4:3: There is no task `translate`; tasks are {TASKS}.",
    ),
    "an unknown need": (
        of_tasks("  transcribe:\n    needs: [segments, magic]\n"),
        f"4:23: There is no task `magic`; tasks are {TASKS}.",
    ),
    "a need that is no task here": (
        of_tasks("  transcribe:\n    needs:\n    - classify\n"),
        "5:7: `classify` is no task of this profile. Add it to `tasks`.",
    ),
    "a need twice": (
        of_tasks("  transcribe: {needs: [decode, decode]}\n"),
        "3:32: `decode` stands here twice.",
    ),
    "a task that needs itself": (
        of_tasks("  classify: {needs: [classify]}\n"),
        "3:22: These wait for each other: classify → classify (→ is `needs`).",
    ),
    "a cycle of two": (
        of_tasks("  transcribe: {needs: [classify]}\n  classify: {needs: [transcribe]}\n"),
        "3:24: These wait for each other: transcribe → classify → transcribe (→ is `needs`).",
    ),
    "a cycle through what always holds": (
        of_tasks("  transcribe: {needs: [align]}\n  align: {engines: [wav2vec2]}\n"),
        "3:24: These wait for each other: transcribe → align → transcribe (→ is `needs`).",
    ),
    "a cycle through the stages": (
        of_tasks("  transcribe: {}\n  decode: {needs: [transcribe]}\n"),
        "4:20: These wait for each other: decode → transcribe → segments → decode (→ is `needs`).",
    ),
    "a task behind the last stage": (
        of_tasks("  classify: {needs: [synthesize]}\n"),
        "3:22: These wait for each other: classify → synthesize → classify (→ is `needs`).",
    ),
    "words placed that nobody wrote": (
        of_tasks("  align: {engines: [wav2vec2]}\n"),
        "3:3: `align` works on what `transcribe` writes. Add it to `tasks`.",
    ),
    "an unknown engine": (
        of_tasks("  transcribe: {engines: [whisper, oracle]}\n"),
        "3:35: There is no engine `oracle`, only sounds, wav2vec2, whisper.",
    ),
    "an engine that cannot": (
        of_tasks("  transcribe:\n    engines:\n      - sounds\n"),
        "5:9: The engine `sounds` does not transcribe.",
    ),
    "an engine twice": (
        of_tasks("  transcribe: {engines: [whisper, whisper]}\n"),
        "3:35: `whisper` stands here twice.",
    ),
    "a task nobody is set to do": (
        of_tasks("  features:\n"),
        "3:3: Nobody is set to embed. Name `engines` here, or set EARWITNESS_CASCADE__EMBED.",
    ),
    "no engine at all": (
        of_tasks("  transcribe: {engines: []}\n"),
        "3:16: Tuple should have at least 1 item after validation, not 0.",
    ),
    "a bar for somebody who is not asked": (
        of_tasks("  transcribe:\n    accept_at:\n      sounds: 0.5\n"),
        "5:7: `sounds` is none of this task's engines; these are whisper.",
    ),
    "a bar above one": (
        of_tasks("  transcribe: {accept_at: 1.5}\n"),
        "3:16: Input should be less than or equal to 1.",
    ),
    "a bar below zero": (
        of_tasks("  transcribe:\n    accept_at: {whisper: -0.1}\n"),
        "4:17: Input should be greater than or equal to 0.",
    ),
    "a bar that is no number": (
        of_tasks("  transcribe: {accept_at: .nan}\n"),
        "3:16: Input should be a finite number.",
    ),
    "an unknown policy": (
        of_tasks("  transcribe: {uncalibrated: maybe}\n"),
        "3:16: Input should be 'accept-and-mark', 'escalate' or 'review'.",
    ),
    "no time at all": (
        of_tasks("  transcribe: {timeout_s: 0}\n"),
        "3:16: Input should be greater than 0.",
    ),
    "more than a day": (
        of_tasks("  transcribe: {timeout_s: 86401}\n"),
        "3:16: Input should be less than or equal to 86400.",
    ),
    "an unknown key of a task": (
        of_tasks("  transcribe:\n    colour: red\n"),
        f"4:5: There is no such key; there are {KEYS}.",
    ),
    "an unknown key at the top": (
        of_tasks("  transcribe:\ncolour: red\n"),
        "4:1: There is no such key; there are version, parallel, tasks, synthesis.",
    ),
    "an unknown key of the synthesis": (
        of_tasks("  transcribe:\nsynthesis: {colour: red}\n"),
        "4:13: There is no such key; there are strategy, weights, quality, conflict_at.",
    ),
    "an engine's key on a stage": (
        of_tasks("  transcribe:\n  decode: {engines: [whisper]}\n"),
        "4:12: `decode` asks no engine; it takes only needs, timeout_s.",
    ),
    "words placed or nothing": (
        of_tasks("  transcribe:\n  align: {engines: [wav2vec2], required: true}\n"),
        "4:32: A text stands without the times of its words: `align` cannot be required.",
    ),
    "a bar where nobody judges": (
        of_tasks("  transcribe:\n  align: {engines: [wav2vec2], accept_at: {'*': 1}}\n"),
        "4:32: Nobody judges where words lie: this belongs to `transcribe`.",
    ),
    "coverage by sounds": (
        of_tasks("  classify: {min_coverage: 0.5}\n"),
        "3:14: Only what `transcribe` writes covers speech.",
    ),
    "nothing in parallel": (
        "version: 1\nparallel: 0\ntasks: {transcribe: }\n",
        "2:1: Input should be greater than or equal to 1.",
    ),
    "too much in parallel": (
        "version: 1\nparallel: 9\ntasks: {transcribe: }\n",
        "2:1: Input should be less than or equal to 8.",
    ),
    "an unknown strategy": (
        of_tasks("  transcribe:\nsynthesis:\n  strategy: dice\n"),
        "5:3: Input should be 'highest-confidence', 'latest' or 'weighted'.",
    ),
    "a weight of nobody": (
        of_tasks("  transcribe:\nsynthesis:\n  weights: {wav2vec2: 2}\n"),
        "5:13: No task of this profile asks the engine `wav2vec2`.",
    ),
    "nothing asked": ("version: 1\ntasks: {}\n", "2:1: It asks for nothing. Name some of: "),
    "another version": ("version: 2\ntasks: {transcribe: }\n", "1:1: Input should be 1."),
    "no version": ("tasks: {transcribe: }\n", "1:1: `version` is missing."),
    "no tasks": ("version: 1\n", "1:1: `tasks` is missing."),
    "a list": ("- version: 1\n", "1:1: Input should be an object."),
    "nothing": ("", "1:1: Input should be an object."),
    "text": ("hello\n", "1:1: Input should be an object."),
    "a key twice": (
        of_tasks("  transcribe: {required: true, required: false}\n"),
        "3:32: `required` stands here twice.",
    ),
    "no YAML": (
        "version: 1\ntasks: [\n",
        "3:1: expected the node content, but found '<stream end>'.",
    ),
    "two documents": ("version: 1\n---\nversion: 1\n", "2:1: but found another document."),
    "an alias": (
        "version: 1\ntasks:\n  transcribe: &a {}\n  classify: *a\n",
        "4:13: Anchors and aliases are not read here; write it out.",
    ),
    "no UTF-8": (b"version: 1\n# \xff\n", "2:1: This is no UTF-8."),
    "a control character": ("version: 1\n\x07\n", "2:1: A character that no YAML holds."),
    "a depth nobody needs": ("[" * (MAX_DEPTH + 1), f"1:{MAX_DEPTH + 1}: There are more than "),
    "a size nobody needs": ("#" * (MAX_BYTES + 1), "1:1: A profile has at most 64,000 bytes."),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_profile_is_refused_where_it_is_wrong(refusals, name):
    content, told = REFUSED[name]

    [said] = refusals(content)

    assert said.startswith(told)


def test_everything_is_named_at_once_in_the_order_of_the_file(refusals):
    content = """\
version: 7
parallel: 0
tasks:
  transcribe:
    needs: [align, elsewhere]
    timeout_s: -1
    colour: red
  align:
    engines: [oracle]
  translate: {}
"""

    places = [line.split(": ")[0] for line in refusals(content)]

    assert places == ["1:1", "2:1", "5:13", "5:20", "6:5", "7:5", "9:15", "10:3"]


def test_json_has_lines_and_columns_too(refusals):
    content = (
        '{\n\t"version": 1,\n\t"tasks": {\n\t\t"transcribe": {"engines": ["oracle"]}\n\t}\n}\n'
    )

    [said] = refusals(content, "p.json")

    assert said.startswith("4:30: There is no engine `oracle`")


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(InvalidProfile, match=r"cannot be read: No such file or directory\."):
        profile_in(tmp_path / "none.yaml", DEPLOYED)


def test_the_example_is_a_profile():
    profile = profile_in(EXAMPLE, DEPLOYED)

    assert profile.asked() == (Task.TRANSCRIBE, Task.CLASSIFY)
    assert (profile.parallel, profile.decode_timeout_s()) == (2, 600.0)
    assert profile.plan(Task.CLASSIFY).timeout_s == 120.0
    assert stored(profile.canonical()) == profile


def test_the_example_shows_every_key():
    told = EXAMPLE.read_text()

    for model in (Profile, TaskPlan, SynthesisPlan):
        assert [key for key in model.model_fields if f"{key}:" not in told] == []


def test_the_profile_of_the_readme_is_one(tmp_path):
    [shown] = re.findall(r"```yaml\n(version: 1\n.*?)```", README.read_text(), re.DOTALL)
    path = tmp_path / "readme.yaml"
    path.write_text(shown)

    assert profile_in(path, DEPLOYED).plan(Task.CLASSIFY).required


def test_yaml_and_json_that_say_the_same_are_the_same_profile(tmp_path):
    example = profile_in(EXAMPLE, DEPLOYED)
    copy = tmp_path / "copy.json"
    copy.write_text(json.dumps(json.loads(example.canonical()), indent="\t"))

    assert profile_in(copy, DEPLOYED).canonical() == example.canonical()


def test_what_is_said_shorter_is_the_same(tmp_path):
    short, long = tmp_path / "short.yaml", tmp_path / "long.yaml"
    short.write_text("version: 1\ntasks:\n  transcribe: {accept_at: 1}\n  classify:\n")
    long.write_text(
        "version: 1\nparallel: 1\ntasks:\n  classify: {}\n  transcribe: {accept_at: {'*': 1.0}}\n"
    )

    made = [profile_in(path, DEPLOYED) for path in (short, long)]

    assert isinstance(made[0], Profile)
    assert made[0].canonical() == made[1].canonical()
