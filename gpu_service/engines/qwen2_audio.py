"""Qwen2-Audio: speech to text, sounds to names, descriptions and answers, on a GPU or the CPU.

transcribe, describe, answer:  prompt + sound -> prefill -> generate -> text, signals
classify:  prompt + sound + every label at once -> likelihoods -> minus the prior -> softmax
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from gpu_service.engines import measures
from gpu_service.engines import qwen2_prompts as prompts
from gpu_service.engines.engine import Capabilities, Clip, Samples, check
from gpu_service.engines.generation import OVERFLOWED, Draft, Ending, Plan, generate, seed, signals
from gpu_service.engines.qwen2_prompts import Style
from gpu_service.engines.registry import EngineSettings
from gpu_service.engines.silence import speaks
from gpu_service.engines.sound_labels import EVERYDAY
from gpu_service.engines.versions import computed, installed
from gpu_service.engines.whisper import (
    LANGUAGE_GUESSED,
    LANGUAGE_UNKNOWN,
    REPETITION,
    UNEXPLAINED,
)
from gpu_service.weights import checkpoints
from shared.domain.answers import Answer, SoundEvent, Task, Token
from shared.domain.sound import MAX_SEGMENT_S, SAMPLE_RATE
from shared.errors import WeightsRefused

if TYPE_CHECKING:
    import torch

#: Tokens a second of speech may need, as others allow (SGLang PR #32611: "so long clips aren't
#: silently truncated"), and those that even the shortest clip gets (the language tag is among
#: them).
TOKENS_PER_S, LEAST_TOKENS = 15, 32
#: Samples. A shorter clip is filled up with silence: of less than 3 frames of 10 ms the encoder
#: makes no audio token at all.
SHORTEST_CLIP = SAMPLE_RATE // 10
#: Samples a mel frame advances (Whisper's front end, 100 frames a second).
HOP = 160
#: Label sets whose prior is kept; one set costs one forward pass without sound.
PRIORS_KEPT = 16

ANSWER_CUT = "answer_cut"  #: more was to come, but the limit of tokens was reached
QUESTION_MISSING = "question_missing"  #: ANSWER was asked without anything to answer


class Qwen2AudioOptions(BaseModel):
    """`options` of the kind `qwen2_audio`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    style: Style | None = Field(
        None, description="base or instruct; None = instruct if the checkpoint has a chat template."
    )
    tokens_per_s: int = Field(TOKENS_PER_S, ge=1, le=100, description="Of a transcript, at most.")
    least_tokens: int = Field(LEAST_TOKENS, ge=1, le=4096, description="Added to those.")
    answer_tokens: int = Field(256, ge=1, le=4096, description="Of a description or an answer.")
    batch_seconds: float = Field(
        224.0, gt=0, description="Seconds a batch may take after padding; 8 of the longest clips."
    )
    label_bar: float = Field(
        0.05, ge=0, le=1, description="Least confidence of a label nobody asked for by name."
    )


@dataclass(frozen=True, slots=True)
class Inputs:
    """One batch as the model takes it, padded left."""

    tensors: dict[str, "torch.Tensor"]

    @property
    def mask(self) -> "torch.Tensor":
        return self.tensors["attention_mask"]  # (n_clips, n_positions)


class Qwen2Audio:
    """Implements `Engine` for TRANSCRIBE, CLASSIFY, DESCRIBE and ANSWER.

    Confidence of a text: geometric mean of its tokens' probabilities. Confidence of a label:
    softmax over the set, of the mean log-probability of its tokens with the sound less the same
    without any sound (Holtzman et al. 2021, "Surface Form Competition"). Silence would be no
    prior: "silence" is itself a label. Both are uncalibrated.

    `Clip.prompt` is not used: neither checkpoint was trained to take earlier text.

    The same sound gives the same words: greedy at temperature 0, and above it the dice are
    seeded by the sound, the prompt and the temperature, so that a retry tells nothing new.

    A clip's answer does not depend on its batch: rows are padded left, positions are counted
    from a row's own first token, and nothing of the padding is attended to. Measured on a small
    checkpoint, three lengths in a batch against each alone, largest change of a logit: 3e-6
    padded left, 14.8 padded right (which transformers allows, with a warning).
    """

    options: ClassVar[type[BaseModel]] = Qwen2AudioOptions
    needs_torch: ClassVar[bool] = True

    def __init__(self, name: str, settings: EngineSettings, *, cache: Path) -> None:
        self.name = name
        self._settings = settings
        self._options = Qwen2AudioOptions.model_validate(settings.options)
        self._style = self._options.style or Style.BASE
        self._model: Any = None
        self._processor: Any = None
        self._ends: frozenset[int] = frozenset()
        self._priors: dict[tuple[str, ...], torch.Tensor] = {}

    def capabilities(self) -> Capabilities:
        s = self._settings
        return Capabilities(
            tasks=frozenset({Task.TRANSCRIBE, Task.CLASSIFY, Task.DESCRIBE, Task.ANSWER}),
            max_duration_s=MAX_SEGMENT_S,
            languages=frozenset(prompts.LANGUAGES),
            padding="batch",
            heeds=frozenset({"temperature"}),
            versions={
                "checkpoint": s.checkpoint or "",
                "revision": s.revision or "",
                "library": f"transformers {installed('transformers')}",
                "dtype": computed(s.dtype),
                "style": self._options.style or "by chat template",
                "rules": "qwen2_audio/2",
            },
        )

    def load(self) -> None:
        if self._model is not None:
            return
        folder = checkpoints.located(self._settings)
        import torch
        from transformers import Qwen2AudioForConditionalGeneration

        if self._settings.threads:
            torch.set_num_threads(self._settings.threads)
        self._processor = _processor(folder)
        self._style = self._options.style or guessed(folder)
        self._model = checkpoints.loaded(Qwen2AudioForConditionalGeneration, folder, self._settings)
        self._ends = self._known_ends()

    def unload(self) -> None:
        self._model = self._processor = None
        self._priors.clear()

    def infer(self, task: Task, batch: Sequence[Clip]) -> list[Answer]:
        """Answer every clip; clips of like length share a batch.

        Raises:
            ValueError: a clip is longer than 28 s, or the engine has no such task.
        """
        check(self.name, self.capabilities(), task, batch)
        answers = {
            i: Answer(self.name, task, cautions=cautions)
            for i, clip in enumerate(batch)
            if (cautions := _unasked(task, clip)) is not None
        }
        asked = [i for i in range(len(batch)) if i not in answers]
        if asked:
            self.load()
        for chosen in together(batch, asked, self._options.batch_seconds):
            found = self._ask(task, [batch[i] for i in chosen])
            answers |= dict(zip(chosen, found, strict=True))
        return [answers[i] for i in range(len(batch))]

    def _ask(self, task: Task, clips: Sequence[Clip]) -> list[Answer]:
        import torch

        began = time.monotonic()
        work = self._classified if task is Task.CLASSIFY else self._written
        with torch.inference_mode():
            answers = work(task, clips)
        share = (time.monotonic() - began) / len(clips)
        return [replace(answer, seconds=share) for answer in answers]

    # -- text ----------------------------------------------------------------------------------

    def _written(self, task: Task, clips: Sequence[Clip]) -> list[Answer]:
        asked = [self._words(task, clip) for clip in clips]
        plans = [self._plan(task, *one) for one in zip(clips, asked, strict=True)]
        drafts = self._generated(self._inputs(clips, asked), plans)
        return [self._answer(task, *one) for one in zip(clips, drafts, strict=True)]

    def _words(self, task: Task, clip: Clip) -> str:
        known = clip.language if clip.language in prompts.LANGUAGES else None
        return prompts.asked(task, self._style, known, clip.text, clip.transcript)

    def _plan(self, task: Task, clip: Clip, asked: str) -> Plan:
        o, seconds = self._options, clip.samples.size / SAMPLE_RATE
        spoken = o.least_tokens + math.ceil(o.tokens_per_s * seconds)
        limit = spoken if task is Task.TRANSCRIBE else o.answer_tokens
        return Plan(limit, clip.temperature, seed(clip.samples, asked, clip.temperature))

    def _generated(self, inputs: Inputs, plans: Sequence[Plan]) -> list[Draft]:
        import torch
        from transformers import DynamicCache

        cache = DynamicCache(config=self._model.config.text_config)
        mask, model = inputs.mask, self._model.model
        states = model(
            **inputs.tensors, position_ids=_positions(mask), past_key_values=cache, use_cache=True
        ).last_hidden_state  # (n_clips, n_positions, n_hidden)

        def step(tokens: torch.Tensor) -> torch.Tensor:
            nonlocal mask
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=-1)
            positions = mask.sum(-1, keepdim=True) - 1  # (n_clips, 1)
            found = model(
                input_ids=tokens[:, None],
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            )
            return self._logits(found.last_hidden_state[:, -1])

        return generate(self._logits(states[:, -1]), step, plans, self._ends)

    def _logits(self, states: "torch.Tensor") -> "torch.Tensor":
        """Of chosen positions only: those of a whole prompt would take 300 MB a clip."""
        found: torch.Tensor = self._model.lm_head(states).float()
        return found

    def _answer(self, task: Task, clip: Clip, draft: Draft) -> Answer:
        if draft.overflowed:
            return Answer(self.name, task, cautions=(OVERFLOWED,))
        transcript = task is Task.TRANSCRIBE
        language, kept = self._language(clip, draft) if transcript else (None, draft)
        found, tokens = signals(kept), self._tokens(kept)
        text = prompts.shown(self._decoded(kept.tokens))
        if transcript:
            found |= measures.of_tokens(tokens) | measures.of_clip(clip, text)
        if language and kept is not draft:
            found["language_probability"] = _probability(draft, kept)
        return Answer(
            self.name,
            task,
            text=text,
            language=language,
            confidence=math.exp(found["mean_logprob"]) if "mean_logprob" in found else None,
            cautions=self._cautions(task, clip, language, kept, text),
            signals=found,
            tokens=tokens,
        )

    def _language(self, clip: Clip, draft: Draft) -> tuple[str | None, Draft]:
        """The language of a transcript, and the draft without the tag that named it."""
        if self._style is Style.BASE and clip.language not in prompts.LANGUAGES:
            for i in range(1, min(len(draft.tokens), LEAST_TOKENS) + 1):
                if found := prompts.tagged(self._decoded(draft.tokens[:i])):
                    return found, draft.without(i)
            return None, draft
        return clip.language, draft

    def _cautions(
        self, task: Task, clip: Clip, language: str | None, draft: Draft, text: str
    ) -> tuple[str, ...]:
        speaks = task is Task.TRANSCRIBE
        unknown = clip.language is not None and clip.language not in prompts.LANGUAGES
        cautions = {
            ANSWER_CUT: draft.ending is Ending.LIMIT,
            REPETITION: draft.ending is Ending.LOOP,
            LANGUAGE_UNKNOWN: speaks and unknown,
            LANGUAGE_GUESSED: speaks and language is None,
            UNEXPLAINED: speaks and not text,
        }
        return tuple(code for code, holds in cautions.items() if holds)

    def _tokens(self, draft: Draft) -> tuple[Token, ...]:
        pairs = zip(draft.tokens, draft.logprobs, strict=True)
        controls = set(self._processor.tokenizer.all_special_ids)
        return tuple(Token(self._decoded([t]), p) for t, p in pairs if t not in controls)

    def _decoded(self, tokens: Sequence[int]) -> str:
        found: str = self._processor.tokenizer.decode(tokens, skip_special_tokens=False)
        return found

    # -- labels --------------------------------------------------------------------------------

    def _classified(self, task: Task, clips: Sequence[Clip]) -> list[Answer]:
        """Clips of one label set at a time; usually that is all of them."""
        sets = [clip.labels or EVERYDAY for clip in clips]
        answers: dict[int, Answer] = {}
        for labels in dict.fromkeys(sets):
            chosen = [i for i, other in enumerate(sets) if other == labels]
            asked = [self._words(task, clips[i]) for i in chosen]
            heard = self._likelihoods(self._inputs([clips[i] for i in chosen], asked), labels)
            shares = (heard - self._prior(asked[0], labels)).softmax(-1).tolist()
            for i, found in zip(chosen, shares, strict=True):
                answers[i] = self._named(clips[i], labels, found)
        return [answers[i] for i in range(len(clips))]

    def _named(self, clip: Clip, labels: Sequence[str], shares: Sequence[float]) -> Answer:
        end, bar = clip.samples.size / SAMPLE_RATE, 0.0 if clip.labels else self._options.label_bar
        if not all(map(math.isfinite, shares)):
            return Answer(self.name, Task.CLASSIFY, cautions=(OVERFLOWED,))
        ranked = sorted(zip(labels, shares, strict=True), key=lambda pair: -pair[1])
        events = tuple(SoundEvent(label, 0.0, end, p) for label, p in ranked if p >= bar)
        return Answer(self.name, Task.CLASSIFY, confidence=ranked[0][1], events=events)

    def _prior(self, words: str, labels: tuple[str, ...]) -> "torch.Tensor":
        """Mean log-probabilities of the labels when nothing is heard, (1, n_labels)."""
        if labels not in self._priors:
            if len(self._priors) >= PRIORS_KEPT:
                self._priors.pop(next(iter(self._priors)))
            self._priors[labels] = self._likelihoods(self._inputs([], [words]), labels)
        return self._priors[labels]

    def _likelihoods(self, inputs: Inputs, labels: Sequence[str]) -> "torch.Tensor":
        """Mean log-probability of each label's tokens and its end, (n_clips, n_labels).

        All labels stand behind one prompt in one pass, each blind to the others and at the
        position it would have alone: the prompt, which is nearly all the work, is read once.
        Measured: 55 labels on a small checkpoint, one thread, 0.08 s; a pass a label 2.7 s.
        """
        import torch

        spelled = [self._spelled(label) for label in labels]
        mask = inputs.mask
        n_prompt, device = mask.shape[1], mask.device
        block = torch.tensor([t for s in spelled for t in s], device=device)  # (n_spelled,)
        owner = torch.tensor([i for i, s in enumerate(spelled) for _ in s], device=device)
        place = torch.tensor([j for s in spelled for j in range(len(s))], device=device)
        positions = torch.cat([_positions(mask), mask.sum(-1, keepdim=True) + place], dim=-1)
        tensors = inputs.tensors | {
            "input_ids": torch.cat(
                [inputs.tensors["input_ids"], block.expand(len(mask), -1)], dim=-1
            ),
            "attention_mask": _blind(mask, owner, self._model.dtype),
        }
        states = self._model.model(
            **tensors, position_ids=positions, use_cache=False
        ).last_hidden_state
        # A label's first token is predicted at the prompt's end, any other at the one before it.
        before = torch.where(
            place == 0, n_prompt - 1, n_prompt - 1 + torch.arange(len(block), device=device)
        )
        logprobs = self._logits(states[:, before]).log_softmax(-1)
        taken = logprobs.gather(-1, block.expand(len(mask), -1)[..., None])[..., 0]
        sums = taken.new_zeros(len(mask), len(labels)).index_add_(1, owner, taken)
        return sums / torch.tensor([len(s) for s in spelled], device=device)

    def _spelled(self, label: str) -> list[int]:
        """A label's tokens and the one that ends it: "bell" is not the beginning of "bells"."""
        base = self._style is Style.BASE
        words = prompts.data(label)
        tokens: list[int] = self._processor.tokenizer.encode(
            f" {words}" if base else words, add_special_tokens=False
        )
        end = self._processor.tokenizer.convert_tokens_to_ids(
            "<|endoftext|>" if base else "<|im_end|>"
        )
        return [*tokens, end]

    # -- what the model takes ------------------------------------------------------------------

    def _inputs(self, clips: Sequence[Clip], asked: Sequence[str]) -> Inputs:
        """`asked` beside the sound of `clips`, or, without clips, alone."""
        text = [self._prompt(words, sound=bool(clips)) for words in asked]
        if not clips:
            made = self._processor.tokenizer(text, return_tensors="pt", padding=True)
        else:
            made = self._processor(
                text=text,
                audio=[_filled(clip.samples) for clip in clips],
                sampling_rate=SAMPLE_RATE,
                return_tensors="pt",
                padding=True,
            )
            _check_nothing_cut(clips, made["feature_attention_mask"].sum(-1).tolist())
        kept = ("input_ids", "attention_mask", "input_features", "feature_attention_mask")
        device = self._settings.device
        return Inputs({name: made[name].to(device) for name in kept if name in made})

    def _prompt(self, words: str, *, sound: bool) -> str:
        if self._style is Style.BASE:
            return f"{prompts.SOUND if sound else ''}{words}"
        said: str = self._processor.apply_chat_template(
            prompts.chat(words, sound=sound), add_generation_prompt=True, tokenize=False
        )
        return said

    def _known_ends(self) -> frozenset[int]:
        index = self._processor.tokenizer.convert_tokens_to_ids
        declared = self._model.generation_config.eos_token_id
        listed = declared if isinstance(declared, list) else [declared]
        named = [index("<|endoftext|>"), index("<|im_end|>")]
        return frozenset(t for t in [*listed, *named] if t is not None)


def guessed(folder: Path) -> Style:
    """INSTRUCT if the checkpoint brings a chat template, in any of the places it may stand."""
    if any((folder / name).is_file() for name in ("chat_template.jinja", "chat_template.json")):
        return Style.INSTRUCT
    config = folder / "tokenizer_config.json"
    held = config.is_file() and '"chat_template"' in config.read_text(encoding="utf-8")
    return Style.INSTRUCT if held else Style.BASE


def together(clips: Sequence[Clip], chosen: Sequence[int], batch_seconds: float) -> list[list[int]]:
    """`chosen` in batches of like length, each at most `batch_seconds` when padded."""
    batches: list[list[int]] = []
    for i in sorted(chosen, key=lambda i: -clips[i].samples.size):
        last = batches[-1] if batches else []
        padded = (len(last) + 1) * clips[last[0]].samples.size if last else math.inf
        if padded <= batch_seconds * SAMPLE_RATE:
            last.append(i)
        else:
            batches.append([i])
    return batches


def _processor(folder: Path) -> Any:
    """The checkpoint's processor, padding left, made for segments of 28 s at our rate.

    Raises:
        WeightsRefused: it is missing or damaged, or would cut a segment.
    """
    from transformers import Qwen2AudioProcessor

    found = checkpoints.part(Qwen2AudioProcessor, folder)
    heard = found.feature_extractor
    fits = heard.n_samples >= MAX_SEGMENT_S * SAMPLE_RATE and heard.hop_length == HOP
    if heard.sampling_rate != SAMPLE_RATE or not fits:
        raise WeightsRefused(
            f"The front end of {folder.name} takes {heard.chunk_length} s at"
            f" {heard.sampling_rate} Hz; {MAX_SEGMENT_S} s at {SAMPLE_RATE} Hz are needed.",
            file=folder.name,
        )
    found.tokenizer.padding_side = "left"
    return found


def _unasked(task: Task, clip: Clip) -> tuple[str, ...] | None:
    """With which cautions the model is not asked at all; None = it is.

    Without a question the Instruct checkpoint answers whatever is asked in the recording.
    """
    if task is Task.ANSWER and not prompts.data(clip.text or ""):
        return (QUESTION_MISSING,)
    silent = task is Task.TRANSCRIBE and not speaks(clip)
    return () if silent or not clip.samples.size else None


def _filled(samples: Samples) -> Samples:
    return np.pad(samples, (0, max(0, SHORTEST_CLIP - samples.size)))


def _check_nothing_cut(clips: Sequence[Clip], frames: Sequence[int]) -> None:
    """Every 10 ms of every clip became a frame the model attends to.

    Raises:
        WeightsRefused: the checkpoint's front end left some out.
    """
    wanted = [math.ceil(max(c.samples.size, SHORTEST_CLIP) / HOP) for c in clips]
    if list(frames) != wanted:
        raise WeightsRefused(f"The front end made {list(frames)} frames where {wanted} are due.")


def _positions(mask: "torch.Tensor") -> "torch.Tensor":
    """Counted from each row's own first token, (n_clips, n_positions)."""
    return (mask.cumsum(-1) - 1).clamp(min=0)


def _blind(mask: "torch.Tensor", owner: "torch.Tensor", dtype: "torch.dtype") -> "torch.Tensor":
    """What may attend to what, (n_clips, 1, n_total, n_total): 0 = may, the least number = not.

    The prompt sees itself up to here; a label sees the prompt and itself up to here.
    """
    import torch

    n_clips, n_prompt = mask.shape
    n_total = n_prompt + len(owner)
    owners = torch.cat([owner.new_full((n_prompt,), -1), owner])  # -1 = the prompt
    kin = (owners[None] == owners[:, None]) | (owners[None] == -1)  # (n_total, n_total)
    earlier = torch.ones(n_total, n_total, dtype=torch.bool, device=mask.device).tril()
    real = torch.cat([mask.bool(), mask.new_ones(n_clips, len(owner)).bool()], dim=-1)
    # Padding sees itself, else its softmax would be over nothing.
    itself = torch.eye(n_total, dtype=torch.bool, device=mask.device)
    seen = (kin & earlier)[None] & real[:, None] | itself
    return torch.zeros_like(seen, dtype=dtype).masked_fill_(~seen, torch.finfo(dtype).min)[:, None]


def _probability(whole: Draft, rest: Draft) -> float:
    """Of the tokens that `rest` lacks."""
    return math.exp(sum(whole.logprobs[: len(whole.tokens) - len(rest.tokens)]))
