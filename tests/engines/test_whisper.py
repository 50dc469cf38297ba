"""The engine that ships: true words, none where nobody speaks, short clips together."""

import math
import zlib
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpu_service.engines import whisper
from gpu_service.engines.engine import Clip, Engine, Samples
from gpu_service.engines.registry import DEFAULTS, EngineSettings, build
from gpu_service.engines.whisper import Whisper
from gpu_service.hearing.segmentation import cut
from gpu_service.hearing.voice_activity import VoiceActivity
from gpu_service.weights.pinned import BASE_DIGESTS, TINY_EN_REVISION, whisper_base
from shared.domain.answers import Answer, Task, Word
from shared.domain.sound import SAMPLE_RATE
from shared.errors import WeightsRefused
from tests.engines.speech import (
    NO_SPEECH,
    SENTENCES,
    VOICES,
    clip,
    music,
    noise,
    normal,
    pronounced,
    said,
    silence,
    word_error_rate,
)

pytestmark = pytest.mark.whisper

#: Every sentence once, the voices in turn.
SPOKEN = [(text, VOICES[i % len(VOICES)]) for i, text in enumerate(SENTENCES)]


@pytest.fixture(scope="module")
def engine(cache: Path) -> Whisper:
    made = Whisper("whisper", DEFAULTS["whisper"], cache=cache)
    made.load()
    made.load()
    return made


def transcribe(engine: Engine, *clips: Clip) -> list[Answer]:
    return engine.infer(Task.TRANSCRIBE, clips)


@pytest.fixture(scope="module")
def alone(engine: Engine) -> list[Answer]:
    return [transcribe(engine, clip(said(*spoken)))[0] for spoken in SPOKEN]


@pytest.fixture(scope="module")
def packed(engine: Engine) -> list[Answer]:
    return transcribe(engine, *[clip(said(*spoken)) for spoken in SPOKEN])


def test_at_most_one_word_in_twenty_is_wrong(alone: list[Answer]) -> None:
    rate = word_error_rate([text for text, _ in SPOKEN], [a.text for a in alone])

    print(f"word error rate alone {rate:.3f}")
    assert rate <= 0.05


def test_packed_clips_are_heard_as_well_as_alone(alone: list[Answer], packed: list[Answer]) -> None:
    texts = [text for text, _ in SPOKEN]
    rates = [word_error_rate(texts, [a.text for a in found]) for found in (alone, packed)]

    print(f"word error rate alone {rates[0]:.3f}, packed {rates[1]:.3f}")
    assert rates[1] <= max(0.05, rates[0])
    assert sum(a.seconds for a in packed) < sum(a.seconds for a in alone)


def test_every_answer_says_language_confidence_and_words_inside_its_clip(
    alone: list[Answer], packed: list[Answer]
) -> None:
    for spoken, answer in zip(SPOKEN * 2, alone + packed, strict=True):
        assert (answer.engine, answer.language, answer.calibrated) == ("whisper", "en", False)
        assert answer.confidence is not None
        assert 0.5 < answer.confidence <= 1
        assert " ".join(word.text for word in answer.words) == answer.text
        length = said(*spoken).size / SAMPLE_RATE
        assert all(0 <= w.start_s <= w.end_s <= length for w in answer.words)
        assert all(a.start_s <= b.start_s for a, b in pairwise(answer.words))
        assert all(w.confidence is not None and 0 <= w.confidence <= 1 for w in answer.words)
        assert answer.cautions == ()


MEASURED = {"mean_logprob", "min_window_logprob", "min_word_logprob", "no_speech_probability"} | {
    "language_probability",
    "compression_ratio",
    "speech_share",
    "words_per_s",
}


def test_every_answer_carries_its_own_figures_alone_and_packed(
    alone: list[Answer], packed: list[Answer]
) -> None:
    for answer in alone + packed:
        signals, logs = answer.signals, [math.log(w.confidence or 0) for w in answer.words]
        windows = [sum(logs[i : i + 4]) / 4 for i in range(len(logs) - 3)]
        text = answer.text.encode()

        assert set(signals) == MEASURED
        assert signals["mean_logprob"] == pytest.approx(sum(logs) / len(logs))
        assert signals["min_window_logprob"] == pytest.approx(min(windows))
        assert signals["min_word_logprob"] == min(logs)
        assert signals["compression_ratio"] == len(text) / len(zlib.compress(text))
        assert signals["no_speech_probability"] < 0.5 < signals["language_probability"]
        assert 0.5 < signals["speech_share"] <= 1
        assert 1 < signals["words_per_s"] < 6


def test_a_language_that_was_told_is_no_finding(engine: Engine) -> None:
    (answer,) = transcribe(engine, clip(said(*SPOKEN[0]), language="en"))

    assert set(answer.signals) == MEASURED - {"language_probability"}


def test_where_nobody_speaks_that_is_the_figure(engine: Engine) -> None:
    (answer,) = transcribe(engine, clip(silence(2)))

    assert answer.signals == {"speech_share": 0.0}


def test_voice_without_words_says_how_sure_the_model_is_of_that(engine: Engine) -> None:
    """A detector that is wrong: the figure of the window is there, those of words are not.

    Which of these the model writes nothing of depends on how the CPU rounds.
    """
    wordless = [
        answer
        for sound in (noise(3), noise(3, peak=0.001), noise(3, slope=0.5), noise(3, slope=1.0))
        for answer in transcribe(engine, clip(sound, speech=((0.0, 3.0),)))
        if not answer.text
    ]

    assert wordless
    for answer in wordless:
        assert whisper.UNEXPLAINED in answer.cautions
        assert set(answer.signals) >= {"no_speech_probability", "speech_share", "words_per_s"}
        assert answer.signals["words_per_s"] == 0
        assert "mean_logprob" not in answer.signals


def lecture(first: int) -> Samples:
    """Four sentences, 15 to 18 s: too long to share a window."""
    return np.concatenate([said(*spoken) for spoken in SPOKEN[first : first + 4]])


class Noting:
    """CTranslate2's model, and how many windows it was asked for at once, with which beam."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.asked: list[tuple[int, int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def generate(self, encoded: Any, prompts: list[list[int]], **how: Any) -> Any:
        self.asked.append((len(prompts), how["beam_size"]))
        return self._model.generate(encoded, prompts, **how)


@pytest.fixture
def noting(engine: Whisper) -> Iterator[Noting]:
    """What `engine` asks its model for from here on; it knows by now how large a window is."""
    transcribe(engine, clip(said(*SPOKEN[0])))
    begun = engine._model.model
    begun._model = note = Noting(begun._model)
    yield note
    begun._model = note._model


@pytest.mark.parametrize("prompt", [None, "About trains, bridges and grandmothers."])
def test_windows_decoded_together_are_heard_as_each_alone(
    engine: Whisper, noting: Noting, prompt: str | None
) -> None:
    """GOALS A5 of int8: the same text, and log-probabilities that differ by rounding."""
    clips = [replace(clip(lecture(n)), prompt=prompt) for n in (0, 3, 5, 8)]

    together = transcribe(engine, *clips)
    alone = [transcribe(engine, one)[0] for one in clips]

    first, *others = noting.asked  # more than four: one goes on behind an early end
    assert first == (4, 1)
    assert set(others) == {(1, 1)}
    assert len(others) >= 4
    logs = [[a.signals["mean_logprob"] for a in found] for found in (together, alone)]
    change = np.abs(np.subtract(*logs)).max()
    print(f"largest change of a mean log-probability {change:.5f}")
    assert change < 0.01
    assert [a.text for a in together] == [a.text for a in alone]
    assert [a.words[-1].end_s for a in together] == [a.words[-1].end_s for a in alone]


def test_windows_of_several_wishes_or_throws_of_the_dice_are_decoded_one_by_one(
    engine: Whisper, noting: Noting
) -> None:
    first, second = clip(lecture(0)), clip(lecture(4))

    transcribe(engine, first, replace(second, prompt="Bridges."))
    transcribe(engine, replace(first, temperature=0.1), replace(second, temperature=0.1))

    assert {windows for windows, _ in noting.asked} == {1}


@pytest.mark.parametrize(
    ("width", "beam_size", "windows"),
    [(512, 1, 8), (512, 5, 4), (768, 1, 2), (1024, 1, 1), (1280, 1, 1), (999, 1, 1)],
)
def test_so_many_windows_are_decoded_together_as_have_room(
    width: int, beam_size: int, windows: int
) -> None:
    """48 MB a window of base, 92 with a beam of 5, 144 of small; an unknown width is large."""
    from ctranslate2 import StorageView

    from gpu_service.engines.whisper_model import at_once

    encoded = StorageView.from_array(np.zeros((1, 1500, width), np.float32))

    assert at_once(encoded, beam_size) == windows


def test_windows_decoded_together_are_each_in_their_own_language(
    engine: Whisper, noting: Noting
) -> None:
    spanish = pronounced(
        "Los niños juegan en el jardín. La casa de mi abuela está cerca del mar. "
        "El tren de Madrid llega a las ocho de la noche. Mañana vamos a comprar pan y queso. "
        "Mi hermano trabaja en una escuela pequeña. Los pájaros cantan por la mañana.",
        "es",
    )
    (by_itself,) = transcribe(engine, clip(spanish))

    answers = transcribe(engine, clip(lecture(0)), clip(spanish), clip(lecture(4)))

    assert (3, 1) in noting.asked
    assert [answer.language for answer in answers] == ["en", "es", "en"]
    assert answers[1].text == by_itself.text


def test_windows_of_two_tenants_are_never_decoded_together(engine: Whisper, noting: Noting) -> None:
    transcribe(engine, clip(lecture(0), "a"), clip(lecture(4), "b"))
    assert noting.asked == [(1, 1), (1, 1)]

    transcribe(engine, clip(lecture(0), "a"), clip(lecture(2), "b"), clip(lecture(4), "a"))
    assert sorted(noting.asked[2:]) == [(1, 1), (2, 1)]


def test_a_window_that_repeats_itself_is_tried_again_without_its_neighbours(
    engine: Whisper, noting: Noting
) -> None:
    clips = [clip(lecture(0), language="en"), clip(chant(), language="en")]

    told, chanted = transcribe(engine, *clips)

    assert noting.asked[0] == (2, 1)
    assert (1, 5) in noting.asked  # decoded anew, not what was begun
    (by_itself,) = transcribe(engine, clips[1])
    assert whisper.REPETITION in chanted.cautions
    assert chanted.text == by_itself.text
    assert told.cautions == ()


def chant() -> Samples:
    """A phrase said twenty times."""
    return np.concatenate([said("no no no")] * 20)[: 20 * SAMPLE_RATE]


def test_words_are_those_of_faster_whisper_itself(alone: list[Answer], cache: Path) -> None:
    """We call the methods `transcribe` is made of; this holds them together."""
    from faster_whisper import WhisperModel

    model = WhisperModel(str(whisper_base(cache)), device="cpu", compute_type="int8")
    for spoken, answer in list(zip(SPOKEN, alone, strict=True))[:2]:
        segments, info = model.transcribe(
            said(*spoken), beam_size=1, temperature=0.0, word_timestamps=True
        )
        words = [word for segment in segments for word in segment.words]

        assert info.language == answer.language
        assert [w.word.strip() for w in words] == [w.text for w in answer.words]
        assert [w.start for w in words] == pytest.approx([w.start_s for w in answer.words])


@pytest.mark.parametrize("name", NO_SPEECH)
def test_nothing_is_written_where_nobody_speaks(engine: Engine, name: str) -> None:
    sound = NO_SPEECH[name]
    voice = VoiceActivity()
    voice.add(sound)
    length = sound.size / SAMPLE_RATE
    segments = cut(voice.result(), length, quietest=voice.quietest)
    heard = [sound[round(s.start_s * SAMPLE_RATE) : round(s.end_s * SAMPLE_RATE)] for s in segments]

    answers = transcribe(engine, clip(sound), *map(clip, heard))

    assert [(answer.text, answer.words) for answer in answers] == [("", ())] * len(answers)


def test_speech_already_looked_for_is_not_looked_for_again(engine: Engine) -> None:
    """What the survey found is believed: no voice, no words; the same voice, the same words."""
    sound = said(*SPOKEN[3])
    voice = VoiceActivity()
    voice.add(sound)
    (looked,) = transcribe(engine, clip(sound))

    told, none = transcribe(
        engine, clip(sound, "a", speech=tuple(voice.result())), clip(sound, "b", speech=())
    )

    assert (told.text, told.words) == (looked.text, looked.words)
    assert (none.text, none.words) == ("", ())


def test_noise_and_music_beside_speech_add_no_words(engine: Engine) -> None:
    text, voice = SPOKEN[1]
    clips = [clip(noise(4)), clip(said(text, voice)), clip(music(4)), clip(silence(3))]

    answers = transcribe(engine, *clips)

    assert [bool(answer.text) for answer in answers] == [False, True, False, False]
    assert word_error_rate([text], [answers[1].text]) <= 0.15


@pytest.mark.parametrize("word", ["yes", "stop", "hello"])
def test_a_single_word_is_heard(engine: Engine, word: str) -> None:
    (answer,) = transcribe(engine, clip(said(word), language="en"))

    assert normal(answer.text) == [word]


def test_a_clip_of_28_s_is_taken_and_a_longer_one_is_the_callers_mistake(engine: Engine) -> None:
    longest = np.resize(said(" ".join(SENTENCES)), 28 * SAMPLE_RATE)

    (answer,) = transcribe(engine, clip(longest))

    assert len(answer.words) > 50
    with pytest.raises(ValueError, match=r"longer than 28\.0 s"):
        transcribe(engine, clip(np.append(longest, np.float32(0))))
    with pytest.raises(ValueError, match="does not classify"):
        engine.infer(Task.CLASSIFY, [])


def test_another_language_in_the_same_batch_is_found_by_asking_alone(engine: Engine) -> None:
    """Whisper hears one language a window; what it then makes of the others is improbable."""
    spanish = clip(pronounced("Los niños juegan en el jardín.", "es"))
    english = [clip(said(*spoken)) for spoken in SPOKEN[:4]]
    (by_itself,) = transcribe(engine, spanish)

    answers = transcribe(engine, *english, spanish)

    assert [answer.language for answer in answers] == ["en"] * 4 + ["es"]
    assert answers[4].text == by_itself.text


def test_clips_that_all_say_the_same_are_each_heard(engine: Engine) -> None:
    """Their window repeats itself as a decoder in a loop would; none may lose words for that."""
    text = "Thank you very much for calling."

    answers = transcribe(engine, *[clip(said(text)) for _ in range(6)])

    assert [normal(answer.text) for answer in answers] == [normal(text)] * 6


def test_a_sound_the_model_cannot_write_down_is_tried_again_with_a_beam(cache: Path) -> None:
    """The second decoding may cut it, and the answer says so."""
    engine = build("whisper", DEFAULTS["whisper"], cache=cache)

    (answer,) = transcribe(engine, clip(chant(), language="en"))

    assert whisper.REPETITION in answer.cautions
    assert set(normal(answer.text)) >= {"no"}


def test_clips_of_two_tenants_never_share_a_window(engine: Engine) -> None:
    """Neighbours in a window change each other's numbers; across tenants nothing may."""
    sounds = [said(*spoken) for spoken in SPOKEN[:3]]
    (by_itself,) = transcribe(engine, clip(sounds[0], "acme"))

    mixed = transcribe(engine, clip(sounds[1], "b"), clip(sounds[0], "acme"), clip(sounds[2], "b"))

    assert mixed[1].words == by_itself.words


@pytest.fixture(scope="module")
def call() -> Clip:
    """Names that are written in more than one way."""
    return clip(said("Please ask Catherine to call Sean back before noon."), language="en")


def test_a_prompt_says_how_names_are_written(engine: Engine, call: Clip) -> None:
    (plain,) = transcribe(engine, call)

    (told,) = transcribe(engine, replace(call, prompt="A note for Cathryn and Shaun."))

    assert plain.text.startswith("Please ask Catherine to call Sean back")
    assert told.text.startswith("Please ask Cathryn to call Shaun back")
    assert (plain.cautions, told.cautions) == ((), ())


def test_clips_of_other_prompts_never_share_a_window(engine: Engine, call: Clip) -> None:
    """As one batch: each is heard with its own prompt, and word for word as without the other."""
    asked = [replace(call, prompt=p) for p in (None, "A note for Cathryn and Shaun.", "Kathryn.")]

    together = transcribe(engine, *asked)

    assert [a.words for a in together] == [transcribe(engine, c)[0].words for c in asked]
    assert len({a.text for a in together}) == 3


def test_without_temperature_the_same_sound_gives_the_same_words(
    engine: Engine, call: Clip
) -> None:
    first, *others = (transcribe(engine, call)[0] for _ in range(3))

    assert [(o.text, o.words) for o in others] == [(first.text, first.words)] * 2


def test_with_temperature_the_dice_choose(engine: Engine, call: Clip) -> None:
    """At 1.0 few of ten samples agree; in a batch of both kinds the sure one stays as it was."""
    (sure,) = transcribe(engine, call)
    warm = replace(call, temperature=1.0)

    texts = {transcribe(engine, warm)[0].text for _ in range(10)}
    mixed = transcribe(engine, warm, call)

    assert len(texts) > 1
    assert (mixed[1].text, mixed[1].words) == (sure.text, sure.words)


@pytest.mark.parametrize(("names", "cautions"), [(223, ()), (224, (whisper.PROMPT_CUT,))])
def test_a_prompt_of_too_many_tokens_is_cut_and_that_is_said(
    engine: Engine, call: Clip, names: int, cautions: tuple[str, ...]
) -> None:
    """The model reads 223 tokens before the sound; " cat" is one."""
    (answer,) = transcribe(engine, replace(call, prompt=" ".join(["cat"] * names)))

    assert set(answer.cautions) - {whisper.REPETITION} == set(cautions)
    assert answer.text.startswith("Please ask")


def test_a_wish_for_a_language_the_model_lacks_is_said_and_detection_helps(engine: Engine) -> None:
    text, voice = SPOKEN[2]

    (answer,) = transcribe(engine, clip(said(text, voice), language="xx"))

    assert answer.language == "en"
    assert answer.cautions == (whisper.LANGUAGE_UNKNOWN,)
    assert word_error_rate([text], [answer.text]) <= 0.15


@pytest.mark.parametrize(
    ("start_s", "end_s", "kept"),
    [(0.0, 0.49, False), (0.0, 0.5, True), (1.0, 2.0, True), (3.5, 4.0, True), (3.51, 4.0, False)],
    ids=["before", "just before", "inside", "just after", "after"],
)
def test_a_word_half_a_second_from_any_voice_is_an_invention(
    start_s: float, end_s: float, kept: bool
) -> None:
    assert whisper.near(Word(start_s, end_s, "x", 1.0), [(1.0, 3.0)]) is kept


def test_after_unloading_it_loads_again(cache: Path) -> None:
    engine = build("whisper", EngineSettings(kind="whisper", threads=1), cache=cache)
    engine.load()
    engine.unload()

    (answer,) = transcribe(engine, clip(said("hello"), language="en"))

    assert normal(answer.text) == ["hello"]


def checkpoint(cache: Path, **changes: str) -> Engine:
    settings = EngineSettings.model_validate({"kind": "whisper", **changes})
    return build("whisper", settings, cache=cache)


def test_a_folder_may_be_the_checkpoint_and_its_digest_is_held_to(cache: Path) -> None:
    folder = str(whisper_base(cache))

    checkpoint(cache, checkpoint=folder, sha256=BASE_DIGESTS["model.bin"]).load()

    other = checkpoint(cache, checkpoint=folder, sha256="0" * 64)
    with pytest.raises(WeightsRefused, match=r"model\.bin"):
        other.load()
    assert other.capabilities().versions["checkpoint"] == folder


@pytest.mark.parametrize(
    ("name", "repository"),
    [("small", "Systran/faster-whisper-small"), ("owner/name", "owner/name")],
)
def test_a_short_name_means_the_published_conversion(name: str, repository: str) -> None:
    assert whisper.hub_name(name) == repository


def test_tiny_en_of_the_packages_hears_too_and_says_what_it_is(cache: Path) -> None:
    text, voice = SPOKEN[0]
    engine = checkpoint(cache, checkpoint="tiny.en")

    (answer,) = transcribe(engine, clip(said(text, voice)))

    assert word_error_rate([text], [answer.text]) <= 0.1
    assert set(answer.signals) == MEASURED - {"language_probability"}  # it knows one language
    versions = engine.capabilities().versions
    assert versions["checkpoint"] == "Systran/faster-whisper-tiny.en"
    assert versions["revision"] == TINY_EN_REVISION
