"""faster-whisper's model, which also says what it noticed, and begins several windows at once.

Importing it takes 0.4 s and 100 MB; only a loading engine does.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ctranslate2 import DataType, Device, StorageView
from faster_whisper import WhisperModel
from faster_whisper.transcribe import TranscriptionOptions

#: Frames of the encoding a second (30 s are 1,500).
FRAMES_PER_S = 50
#: Windows decoded at once at most: beyond eight little time is left to save.
TOGETHER = 8
#: Bytes that what the decoder keeps of them may take. On a GPU less than `batch_memory_mb` (1,000),
#: for what an engine takes there is measured with one window.
ROOM_BYTES = {"cpu": 400_000_000, "cuda": 800_000_000}
#: Layers of the decoder by width. Source: Whisper paper, table 1. Distilled and turbo models have
#: 2 or 4, which nothing here tells; they count as the model they were made of.
LAYERS = {384: 4, 512: 6, 768: 12, 1024: 24, 1280: 32}
#: Tokens of one hypothesis at most. Source: Whisper's `n_text_ctx`.
TOKENS = 448


class NoticingModel(WhisperModel):  # type: ignore[misc]  # it publishes no types
    """`WhisperModel` that remembers the figures it throws away. One call at a time."""

    #: Probability that a window of the last decoding holds no speech, the highest of them. The
    #: segments of a window carry it, but a window left out for it has none.
    no_speech: float | None = None
    model: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.model = _Begun(self.model)

    def begin(
        self, encoded: StorageView, prompts: Sequence[Sequence[int]], options: TranscriptionOptions
    ) -> list[Any]:
        """What `generate_with_fallback` asks for at temperature 0, of several windows in one
        call: a window each, for `generate_segments`.

        Most of a token's time goes into reading the weights, which all windows share: 9 windows of
        25 s took 7.2 s one by one, 4.2 s five at a time, 3.1 s all together (base, int8, 2 cores).

        Args:
            encoded: shape (n_windows, n_frames, width).
            prompts: n_windows lists of tokens, of one length.
        """
        return list(
            self.model.generate(
                encoded,
                prompts,
                beam_size=options.beam_size,
                patience=options.patience,
                length_penalty=options.length_penalty,
                repetition_penalty=options.repetition_penalty,
                no_repeat_ngram_size=options.no_repeat_ngram_size,
                max_length=self.max_length,
                return_scores=True,
                return_no_speech_prob=True,
                suppress_blank=options.suppress_blank,
                suppress_tokens=options.suppress_tokens,
                max_initial_timestamp_index=round(
                    options.max_initial_timestamp / self.time_precision
                ),
            )
        )

    def generate_segments(self, *args: Any, begun: Any = None, **kwargs: Any) -> Any:
        """As there, but all at once, with what was noticed meanwhile.

        `begun` is what `begin` gave for the first window; what follows it is decoded here.
        """
        self.no_speech, self.model.begun = None, begun
        try:
            return list(super().generate_segments(*args, **kwargs))
        finally:
            self.model.begun = None  # a window too short to decode asks for nothing

    def generate_with_fallback(self, *args: Any, **kwargs: Any) -> Any:
        decoded = super().generate_with_fallback(*args, **kwargs)
        self.no_speech = max(self.no_speech or 0.0, float(decoded[0].no_speech_prob))
        return decoded


class _Begun:
    """CTranslate2's model, but what was begun already is not asked for again."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.begun: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        begun, self.begun = self.begun, None
        return self._model.generate(*args, **kwargs) if begun is None else [begun]


def at_once(encoded: StorageView, beam_size: int = 1) -> int:
    """How many windows like this one may be decoded at once: their keys and values have room.

    Of each window a decoder keeps two vectors a layer for every frame and every token of every
    hypothesis: 48 MB for base in float32, greedy. The process grew by 37 MB a window, of 18 s.
    """
    _, frames, width = (int(n) for n in encoded.shape)
    size = 4 if encoded.dtype == DataType.float32 else 2
    layers = LAYERS.get(width, max(LAYERS.values()))
    kept = 2 * layers * (frames + beam_size * TOKENS) * width * size
    return max(1, min(TOGETHER, ROOM_BYTES[encoded.device] // kept))


def joined(encoded: Sequence[StorageView]) -> StorageView:
    """Encodings as one batch: (n_windows, n_frames, width), of several on the CPU.

    On a CPU windows are encoded one by one all the same: together they take longer (9 windows
    5.2 s instead of 3.0), for what a layer hands to the next no longer fits its cache.
    """
    if len(encoded) == 1:
        return encoded[0]
    return _like(encoded[0], np.concatenate([_floats(one) for one in encoded]))


def stretch(encoded: StorageView, start_s: float, end_s: float) -> StorageView:
    """The frames of start_s..end_s, on the CPU: (1, n_frames, width)."""
    first, last = (round(t * FRAMES_PER_S) for t in (start_s, end_s))
    return _like(encoded, _floats(encoded)[:, first:last])


def _floats(encoded: StorageView) -> Any:
    return np.array(encoded.to_device(Device.cpu).to(DataType.float32))


def _like(encoded: StorageView, frames: Any) -> StorageView:
    """Of the same type. CTranslate2 moves it to its model's GPU, whichever that is (`encode`'s
    `to_cpu` is for this)."""
    return StorageView.from_array(np.ascontiguousarray(frames)).to(encoded.dtype)
