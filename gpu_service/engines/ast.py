"""Audio Spectrogram Transformer: sounds by their names, through transformers.

clip -> windows -> spectrogram -> probabilities of every label -> spans above their bars
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from gpu_service.engines.engine import Capabilities, Clip, Samples, check
from gpu_service.engines.generation import OVERFLOWED
from gpu_service.engines.registry import EngineSettings
from gpu_service.engines.versions import computed, installed
from gpu_service.weights import checkpoints
from shared.domain.answers import Answer, SoundEvent, Task
from shared.domain.sound import MAX_SEGMENT_S, SAMPLE_RATE
from shared.errors import InvalidSettings, WeightsRefused

#: Seconds a frame of the spectrogram advances (Gong et al. 2021, "AST", section 2.1).
FRAME_S = 0.010
#: Windows overlap by half, so that no sound is cut by every window that holds it.
OVERLAP = 0.5
#: Samples. The spectrogram's frames are 25 ms long; a shorter clip is filled up with silence.
SHORTEST_CLIP = SAMPLE_RATE // 10

LABEL_UNKNOWN = "label_unknown"  #: a label asked for is none of the checkpoint's

#: Shape (n_windows, n_labels), 0..1.
Probabilities = NDArray[np.float32]
Share = Field(ge=0.0, le=1.0)


class AstOptions(BaseModel):
    """`options` of the kind `ast`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: No bar fits all: on AudioSet the published model's mean average precision is 0.459, and
    #: frequent labels score far higher than rare ones.
    bar: float = Field(0.3, ge=0.0, le=1.0, description="Least probability of any label.")
    bars: dict[str, float] = Field(
        default_factory=dict, description="Least probability of single labels, by name."
    )
    activation: Literal["auto", "sigmoid", "softmax"] = Field(
        "auto", description="auto: softmax where the checkpoint says one label at a time."
    )
    batch_windows: int = Field(16, ge=1, le=512, description="Windows at once.")


@dataclass(frozen=True, slots=True)
class _Loaded:
    model: Any
    extractor: Any
    labels: tuple[str, ...]  #: by column

    @property
    def window(self) -> int:
        """Samples."""
        return round(int(self.extractor.max_length) * FRAME_S * SAMPLE_RATE)


class Ast:
    """Implements `Engine` for CLASSIFY. Events of different labels may overlap.

    A label's events are the runs of windows in which it reaches its bar; their confidence is
    the mean over the run, uncalibrated. Times are as coarse as the windows: 10.24 s in steps of
    5.12 s for the published checkpoints. `Clip.labels` chooses among the checkpoint's own.
    """

    options: ClassVar[type[BaseModel]] = AstOptions
    needs_torch: ClassVar[bool] = True

    def __init__(self, name: str, settings: EngineSettings, *, cache: Path) -> None:
        self.name = name
        self._settings = settings
        self._options = AstOptions.model_validate(settings.options)
        self._loaded: _Loaded | None = None

    def capabilities(self) -> Capabilities:
        s = self._settings
        return Capabilities(
            tasks=frozenset({Task.CLASSIFY}),
            max_duration_s=MAX_SEGMENT_S,
            versions={
                "checkpoint": s.checkpoint or "",
                "revision": s.revision or "",
                "library": f"transformers {installed('transformers')}",
                "dtype": computed(s.dtype),
                "options": self._options.model_dump_json(exclude={"batch_windows"}),
                "rules": "ast/1",
            },
        )

    def load(self) -> None:
        if self._loaded is not None:
            return
        folder = checkpoints.located(self._settings)
        import torch
        from transformers import ASTFeatureExtractor, ASTForAudioClassification

        if self._settings.threads:
            torch.set_num_threads(self._settings.threads)
        extractor = checkpoints.part(ASTFeatureExtractor, folder)
        model = checkpoints.loaded(ASTForAudioClassification, folder, self._settings)
        names = model.config.id2label
        made = _Loaded(model, extractor, tuple(names[i] for i in range(len(names))))
        self._check(made, folder.name)
        self._loaded = made

    def unload(self) -> None:
        self._loaded = None

    def infer(self, task: Task, batch: Sequence[Clip]) -> list[Answer]:
        """The events of every clip, by start; labels of one window by confidence.

        Raises:
            ValueError: a clip is longer than 28 s, or the task is not CLASSIFY.
        """
        check(self.name, self.capabilities(), task, batch)
        self.load()
        assert self._loaded is not None
        began = time.monotonic()
        window = self._loaded.window
        cuts = [windows(clip.samples, window) for clip in batch]
        found = self._probabilities([cut for of_clip in cuts for _, cut in of_clip])
        parts = np.split(found, np.cumsum([len(cut) for cut in cuts])[:-1]) if cuts else []
        answers = [
            self._answer(clip, [start for start, _ in cut], part)
            for clip, cut, part in zip(batch, cuts, parts, strict=True)
        ]
        share = (time.monotonic() - began) / max(len(batch), 1)
        return [replace(answer, seconds=share) for answer in answers]

    def _check(self, made: _Loaded, name: str) -> None:
        """
        Raises:
            WeightsRefused: front end and network are not of one checkpoint.
            InvalidSettings: a bar for a label the checkpoint lacks.
        """
        e, config = made.extractor, made.model.config
        rate, length = e.sampling_rate, (e.max_length, e.num_mel_bins)
        if rate != SAMPLE_RATE or length != (config.max_length, config.num_mel_bins):
            raise WeightsRefused(f"The front end of {name} is not that of its network.", file=name)
        unknown = sorted(set(self._options.bars) - set(made.labels))
        if unknown:
            raise InvalidSettings(
                f"engine {self.name}: bars: the checkpoint has no label {', '.join(unknown)}",
                engine=self.name,
            )

    def _probabilities(self, cuts: Sequence[Samples]) -> Probabilities:
        """Of every window, in order; the last batch may be smaller."""
        assert self._loaded is not None
        most = self._options.batch_windows
        parts = [self._scored(cuts[at : at + most]) for at in range(0, len(cuts), most)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self._loaded.labels)), "f4")

    def _scored(self, cuts: Sequence[Samples]) -> Probabilities:
        import torch

        assert self._loaded is not None
        model = self._loaded.model
        made = self._loaded.extractor(list(cuts), sampling_rate=SAMPLE_RATE, return_tensors="pt")
        with torch.inference_mode():
            logits = model(made["input_values"].to(model.device, model.dtype)).logits.float()
        found = logits.softmax(-1) if self._one_at_a_time(model.config) else logits.sigmoid()
        scored: Probabilities = found.cpu().numpy()
        return scored

    def _one_at_a_time(self, config: Any) -> bool:
        wish = self._options.activation
        return wish == "softmax" or (
            wish == "auto" and config.problem_type == "single_label_classification"
        )

    def _answer(self, clip: Clip, starts: Sequence[int], found: Probabilities) -> Answer:
        assert self._loaded is not None
        if not np.isfinite(found).all():
            return Answer(self.name, Task.CLASSIFY, cautions=(OVERFLOWED,))
        o, labels = self._options, self._loaded.labels
        wanted = {name: o.bars.get(name, o.bar) for name in clip.labels or labels if name in labels}
        spans = [
            (start / SAMPLE_RATE, min(start + self._loaded.window, clip.samples.size) / SAMPLE_RATE)
            for start in starts
        ]
        heard = events(found, spans, labels, wanted)
        unknown = not set(clip.labels) <= set(labels)
        best = max((event.confidence or 0.0 for event in heard), default=None)
        cautions = (LABEL_UNKNOWN,) if unknown else ()
        return Answer(self.name, Task.CLASSIFY, confidence=best, events=heard, cautions=cautions)


def windows(samples: Samples, window: int) -> list[tuple[int, Samples]]:
    """Pieces of `window` samples with their starts, half overlapping, the last one at the end.

    A shorter clip is one piece; an empty one none.
    """
    if not samples.size:
        return []
    if samples.size <= window:
        missing = max(0, SHORTEST_CLIP - samples.size)
        return [(0, np.pad(samples, (0, missing)))]
    hop = round(window * (1 - OVERLAP))
    last = samples.size - window
    starts = [*range(0, last, hop), last]
    return [(start, samples[start : start + window]) for start in starts]


def events(
    found: Probabilities,
    spans: Sequence[tuple[float, float]],
    labels: Sequence[str],
    bars: Mapping[str, float],
) -> tuple[SoundEvent, ...]:
    """Runs of windows in which a label reaches its bar, by start and then by confidence; pure.

    Args:
        found: (n_windows, n_labels).
        spans: seconds from and to of every window.
        labels: by column.
        bars: of the labels looked for.
    """
    made = [
        SoundEvent(
            labels[column],
            spans[run[0]][0],
            max(spans[i][1] for i in run),
            float(found[run, column].mean()),
        )
        for column in range(len(labels))
        if labels[column] in bars
        for run in _runs(found[:, column] >= bars[labels[column]])
    ]
    return tuple(sorted(made, key=lambda e: (e.start_s, -(e.confidence or 0.0), e.label)))


def _runs(loud: NDArray[np.bool_]) -> list[list[int]]:
    places = np.flatnonzero(loud)
    parts = np.split(places, np.flatnonzero(np.diff(places) > 1) + 1)
    return [part.tolist() for part in parts if part.size]
