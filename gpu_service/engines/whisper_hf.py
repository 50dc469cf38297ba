"""Whisper through transformers: any checkpoint of the hub, and embeddings of what it heard.

transcribe:  log-mel -> encoder -> language -> generate -> text, signals
embed:       log-mel -> encoder -> frames that hold sound -> pooled, thinned
"""

import base64
import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from gpu_service.engines import measures, whisper_conversion
from gpu_service.engines.engine import Capabilities, Clip, Samples, check
from gpu_service.engines.generation import OVERFLOWED, Draft, Ending, Plan, generate, seed, signals
from gpu_service.engines.registry import EngineSettings
from gpu_service.engines.silence import speaks
from gpu_service.engines.versions import computed, installed
from gpu_service.engines.whisper import (
    LANGUAGE_BAR,
    LANGUAGE_GUESSED,
    LANGUAGE_UNKNOWN,
    LOG_PROBABILITY_BAR,
    NO_SPEECH_BAR,
    REPETITION,
    UNEXPLAINED,
)
from gpu_service.features import projection
from gpu_service.features.pooling import Hidden, pooled, thinned
from gpu_service.features.projection import Projection
from gpu_service.weights import checkpoints, pinned
from shared.domain.answers import Answer, Embedding, Task, Token
from shared.domain.sound import MAX_SEGMENT_S, SAMPLE_RATE
from shared.errors import WeightsRefused

if TYPE_CHECKING:
    import torch

#: Seconds the encoder sees whatever the clip's length, so what a clip costs.
WINDOW_S = 30.0
#: Samples an encoder frame advances: 10 ms of mel, halved by the second convolution.
FRAME = 320
#: Frames whose mean is one frame of pattern search: 12.5 a second.
THINNED = 4
#: Earlier text may take half the decoder's places (paper, section 2.3: 224 of 448).
PROMPT_SHARE = 2

PROMPT_CUT = "prompt_cut"  #: the model reads only the end of so long a prompt
ANSWER_CUT = "answer_cut"  #: more was to come, but the decoder has no more places


class WhisperHfOptions(BaseModel):
    """`options` of the kind `whisper_hf`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    batch_seconds: float = Field(
        8 * WINDOW_S, ge=WINDOW_S, description="Seconds a batch may take; every clip takes 30."
    )
    projection: str | None = Field(
        None, description="Fitted projection of the frames; None = the random one."
    )


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    """The control tokens of one checkpoint."""

    start: int
    end: int
    no_timestamps: int
    before: int | None  #: earlier text follows it
    no_speech: int | None
    transcribe: int | None  #: None = the checkpoint knows one language and one task
    languages: dict[str, int]
    forbidden: tuple[int, ...]  #: never written
    forbidden_first: tuple[int, ...]  #: not written first

    @classmethod
    def of(cls, config: Any, words: Any) -> "_Vocabulary":
        """As the checkpoint's generation config says; names are looked up where it is silent."""
        languages = {
            t.strip("<|>"): i for t, i in (getattr(config, "lang_to_id", {}) or {}).items()
        }
        index = words.convert_tokens_to_ids
        known = words.get_vocab()
        no_timestamps = index("<|notimestamps|>")
        return cls(
            start=index("<|startoftranscript|>"),
            end=index("<|endoftext|>"),
            no_timestamps=no_timestamps,
            before=known.get("<|startofprev|>"),
            no_speech=known.get("<|nospeech|>", known.get("<|nocaptions|>")),
            transcribe=known.get("<|transcribe|>") if languages else None,
            languages=languages,
            # Timestamps are the highest tokens and are not asked for.
            forbidden=(
                *(config.suppress_tokens or ()),
                *range(no_timestamps + 1, config.vocabulary_size),
            ),
            forbidden_first=tuple(config.begin_suppress_tokens or ()),
        )


@dataclass(frozen=True, slots=True)
class _Loaded:
    model: Any
    extractor: Any
    words: Any
    vocabulary: _Vocabulary
    projection: Projection


@dataclass(frozen=True, slots=True)
class _Language:
    code: str
    probability: float


class WhisperHf:
    """Implements `Engine` for TRANSCRIBE and EMBED.

    Without a checkpoint it takes the pinned Whisper base, converted (`whisper_conversion`).
    Greedy, one pass. Confidence: geometric mean of the tokens' probabilities, uncalibrated.
    Times are left to the aligner: transformers' token timestamps (5.23.0, the same weights, 58
    words) lie 0.23 s behind faster-whisper's in the mean, 0.55 s at the 95th percentile, because
    a token gets the time of the one after it. EMBED: last encoder states of the frames that
    hold sound, means and deviations; frames of 80 ms in int8.

    A clip's answer does not depend on its batch: every clip fills a window of its own.
    """

    options: ClassVar[type[BaseModel]] = WhisperHfOptions
    needs_torch: ClassVar[bool] = True

    def __init__(self, name: str, settings: EngineSettings, *, cache: Path) -> None:
        self.name = name
        self._settings = settings
        self._options = WhisperHfOptions.model_validate(settings.options)
        self._cache = cache
        self._loaded: _Loaded | None = None

    def capabilities(self) -> Capabilities:
        s, fitted = self._settings, self._options.projection
        name = projection.name_of(Path(fitted).expanduser()) if fitted else projection.RANDOM
        return Capabilities(
            tasks=frozenset({Task.TRANSCRIBE, Task.EMBED}),
            max_duration_s=MAX_SEGMENT_S,
            padding="batch",
            heeds=frozenset({"prompt", "temperature"}),
            versions={
                "checkpoint": s.checkpoint or pinned.BASE_REPOSITORY,
                "revision": s.revision or ("" if s.checkpoint else pinned.BASE_REVISION),
                "library": f"transformers {installed('transformers')}",
                "dtype": computed(s.dtype),
                "projection": name,
                "rules": "whisper_hf/2",
            },
        )

    def load(self) -> None:
        if self._loaded is not None:
            return
        folder = self._folder()
        import torch
        from transformers import (
            WhisperFeatureExtractor,
            WhisperForConditionalGeneration,
            WhisperTokenizer,
        )

        if self._settings.threads:
            torch.set_num_threads(self._settings.threads)
        extractor = checkpoints.part(WhisperFeatureExtractor, folder)
        words = checkpoints.part(WhisperTokenizer, folder)
        model = checkpoints.loaded(WhisperForConditionalGeneration, folder, self._settings)
        config = model.generation_config
        config.vocabulary_size = model.config.vocab_size
        vocabulary = _Vocabulary.of(config, words)
        made = self._projection(folder, model.config.d_model)
        self._loaded = _Loaded(model, extractor, words, vocabulary, made)

    def unload(self) -> None:
        self._loaded = None

    def infer(self, task: Task, batch: Sequence[Clip]) -> list[Answer]:
        """Answer every clip.

        Raises:
            ValueError: a clip is longer than 28 s, or the engine has no such task.
        """
        check(self.name, self.capabilities(), task, batch)
        heard = speaks if task is Task.TRANSCRIBE else _sounds
        asked = [i for i, clip in enumerate(batch) if heard(clip)]
        answers = {i: Answer(self.name, task) for i in set(range(len(batch))) - set(asked)}
        if asked:
            self.load()
        for chosen in _batches(batch, asked, int(self._options.batch_seconds // WINDOW_S)):
            found = self._ask(task, [batch[i] for i in chosen])
            answers |= dict(zip(chosen, found, strict=True))
        return [answers[i] for i in range(len(batch))]

    @property
    def _ready(self) -> _Loaded:
        assert self._loaded is not None
        return self._loaded

    def _folder(self) -> Path:
        if self._settings.checkpoint is None:
            return whisper_conversion.whisper_base(self._cache)
        return checkpoints.located(self._settings)

    def _projection(self, folder: Path, hidden_size: int) -> Projection:
        path = self._options.projection
        if path is None:
            return projection.random(hidden_size)
        told = provenance(folder)
        return projection.load(Path(path).expanduser(), **told)

    def _ask(self, task: Task, clips: Sequence[Clip]) -> list[Answer]:
        import torch

        began = time.monotonic()
        work = self._transcribed if task is Task.TRANSCRIBE else self._embedded
        with torch.inference_mode():
            answers = work(clips, self._encoded([clip.samples for clip in clips]))
        share = (time.monotonic() - began) / len(clips)
        return [replace(answer, seconds=share) for answer in answers]

    def _encoded(self, sounds: Sequence[Samples]) -> "torch.Tensor":
        """Encoder states, (n_clips, 1500, n_hidden)."""
        model = self._ready.model
        made = self._ready.extractor(
            list(sounds), sampling_rate=SAMPLE_RATE, return_tensors="pt", padding="max_length"
        )
        features = made["input_features"].to(model.device, model.dtype)
        states: torch.Tensor = model.model.encoder(features).last_hidden_state
        return states

    # -- text ----------------------------------------------------------------------------------

    def _transcribed(self, clips: Sequence[Clip], states: "torch.Tensor") -> list[Answer]:
        first = self._decoder(states)(self._rows([[self._ready.vocabulary.start]] * len(clips)))
        chances = first.softmax(-1)  # (n_clips, n_vocabulary)
        spoken = [self._language(*one) for one in zip(clips, chances, strict=True)]
        silent = self._ready.vocabulary.no_speech
        quiet = chances[:, silent].tolist() if silent is not None else [None] * len(clips)
        drafts = self._generated(clips, states, [one.code for one in spoken])
        rows = zip(clips, spoken, quiet, drafts, strict=True)
        return [self._answer(*row) for row in rows]

    def _language(self, clip: Clip, chances: "torch.Tensor") -> _Language:
        known = self._ready.vocabulary.languages
        if not known:
            return _Language("en", 1.0)
        if clip.language in known:
            return _Language(str(clip.language), 1.0)
        among = chances[list(known.values())]
        best = int(among.argmax())
        return _Language(list(known)[best], float(among[best] / among.sum()))

    def _generated(
        self, clips: Sequence[Clip], states: "torch.Tensor", languages: Sequence[str]
    ) -> list[Draft]:
        v = self._ready.vocabulary
        prompts = [
            [*self._earlier(clip), v.start, *self._task(language), v.no_timestamps]
            for clip, language in zip(clips, languages, strict=True)
        ]
        places = self._ready.model.config.max_target_positions - len(prompts[0])
        plans = [
            Plan(places, clip.temperature, seed(clip.samples, clip.prompt, clip.temperature))
            for clip in clips
        ]
        decode = self._decoder(states)
        never, first = self._mask(v.forbidden), self._mask((*v.forbidden, *v.forbidden_first))
        return generate(
            decode(self._rows(prompts)) + first,
            lambda tokens: decode(tokens[:, None]) + never,
            plans,
            {v.end},
        )

    def _task(self, language: str) -> list[int]:
        v = self._ready.vocabulary
        return [] if v.transcribe is None else [v.languages[language], v.transcribe]

    def _earlier(self, clip: Clip) -> list[int]:
        """Earlier text or names, their last tokens where there are too many."""
        before, said = self._ready.vocabulary.before, self._prompt(clip)
        return [before, *said[-self._prompt_places :]] if before is not None and said else []

    def _prompt(self, clip: Clip) -> list[int]:
        if not clip.prompt or self._ready.vocabulary.before is None:
            return []
        said = f" {clip.prompt.strip()}"
        return list(self._ready.words.encode(said, add_special_tokens=False))

    @property
    def _prompt_places(self) -> int:
        """Tokens of a prompt the decoder has places for."""
        return int(self._ready.model.config.max_target_positions) // PROMPT_SHARE - 1

    def _decoder(self, states: "torch.Tensor") -> Callable[["torch.Tensor"], "torch.Tensor"]:
        """Takes tokens (n_clips, n_new) after all before, gives logits (n_clips, n_vocabulary)."""
        from transformers import DynamicCache, EncoderDecoderCache

        model = self._ready.model
        cache = EncoderDecoderCache(
            DynamicCache(config=model.config), DynamicCache(config=model.config)
        )

        def decode(tokens: "torch.Tensor") -> "torch.Tensor":
            found = model.model.decoder(
                input_ids=tokens,
                encoder_hidden_states=states,
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state[:, -1]
            logits: torch.Tensor = model.proj_out(found).float()
            return logits

        return decode

    def _rows(self, tokens: Sequence[Sequence[int]]) -> "torch.Tensor":
        import torch

        return torch.tensor(tokens, device=self._ready.model.device)

    def _mask(self, forbidden: Sequence[int]) -> "torch.Tensor":
        """Added to logits; (n_vocabulary,)."""
        import torch

        model = self._ready.model
        mask = torch.zeros(model.config.vocab_size, device=model.device)
        mask[list(forbidden)] = -math.inf
        return mask

    def _answer(self, clip: Clip, spoken: _Language, quiet: float | None, draft: Draft) -> Answer:
        if draft.overflowed:
            return Answer(self.name, Task.TRANSCRIBE, cautions=(OVERFLOWED,))
        found = signals(draft)
        sure = found.get("mean_logprob", 0.0) >= LOG_PROBABILITY_BAR
        if quiet is not None:
            found["no_speech_probability"] = quiet
            # The paper's rule (section 4.5): silent if it says so and is not sure of its words.
            draft = draft if sure or quiet <= NO_SPEECH_BAR else Draft()
        if clip.language != spoken.code and self._ready.vocabulary.languages:
            found["language_probability"] = spoken.probability
        words = self._ready.words
        text = words.decode(draft.tokens, skip_special_tokens=True).strip()
        pairs = zip(draft.tokens, draft.logprobs, strict=True)
        tokens = tuple(Token(words.decode([t]), p) for t, p in pairs)
        found |= measures.of_tokens(tokens) | measures.of_clip(clip, text)
        guessed = clip.language != spoken.code and spoken.probability < LANGUAGE_BAR
        cautions = {
            LANGUAGE_GUESSED: guessed,
            LANGUAGE_UNKNOWN: clip.language is not None and clip.language != spoken.code,
            REPETITION: draft.ending is Ending.LOOP,
            ANSWER_CUT: draft.ending is Ending.LIMIT,
            PROMPT_CUT: len(self._prompt(clip)) > self._prompt_places,
            UNEXPLAINED: not text,
        }
        return Answer(
            self.name,
            Task.TRANSCRIBE,
            text=text,
            language=spoken.code,
            confidence=math.exp(found["mean_logprob"]) if text else None,
            cautions=tuple(code for code, holds in cautions.items() if holds),
            signals=found,
            tokens=tokens,
        )

    # -- embeddings ----------------------------------------------------------------------------

    def _embedded(self, clips: Sequence[Clip], states: "torch.Tensor") -> list[Answer]:
        rows = zip(clips, states.float().cpu().numpy(), strict=True)
        return [self._felt(hidden[: -(-clip.samples.size // FRAME)]) for clip, hidden in rows]

    def _felt(self, hidden: Hidden) -> Answer:
        if not np.isfinite(hidden).all():
            return Answer(self.name, Task.EMBED, cautions=(OVERFLOWED,))
        small = self._ready.projection(thinned(hidden, THINNED))  # (n_frames / 4, 64)
        kept = base64.b64encode(small.tobytes()).decode("ascii")
        rate = SAMPLE_RATE / FRAME / THINNED
        felt = Embedding(pooled(hidden), kept, small.shape[1], rate)
        return Answer(self.name, Task.EMBED, embedding=felt)


def provenance(folder: Path) -> dict[str, Any]:
    """What a projection fitted on the states of the checkpoint in `folder` is saved with.

    Raises:
        WeightsRefused: the weights are in shards; a digest of one file is needed.
    """
    path = folder / checkpoints.SINGLE
    if not path.is_file():
        raise WeightsRefused("A projection needs a checkpoint in one file.", file=path.name)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    layers = json.loads((folder / "config.json").read_text(encoding="utf-8"))["encoder_layers"]
    return {"checkpoint_sha256": digest, "layer": int(layers)}


def _sounds(clip: Clip) -> bool:
    return bool(clip.samples.size)


def _batches(batch: Sequence[Clip], asked: Sequence[int], most: int) -> list[list[int]]:
    """`asked` in batches of one prompt each, so that all rows have the same places."""
    groups: dict[str | None, list[int]] = {}
    for i in asked:
        groups.setdefault(batch[i].prompt, []).append(i)
    return [g[at : at + most] for g in groups.values() for at in range(0, len(g), most)]
