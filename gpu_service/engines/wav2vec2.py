"""Wav2Vec2: CTC text, features, and any text's words in time, from one checkpoint of many.

batches of like length -> network -> greedy or beam | pool and project | align
"""

import base64
import hashlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel

from gpu_service.alignment import placing, spelling
from gpu_service.alignment.ctc import align
from gpu_service.ctc import beam, emissions
from gpu_service.ctc.emissions import Emission, LogProbabilities
from gpu_service.ctc.vocabulary import Vocabulary
from gpu_service.engines import measures
from gpu_service.engines import wav2vec2_files as files
from gpu_service.engines.engine import Capabilities, Clip, Samples, check
from gpu_service.engines.registry import EngineSettings
from gpu_service.engines.wav2vec2_network import Network
from gpu_service.engines.wav2vec2_options import Wav2Vec2Options
from gpu_service.features import projection
from gpu_service.features.pooling import Hidden, pooled, thinned
from gpu_service.features.projection import Projection
from shared.domain.answers import Answer, Embedding, Task
from shared.domain.sound import MAX_SEGMENT_S, SAMPLE_RATE
from shared.errors import InvalidSettings

#: Seconds of sound, padding included, that go through the layers together. On a CPU batches
#: gain nothing and cost memory; on a GPU they fill it.
BATCH_S = {"cpu": 2 * MAX_SEGMENT_S, "cuda": 1200.0}
#: Share of a batch that may be padding: what the processor works for nothing.
MOST_PADDING = 0.1
#: Peak to peak. Less than one step of 16-bit PCM is nothing anybody recorded.
SILENCE = 1 / 32768
#: Frames (of 20 ms) whose mean is one frame of pattern search: 12.5 a second.
THINNED = 4

SILENT = "silent"  #: no sample differs from another
TOO_SHORT = "too_short"  #: shorter than a frame, or too short for the text to be placed in
LANGUAGE_UNKNOWN = "language_unknown"  #: the wished language is none of the checkpoint's
OVERFLOWED = "numbers_overflowed"  #: the model gave no number; a float16 that is too small


@dataclass(frozen=True, slots=True)
class _Loaded:
    """All that `load` makes."""

    network: Network
    vocabulary: Vocabulary | None  #: None where the checkpoint only embeds
    search: beam.Search | None  #: None = greedy
    projection: Projection

    @property
    def frame_s(self) -> float:
        return self.network.geometry.hop / SAMPLE_RATE


class Wav2Vec2:
    """Implements `Engine` for TRANSCRIBE, ALIGN and EMBED.

    Text is the model's own words, lower-case where the model knows capitals only (`case`), and
    without the numbers and marks CTC vocabularies lack. Confidence of a word: see
    `emissions.words`; of a clip: geometric mean of its words'. Uncalibrated. Of ALIGN: exp of
    the alignment score, which is also a signal.

    EMBED: means and standard deviations over time of encoder layer `layer` (8 of 12 by default;
    layers 6 to 9 tell words and sounds apart best in the base model, Pasad et al. 2021,
    "Layer-wise analysis of a self-supervised speech representation model"), and frames for
    pattern search. A clip without sound has no embedding: its numbers would be the model's
    opinion of nothing.

    The same clip gives the same numbers (to rounding) whatever it is batched with.
    """

    options: ClassVar[type[BaseModel]] = Wav2Vec2Options
    needs_torch: ClassVar[bool] = True

    def __init__(self, name: str, settings: EngineSettings, *, cache: Path) -> None:
        self.name = name
        self._settings = settings
        self._options = Wav2Vec2Options.model_validate(settings.options)
        self._loaded: _Loaded | None = None
        self._contradictions()

    def capabilities(self) -> Capabilities:
        o = self._options
        return Capabilities(
            tasks=frozenset(map(Task, o.tasks)),
            max_duration_s=MAX_SEGMENT_S,
            languages=frozenset(o.language) or None,
            padding="batch",
            versions=self._versions(),
        )

    def load(self) -> None:
        """See `Engine.load`.

        Raises:
            WeightsRefused: the checkpoint cannot do the tasks it is set to, or is none of ours.
            InvalidSettings: it has fewer layers than `layer`, or `words` cannot be read.
        """
        if self._loaded is None:
            self._loaded = self._made()

    def unload(self) -> None:
        self._loaded = None

    def infer(self, task: Task, batch: Sequence[Clip]) -> list[Answer]:
        """Answer every clip, in order; empty and silent ones without asking the model.

        Raises:
            ValueError: a clip is longer than 28 s, or the task is not one of this engine's.
        """
        check(self.name, self.capabilities(), task, batch)
        self.load()
        sounds = [np.nan_to_num(clip.samples, posinf=0.0, neginf=0.0) for clip in batch]
        answers = {
            i: self._unheard(task, clip, caution)
            for i, clip in enumerate(batch)
            if (caution := self._unfit(task, sounds[i]))
        }
        asked = [i for i in range(len(batch)) if i not in answers]
        for chosen in self._batches(asked, sounds):
            answers |= self._together(task, {i: batch[i] for i in chosen}, sounds)
        return [answers[i] for i in range(len(batch))]

    def hidden(self, clips: Sequence[Samples]) -> Iterator[Hidden]:
        """Hidden states of the layer of EMBED, (n_frames, hidden_size) a clip: to fit on."""
        self.load()
        for clip in clips:
            if not self._unfit(Task.EMBED, clip):
                yield self._ready.network.hidden([clip], self._options.layer)[0]

    def provenance(self) -> dict[str, str | int]:
        """What a projection fitted on `hidden` must be saved with."""
        digest = files.found(self._settings, speaks=False).sha256()
        return {"checkpoint_sha256": digest, "layer": self._options.layer}

    @property
    def _ready(self) -> _Loaded:
        assert self._loaded is not None
        return self._loaded

    def _contradictions(self) -> None:
        o, device = self._options, self._settings.device
        if o.quantization == "int8" and (device != "cpu" or self._dtype != "float32"):
            raise InvalidSettings(
                f"engine {self.name}: `quantization` int8 is for device cpu and dtype float32."
            )

    @property
    def _dtype(self) -> str:
        known = ("bfloat16", "float16")
        return self._settings.dtype if self._settings.dtype in known else "float32"

    def _versions(self) -> dict[str, str]:
        s, o = self._settings, self._options
        words = hashlib.sha256("\n".join(self._words()).encode()).hexdigest()[:12]
        fitted = Path(o.projection).expanduser() if o.projection else None
        return {
            "checkpoint": s.checkpoint or "",
            "revision": s.revision or s.sha256 or "",
            "dtype": self._dtype,
            "quantization": o.quantization,
            "layer": str(o.layer),
            "projection": projection.name_of(fitted) if fitted else projection.RANDOM,
            "beam_size": str(o.beam_size),
            "words": words if o.words is not None else "",
            "case": o.case,
            "parameters": o.parameters.model_dump_json(exclude_unset=True),
            "rules": "wav2vec2/2",
        }

    def _words(self) -> list[str]:
        words = self._options.words
        if not isinstance(words, str):
            return list(words or ())
        try:
            return list(beam.listed(Path(words).expanduser().read_text("utf-8").splitlines()))
        except OSError as error:
            raise InvalidSettings(f"engine {self.name}: the word list cannot be read.") from error

    def _made(self) -> _Loaded:
        s, o = self._settings, self._options
        speaks = o.tasks != ("embed",)
        checkpoint = files.found(s, speaks=speaks)
        network = checkpoint.network(s, o)
        if o.layer > network.n_layers:
            raise InvalidSettings(
                f"engine {self.name}: `layer` {o.layer} of a model with {network.n_layers}."
            )
        vocabulary = checkpoint.vocabulary(o.case) if speaks else None
        return _Loaded(network, vocabulary, self._search(vocabulary), self._projection(checkpoint))

    def _search(self, vocabulary: Vocabulary | None) -> beam.Search | None:
        o = self._options
        if vocabulary is None or o.beam_size == 1:
            return None
        if o.words is None:
            return beam.Search(vocabulary, o.beam_size)
        lexicon = beam.Lexicon.of(self._words(), vocabulary)
        if not lexicon.size or vocabulary.delimiter is None:
            raise InvalidSettings(f"engine {self.name}: this checkpoint can write no word listed.")
        return beam.Search(vocabulary, o.beam_size, lexicon)

    def _projection(self, checkpoint: files.Checkpoint) -> Projection:
        o = self._options
        if o.projection is None:
            return projection.random(checkpoint.hidden_size)
        path = Path(o.projection).expanduser()
        return projection.load(path, checkpoint_sha256=checkpoint.sha256(), layer=o.layer)

    def _unfit(self, task: Task, samples: Samples) -> str | None:
        """Why the model cannot hear anything in this, or None. Text is placed in silence too:
        it fits badly there, and that is the answer."""
        if not self._ready.network.geometry.frames(samples.size):
            return TOO_SHORT
        silent = task is not Task.ALIGN and np.ptp(samples) < SILENCE
        return SILENT if silent else None

    def _unheard(self, task: Task, clip: Clip, caution: str) -> Answer:
        text = (clip.text or "") if task is Task.ALIGN else ""
        return Answer(self.name, task, text, self._language(clip), cautions=(caution,))

    def _batches(self, asked: Sequence[int], sounds: Sequence[Samples]) -> list[list[int]]:
        device = self._settings.device.partition(":")[0]
        budget_s = self._options.batch_s or BATCH_S[device]
        # Dynamic quantisation has one scale for the whole batch: alone, a clip has its own.
        budget = 0 if self._options.quantization == "int8" else round(budget_s * SAMPLE_RATE)
        lengths = {i: sounds[i].size for i in asked}
        return [[*chosen] for chosen in batches(lengths, budget)]

    def _together(
        self, task: Task, clips: dict[int, Clip], sounds: Sequence[Samples]
    ) -> dict[int, Answer]:
        began = time.monotonic()
        heard = [sounds[i] for i in clips]
        if task is Task.EMBED:
            values = self._ready.network.hidden(heard, self._options.layer)
        else:
            values = self._ready.network.log_probabilities(heard)
        share = (time.monotonic() - began) / len(clips)
        return {
            i: self._answer(task, clip, rows, share)
            for (i, clip), rows in zip(clips.items(), values, strict=True)
        }

    def _answer(self, task: Task, clip: Clip, rows: Hidden, spent_s: float) -> Answer:
        began = time.monotonic()
        if not np.isfinite(rows).all():
            return self._unheard(task, clip, OVERFLOWED)
        said = {Task.EMBED: self._embedded, Task.ALIGN: self._aligned}.get(task, self._read)
        told = said(clip, rows)
        foreign = clip.language is not None and clip.language not in (
            self._options.language or (clip.language,)
        )
        cautions = (*told.pop("cautions", ()), *([LANGUAGE_UNKNOWN] if foreign else []))
        return Answer(
            self.name,
            task,
            language=self._language(clip),
            seconds=spent_s + time.monotonic() - began,
            cautions=cautions,
            **told,
        )

    def _language(self, clip: Clip) -> str | None:
        known = self._options.language
        if len(known) == 1:
            return known[0]
        return clip.language if clip.language in known or not known else None

    def _embedded(self, clip: Clip, hidden: Hidden) -> dict[str, Any]:
        small = self._ready.projection(thinned(hidden, THINNED))  # (n_frames / 4, 64)
        kept = base64.b64encode(small.tobytes()).decode("ascii")
        rate = 1 / (THINNED * self._ready.frame_s)
        return {"embedding": Embedding(pooled(hidden), kept, small.shape[1], rate)}

    def _read(self, clip: Clip, frames: LogProbabilities) -> dict[str, Any]:
        vocabulary = self._ready.vocabulary
        assert vocabulary is not None
        emitted = self._emitted(frames, vocabulary)
        duration_s = clip.samples.size / SAMPLE_RATE
        words = emissions.words(emitted, vocabulary, self._ready.frame_s, duration_s)
        text = " ".join(word.text for word in words)
        lowest = measures.lowest(words)
        return {
            "text": text,
            "confidence": emissions.confidence(words),
            "words": words,
            "signals": emissions.signals(frames, emitted) | lowest | measures.of_clip(clip, text),
            "tokens": emissions.tokens(emitted, vocabulary),
        }

    def _emitted(self, frames: LogProbabilities, vocabulary: Vocabulary) -> list[Emission]:
        if self._ready.search is None:
            return emissions.greedy(frames, vocabulary)
        tokens = self._ready.search(frames)
        aligned = align(frames, tokens, blank=vocabulary.blank)
        assert aligned is not None  # the search found a path through these frames
        return [
            emissions.emission(frames, token, span.first, span.last)
            for token, span in zip(tokens, aligned.spans, strict=True)
        ]

    def _aligned(self, clip: Clip, frames: LogProbabilities) -> dict[str, Any]:
        vocabulary, text = self._ready.vocabulary, clip.text or ""
        assert vocabulary is not None
        placed = placing.place(
            text,
            frames,
            spelling.Vocabulary(vocabulary.characters, vocabulary.blank, vocabulary.delimiter),
            language=self._language(clip),
            frame_s=self._ready.frame_s,
            duration_s=clip.samples.size / SAMPLE_RATE,
            source=self.name,
        )
        if placed is None:
            return {"text": text, "cautions": (TOO_SHORT,)}
        score = placed.score
        return {
            "text": text,
            "words": placed.words,
            "confidence": None if score is None else math.exp(min(score, 0.0)),
            "signals": {} if score is None else {"alignment_score": score},
        }


def batches(
    lengths: dict[int, int], budget: int, most_padding: float = MOST_PADDING
) -> Iterator[tuple[int, ...]]:
    """Keys of `lengths` in groups, shortest first, each at most `budget` long with its padding.

    A group holds one key at least, and at most `most_padding` of it is padding.
    """
    group: list[int] = []
    total = 0
    for key in sorted(lengths, key=lambda one: (lengths[one], one)):
        padded = lengths[key] * (len(group) + 1)
        wasted = 1 - (total + lengths[key]) / padded
        if group and (padded > budget or wasted > most_padding):
            yield tuple(group)
            group, total = [], 0
        group.append(key)
        total += lengths[key]
    if group:
        yield tuple(group)
