"""Wav2Vec2 through the engine: small checkpoints of the true architecture, taught three texts."""

import base64
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2ForCTC, Wav2Vec2Model

from gpu_service.engines.engine import Clip, Engine, Samples
from gpu_service.engines.registry import EngineSettings, build
from gpu_service.engines.wav2vec2 import Wav2Vec2
from gpu_service.engines.wav2vec2_network import Network, level
from gpu_service.engines.wav2vec2_options import ModelParameters
from gpu_service.features import projection
from gpu_service.hosting.host import EngineHost
from shared.domain.answers import Answer, Task
from shared.errors import InvalidSettings, WeightsRefused
from tests.engines.speech import clip, noise, said, silence
from tests.models.checkpoints import LETTERS, Norm, ctc_model, saved, taught

TEXTS = ("the train is late", "we meet at noon", "close the garden door")
NORMS: tuple[Norm, ...] = ("group", "layer")
TASKS = (Task.TRANSCRIBE, Task.ALIGN, Task.EMBED)


@pytest.fixture(scope="module", params=NORMS)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of either norm that knows TEXTS, saved as safetensors."""
    return saved(learned(request.param), tmp_path_factory.mktemp(request.param))


@cache
def learned(norm: Norm) -> Wav2Vec2ForCTC:
    return taught(ctc_model(norm), [said(text) for text in TEXTS], TEXTS)


@pytest.fixture(scope="module", params=NORMS)
def untaught(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(ctc_model(request.param), tmp_path_factory.mktemp(f"untaught-{request.param}"))


def engine(folder: Path, dtype: str = "float32", **options: Any) -> Engine:
    options = {"layer": 2, **options}
    settings = EngineSettings(kind="wav2vec2", checkpoint=str(folder), dtype=dtype, options=options)
    made = build("letters", settings, cache=folder)
    made.load()
    return made


def test_a_checkpoint_that_learned_three_clips_returns_their_texts(folder: Path) -> None:
    heard = engine(folder).infer(Task.TRANSCRIBE, [clip(said(text)) for text in TEXTS])

    assert [answer.text for answer in heard] == list(TEXTS)
    assert all((answer.confidence or 0) > 0.8 for answer in heard)


def test_words_have_times_inside_the_clip_in_order_and_say_who_placed_them(folder: Path) -> None:
    sound = said(TEXTS[0])
    (answer,) = engine(folder).infer(Task.TRANSCRIBE, [clip(sound)])

    times = [t for word in answer.words for t in (word.start_s, word.end_s)]
    assert [word.text for word in answer.words] == TEXTS[0].split()
    assert times == sorted(times)
    assert times[0] >= 0 and times[-1] <= sound.size / 16_000
    assert {word.source for word in answer.words} == {"engine"}


def test_signals_and_tokens_come_with_the_text(folder: Path) -> None:
    (answer,) = engine(folder).infer(Task.TRANSCRIBE, [clip(said(TEXTS[1]))])

    assert "".join(token.text for token in answer.tokens) == TEXTS[1]
    means = {"mean_logprob", "min_window_logprob", "mean_entropy", "min_word_logprob"}
    assert set(answer.signals) == means | {"compression_ratio"}
    assert answer.signals["min_window_logprob"] <= answer.signals["mean_logprob"] < 0
    lowest = min(word.confidence or 0.0 for word in answer.words)
    assert answer.signals["min_word_logprob"] == pytest.approx(math.log(lowest))


def test_greedy_text_is_what_the_tokenizer_of_transformers_writes(untaught: Path) -> None:
    sound = said("the weather is fine today")
    own = engine(untaught, case="keep").infer(Task.TRANSCRIBE, [clip(sound)])[0].text
    model = Wav2Vec2ForCTC.from_pretrained(untaught).eval()
    with torch.inference_mode():
        ids = model(torch.from_numpy(level(sound))[None]).logits.argmax(-1)[0]
    # Silent tokens are taken out first: transformers would write "<unk>" and "<s>".
    silent = torch.isin(ids, torch.tensor([1, 2, 3]))
    theirs = Wav2Vec2CTCTokenizer.from_pretrained(untaught).decode(ids.masked_fill(silent, 0))

    assert own.split() == theirs.split()


@pytest.mark.parametrize("case, text", [("auto", TEXTS[0]), ("keep", TEXTS[0].upper())])
def test_capitals_are_written_small_unless_kept(folder: Path, case: str, text: str) -> None:
    (answer,) = engine(folder, case=case).infer(Task.TRANSCRIBE, [clip(said(TEXTS[0]))])

    assert answer.text == text


def test_a_beam_with_a_word_list_writes_only_its_words(folder: Path, tmp_path: Path) -> None:
    listed = tmp_path / "words.txt"
    listed.write_text("# the ones there are\n" + "\n".join(" ".join(TEXTS).upper().split()))
    free = engine(folder, beam_size=8, words=str(listed))
    bound = engine(folder, beam_size=8, words=["the", "drain", "is", "late"])

    clips = [clip(said(text)) for text in TEXTS]
    assert [a.text for a in free.infer(Task.TRANSCRIBE, clips)] == list(TEXTS)
    assert set(bound.infer(Task.TRANSCRIBE, clips)[0].text.split()) <= {
        "the",
        "drain",
        "is",
        "late",
    }


def test_given_words_are_placed_and_invented_ones_score_worse(folder: Path) -> None:
    sound = said(TEXTS[2])
    ours = engine(folder)
    true, false = ours.infer(
        Task.ALIGN,
        [
            Clip(sound, "acme", text="Close the garden door!"),
            Clip(sound, "acme", text="buy nine purple boxes"),
        ],
    )

    assert [word.text for word in true.words] == ["Close", "the", "garden", "door!"]
    assert {word.source for word in true.words} == {"letters"}
    assert true.signals["alignment_score"] > false.signals["alignment_score"] + 3
    assert len(false.words) == 4


def test_checkpoints_stand_side_by_side(folder: Path, untaught: Path) -> None:
    first, second = engine(folder), engine(untaught)

    sound = [clip(said(TEXTS[0]))]
    assert first.infer(Task.TRANSCRIBE, sound)[0].text == TEXTS[0]
    assert second.infer(Task.TRANSCRIBE, sound)[0].text != TEXTS[0]
    assert first.infer(Task.TRANSCRIBE, sound)[0].text == TEXTS[0]


def test_after_unloading_it_loads_again(folder: Path) -> None:
    ours = engine(folder)
    ours.unload()

    assert ours.infer(Task.TRANSCRIBE, [clip(said(TEXTS[0]))])[0].text == TEXTS[0]


NOTHING = {
    "empty": np.zeros(0, np.float32),
    "one sample": np.ones(1, np.float32),
    "one sample less than a frame": noise(399 / 16_000),
    "silence": silence(3.0),
    "a constant": np.full(16_000, 0.5, np.float32),
    "nothing but NaN": np.full(16_000, np.nan, np.float32),
}


@pytest.mark.parametrize("samples", NOTHING.values(), ids=NOTHING)
@pytest.mark.parametrize("task", [Task.TRANSCRIBE, Task.EMBED])
def test_nothing_to_hear_gives_an_empty_answer(folder: Path, task: Task, samples: Samples) -> None:
    (answer,) = engine(folder).infer(task, [clip(samples)])

    assert (answer.text, answer.words, answer.confidence, answer.embedding) == ("", (), None, None)
    assert answer.cautions in (("silent",), ("too_short",))


@pytest.mark.parametrize("task", TASKS)
def test_the_shortest_clip_with_a_frame_and_one_with_nan_in_it_are_answered(
    folder: Path, task: Task
) -> None:
    hurt = said(TEXTS[0]).copy()
    hurt[100:120] = np.nan
    hurt[200] = np.inf
    answers = engine(folder).infer(
        task, [Clip(s, "acme", text="late") for s in (noise(0.025), hurt)]
    )

    assert all(_finite(answer) for answer in answers)


def test_an_answer_is_the_same_alone_and_beside_others(folder: Path) -> None:
    clips = [clip(said(text)) for text in TEXTS] + [clip(noise(4.0)), clip(noise(0.3))]
    ours = engine(folder)
    together = ours.infer(Task.TRANSCRIBE, clips)

    for one, answer in zip(clips, together, strict=True):
        assert ours.infer(Task.TRANSCRIBE, [one])[0].text == answer.text


LENGTHS_S = (0.3, 28.0, 1.1, 5.0, 0.31, 13.7)


@pytest.mark.parametrize("norm", NORMS)
def test_padding_leaves_no_trace_in_the_logits(norm: Norm) -> None:
    """A5. Every clip is compared with itself alone, unpadded, in transformers' own forward."""
    model = ctc_model(norm)
    sounds = [noise(s, slope=0.5, seed=i) for i, s in enumerate(LENGTHS_S)]
    with torch.inference_mode():
        alone = [
            model(torch.from_numpy(level(s))[None]).logits.log_softmax(-1)[0].numpy()
            for s in sounds
        ]
    together = Network(model, normalises=True).log_probabilities(sounds)

    assert [len(rows) for rows in together] == [len(rows) for rows in alone]
    worst = max(np.abs(a - b).max() for a, b in zip(alone, together, strict=True))
    assert worst < 1e-4


def test_transformers_own_padded_batch_would_fail_that_test() -> None:
    """Why the norm is ours: what padding does to a group-norm checkpoint without it."""
    model = ctc_model("group")
    short, long = level(noise(1.0, seed=1)), level(noise(4.0, seed=2))
    padded = torch.zeros(2, long.size)
    padded[0, : short.size], padded[1] = torch.from_numpy(short), torch.from_numpy(long)
    mask = torch.arange(long.size)[None] < torch.tensor([[short.size], [long.size]])
    with torch.inference_mode():
        alone = model(torch.from_numpy(short)[None]).logits[0]
        beside = model(padded, attention_mask=mask.long()).logits[0, : len(alone)]

    assert (alone - beside).abs().max() > 1e-2


@pytest.mark.parametrize("norm", NORMS)
def test_hidden_states_are_those_of_transformers(norm: Norm) -> None:
    model, sounds = ctc_model(norm), [noise(1.0), noise(2.5, seed=3)]
    with torch.inference_mode():
        theirs = [
            model.wav2vec2(torch.from_numpy(level(s))[None], output_hidden_states=True)
            for s in sounds
        ]
    network = Network(model, normalises=True)

    for layer in (1, 2):
        for own, other in zip(network.hidden(sounds, layer), theirs, strict=True):
            np.testing.assert_allclose(own, other.hidden_states[layer][0].numpy(), atol=1e-4)


def test_convolutions_in_pieces_are_those_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    network, sounds = Network(ctc_model("group"), normalises=True), [noise(6.0), noise(2.0)]
    whole = network.log_probabilities(sounds)
    monkeypatch.setattr("gpu_service.engines.wav2vec2_network.PIECE_FRAMES", {"cpu": 7})

    for a, b in zip(whole, network.log_probabilities(sounds), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_an_embedding_holds_means_deviations_and_frames(folder: Path) -> None:
    sound = said(TEXTS[0])
    (answer,) = engine(folder, layer=1).infer(Task.EMBED, [clip(sound)])
    with torch.inference_mode():
        states = Wav2Vec2Model.from_pretrained(folder).eval()(
            torch.from_numpy(level(sound))[None], output_hidden_states=True
        )
    hidden = states.hidden_states[1][0].numpy()

    assert answer.embedding is not None
    expected = np.concatenate((hidden.mean(0), hidden.std(0)))
    np.testing.assert_allclose(answer.embedding.vector, expected, atol=1e-4)
    kept = np.frombuffer(base64.b64decode(answer.embedding.frames), np.int8)
    assert kept.size == -(-len(hidden) // 4) * answer.embedding.dims
    assert answer.embedding.frames_per_s == pytest.approx(12.5)


def test_an_embedding_is_the_same_alone_and_beside_others(untaught: Path) -> None:
    ours, sounds = engine(untaught), [noise(1.0, seed=1), noise(1.05, seed=2), noise(9.0)]
    together = ours.infer(Task.EMBED, [clip(s) for s in sounds])

    for sound, answer in zip(sounds, together, strict=True):
        (alone,) = ours.infer(Task.EMBED, [clip(sound)])
        assert alone.embedding and answer.embedding
        np.testing.assert_allclose(alone.embedding.vector, answer.embedding.vector, atol=1e-4)


def test_a_fitted_projection_is_loaded_and_named(untaught: Path, tmp_path: Path) -> None:
    ours = engine(untaught, layer=1)
    assert isinstance(ours, Wav2Vec2)
    sounds, path = [noise(4.0, seed=i) for i in range(3)], tmp_path / "pca.safetensors"
    fitted = projection.fitted(ours.hidden(sounds), ours.provenance())
    projection.save(fitted, path)
    with_it = engine(untaught, layer=1, projection=str(path))

    (answer,) = with_it.infer(Task.EMBED, [clip(sounds[0])])
    assert answer.embedding is not None
    assert with_it.capabilities().versions["projection"] == projection.name_of(path)
    kept = np.frombuffer(base64.b64decode(answer.embedding.frames), np.int8).reshape(-1, 64)
    assert kept.std(axis=0)[0] == kept.std(axis=0).max()  # the widest axis is the first


@pytest.mark.parametrize("layer", [2])
def test_a_projection_of_another_layer_is_refused(
    untaught: Path, tmp_path: Path, layer: int
) -> None:
    ours, path = engine(untaught, layer=1), tmp_path / "pca.safetensors"
    assert isinstance(ours, Wav2Vec2)
    projection.save(projection.fitted(ours.hidden([noise(4.0)]), ours.provenance()), path)

    with pytest.raises(WeightsRefused, match="another checkpoint or layer"):
        engine(untaught, layer=layer, projection=str(path))


def test_bfloat16_writes_the_same_texts(folder: Path) -> None:
    clips = [clip(said(text)) for text in TEXTS]
    exact, rough = engine(folder), engine(folder, dtype="bfloat16")
    first, second = (e.infer(Task.TRANSCRIBE, clips) for e in (exact, rough))

    assert [a.text for a in second] == [a.text for a in first]


def test_int8_writes_the_same_texts_and_says_so(folder: Path) -> None:
    ours = engine(folder, quantization="int8")

    heard = ours.infer(Task.TRANSCRIBE, [clip(said(text)) for text in TEXTS])
    assert [answer.text for answer in heard] == list(TEXTS)
    assert ours.capabilities().versions["quantization"] == "int8"


def test_without_a_head_text_is_refused_and_features_are_not(tmp_path: Path) -> None:
    trunk = saved(ctc_model("group").wav2vec2, tmp_path / "trunk", tokenizer=False)

    with pytest.raises(WeightsRefused, match=r"no CTC head.*tasks"):
        engine(trunk)
    (answer,) = engine(trunk, tasks=["embed"]).infer(Task.EMBED, [clip(noise(1.0))])
    assert answer.embedding is not None


def test_without_a_tokenizer_text_is_refused(tmp_path: Path) -> None:
    mute = saved(ctc_model("group"), tmp_path / "mute", tokenizer=False)

    with pytest.raises(WeightsRefused, match=r"no tokenizer.*tasks"):
        engine(mute)


@pytest.mark.parametrize(
    "name, key, value, reason",
    [
        ("config.json", "add_adapter", True, "adapters"),
        ("config.json", "adapter_attn_dim", 16, "adapters"),
        ("config.json", "model_type", "hubert", "hubert, not a wav2vec2"),
        ("processor_config.json", "sampling_rate", 8_000, "hears 8000 Hz"),
    ],
)
def test_a_checkpoint_that_is_not_for_this_kind_says_why(
    tmp_path: Path, name: str, key: str, value: object, reason: str
) -> None:
    path = saved(ctc_model("group"), tmp_path / "other") / name
    said = json.loads(path.read_text())
    said.get("feature_extractor", said)[key] = value
    path.write_text(json.dumps(said))

    with pytest.raises(WeightsRefused, match=reason):
        engine(path.parent)


def test_without_a_front_end_nobody_knows_how_it_hears(tmp_path: Path) -> None:
    folder = saved(ctc_model("group"), tmp_path / "deaf")
    (folder / "processor_config.json").unlink()

    with pytest.raises(WeightsRefused, match=r"no preprocessor_config\.json"):
        engine(folder)


def test_older_checkpoints_keep_their_front_end_in_a_file_of_its_own(tmp_path: Path) -> None:
    folder = saved(ctc_model("group"), tmp_path / "older")
    kept = json.loads((folder / "processor_config.json").read_text())["feature_extractor"]
    newer = engine(folder).infer(Task.EMBED, [clip(noise(1.0))])
    (folder / "processor_config.json").unlink()
    (folder / "preprocessor_config.json").write_text(json.dumps(kept))

    older = engine(folder).infer(Task.EMBED, [clip(noise(1.0))])
    assert older[0].embedding == newer[0].embedding


def test_in_a_process_of_its_own_it_answers_the_same(tmp_path: Path) -> None:
    folder = saved(learned("group"), tmp_path)
    settings = EngineSettings(
        kind="wav2vec2",
        checkpoint=str(folder),
        dtype="float32",
        threads=1,
        options={"layer": 2, "language": ["en"]},
    )
    sound = [clip(said(TEXTS[0]))]
    host = EngineHost("letters", settings, cache=folder)
    host.start()
    try:
        heard = [host.infer(task, sound)[0] for task in (Task.TRANSCRIBE, Task.EMBED)]
    finally:
        host.stop()

    assert (heard[0].text, heard[0].language) == (TEXTS[0], "en")
    here = engine(folder).infer(Task.EMBED, sound)[0].embedding
    assert heard[1].embedding and here
    np.testing.assert_allclose(heard[1].embedding.vector, here.vector, atol=1e-4)


def test_weights_that_are_no_safetensors_are_refused(tmp_path: Path) -> None:
    folder = saved(ctc_model("group"), tmp_path / "hurt")
    (folder / "model.safetensors").write_bytes(b"\x20" + b"garbage")

    with pytest.raises(WeightsRefused, match="not safetensors"):
        engine(folder)


def test_a_layer_the_model_has_not_is_named(untaught: Path) -> None:
    with pytest.raises(InvalidSettings, match="`layer` 8 of a model with 2"):
        engine(untaught, layer=8)


def test_parameters_reach_the_model(untaught: Path) -> None:
    ours = engine(untaught, parameters={"layer_norm_eps": 1e-3, "attention_dropout": 0.3})
    plain = engine(untaught)

    heard = [e.infer(Task.EMBED, [clip(noise(1.0))])[0].embedding for e in (ours, plain)]
    assert heard[0] and heard[1] and heard[0].vector != heard[1].vector
    assert "attention_dropout" in ours.capabilities().versions["parameters"]


def test_every_parameter_is_a_field_of_the_config_class() -> None:
    config = Wav2Vec2Config().to_dict()

    assert set(ModelParameters.model_fields) <= set(config)


def test_the_letters_here_are_those_of_the_published_vocabulary() -> None:
    assert len(LETTERS) == Wav2Vec2Config().vocab_size


def _finite(answer: Answer) -> bool:
    vector = answer.embedding.vector if answer.embedding else ()
    numbers = [*vector, *(word.confidence or 0.0 for word in answer.words)]
    return bool(np.isfinite(numbers).all())
