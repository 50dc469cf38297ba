"""What can be said of a Wav2Vec2 engine before it is loaded, and without torch."""

from pathlib import Path
from typing import Any

import pytest

from gpu_service.engines.registry import EngineSettings, build, parse
from gpu_service.engines.wav2vec2 import batches
from gpu_service.engines.wav2vec2_network import Geometry
from shared.domain.answers import Task
from shared.errors import InvalidSettings, WeightsRefused


def entry(dtype: str = "float32", **options: Any) -> EngineSettings:
    return EngineSettings(kind="wav2vec2", checkpoint="some/model", dtype=dtype, options=options)


def test_it_says_what_it_can_before_it_is_loaded(tmp_path: Path) -> None:
    found = build("en", entry(language=["en"]), cache=tmp_path).capabilities()

    assert found.tasks == {Task.TRANSCRIBE, Task.ALIGN, Task.EMBED}
    assert found.languages == {"en"}
    assert found.padding == "batch"


def test_versions_tell_apart_what_gives_other_answers(tmp_path: Path) -> None:
    listed = tmp_path / "words.txt"
    listed.write_text("yes\nno\n")
    different = [
        entry(),
        entry(dtype="bfloat16"),
        entry(layer=6),
        entry(case="keep"),
        entry(quantization="int8"),
        entry(beam_size=4),
        entry(beam_size=4, words=str(listed)),
        entry(beam_size=4, words=["yes"]),
        entry(parameters={"hidden_act": "gelu_new"}),
    ]

    said = [build("en", one, cache=tmp_path).capabilities().versions for one in different]
    assert len({tuple(v.items()) for v in said}) == len(different)


def test_the_same_words_in_a_file_and_in_a_list_are_the_same_version(tmp_path: Path) -> None:
    listed = tmp_path / "words.txt"
    listed.write_text("# answers\nyes\n\nno\n")
    file, own = entry(beam_size=4, words=str(listed)), entry(beam_size=4, words=["yes", "no"])

    first, second = (build("en", one, cache=tmp_path).capabilities() for one in (file, own))
    assert first.versions == second.versions


@pytest.mark.parametrize(
    "options, named",
    [
        ({"parameters": {"attention_dropuot": 0.1}}, "parameters.attention_dropuot"),
        ({"parameters": {"hidden_size": 32}}, "parameters.hidden_size"),
        ({"parameters": {"mask_time_prob": 1.5}}, "parameters.mask_time_prob"),
        ({"beam": 5}, "beam"),
        ({"tasks": []}, "tasks"),
        ({"words": ["yes"]}, "beam_size"),
        ({"quantization": "int4"}, "quantization"),
    ],
)
def test_wrong_options_are_named_at_start(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidSettings, match=named):
        parse({"en": {"kind": "wav2vec2", "checkpoint": "x", "options": options}})


@pytest.mark.parametrize("changed", [{"device": "cuda"}, {"dtype": "bfloat16"}])
def test_int8_is_for_plain_cpus(changed: dict[str, str], tmp_path: Path) -> None:
    settings = entry(quantization="int8").model_copy(update=changed)

    with pytest.raises(InvalidSettings, match="int8"):
        build("en", settings, cache=tmp_path)


def test_a_word_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    engine = build("en", entry(beam_size=4, words=str(tmp_path / "none.txt")), cache=tmp_path)

    with pytest.raises(InvalidSettings, match="word list"):
        engine.capabilities()


def test_a_projection_that_is_not_there_is_named(tmp_path: Path) -> None:
    engine = build("en", entry(projection=str(tmp_path / "none")), cache=tmp_path)

    with pytest.raises(WeightsRefused, match="no projection"):
        engine.capabilities()


GEOMETRY = Geometry((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))


@pytest.mark.parametrize(
    "n_samples, n_frames", [(0, 0), (399, 0), (400, 1), (719, 1), (720, 2), (16_000, 49)]
)
def test_frames_are_those_of_the_published_models(n_samples: int, n_frames: int) -> None:
    assert (GEOMETRY.hop, GEOMETRY.field) == (320, 400)
    assert GEOMETRY.frames(n_samples) == n_frames


def test_batches_are_alike_in_length_and_inside_the_budget() -> None:
    lengths = dict(enumerate([28, 3, 10, 10, 9, 27, 1, 28, 10]))
    made = list(batches(lengths, budget=40))

    assert sorted(key for group in made for key in group) == sorted(lengths)
    for group in made:
        longest = max(lengths[key] for key in group)
        assert len(group) == 1 or longest * len(group) <= 40
        assert 1 - sum(lengths[key] for key in group) / (longest * len(group)) <= 0.1


def test_without_a_budget_every_clip_is_alone() -> None:
    assert list(batches({0: 5, 1: 5, 2: 5}, budget=0)) == [(0,), (1,), (2,)]
