"""Wav2Vec2's forward pass with padding that leaves no trace, in bounded memory.

samples -> level -> convolutions, piece by piece -> projection -> layers -> log-probabilities

Weights and modules are those of transformers; only the order of work is ours:

- Checkpoints with `feat_extract_norm = group` normalise the first convolution over the whole
  clip, so padding changes every number (transformers does not mask it). The statistics of that
  convolution follow from the mean m and covariance C of its input windows, because it is linear:
  the mean of channel w is w·m, its variance wᵀCw. They are taken over the valid windows of each
  clip in float64 and folded into the weights of the clip; no pass over 512 channels is needed.
- The convolutions have no padding of their own, so a frame sees its 400 samples and no more:
  they run on pieces of time, and their memory does not grow with the length of a clip.
- Everything later looks at valid frames only: hidden states beyond the end are zero before the
  convolution that tells positions (as transformers does with a mask), and attention is masked.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpu_service.engines.engine import Samples

if TYPE_CHECKING:
    import torch

#: Added to the variance of a clip before the root; transformers' Wav2Vec2FeatureExtractor.
LEVEL_EPSILON = 1e-7
#: Frames (of 20 ms, all clips of a batch together) whose convolutions run at once. 512 channels
#: at 3,200 Hz are 6.5 MB a second in float32: a piece of 10 s and its copies stay under 200 MB.
PIECE_FRAMES = {"cpu": 500, "cuda": 20_000}


@dataclass(frozen=True, slots=True)
class Geometry:
    """How samples become frames: the kernels and strides of the convolutions."""

    kernels: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def hop(self) -> int:
        """Samples from one frame to the next; 320 in every published checkpoint."""
        return int(np.prod(self.strides))

    @property
    def field(self) -> int:
        """Samples one frame sees; 400. A shorter clip has no frame."""
        size = 1
        for kernel, stride in zip(reversed(self.kernels), reversed(self.strides), strict=True):
            size = (size - 1) * stride + kernel
        return size

    def frames(self, n_samples: int) -> int:
        """Frames of a clip of `n_samples`."""
        return max(0, (n_samples - self.field) // self.hop + 1)


def level(samples: Samples) -> Samples:
    """Zero mean and unit variance over the clip itself, whatever it is padded to later."""
    exact = samples.astype(np.float64)
    exact -= exact.mean()
    return np.asarray(exact / np.sqrt(exact.var() + LEVEL_EPSILON), np.float32)


class Network:
    """A Wav2Vec2 model of transformers, loaded, run our way. One call at a time."""

    def __init__(self, model: Any, *, normalises: bool) -> None:
        import torch
        from torch.nn.utils import parametrize

        self._torch = torch
        self._trunk = getattr(model, "wav2vec2", model)
        self._head = getattr(model, "lm_head", None)
        self._normalises = normalises
        self._config = model.config
        self.geometry = Geometry(tuple(self._config.conv_kernel), tuple(self._config.conv_stride))
        places = self._trunk.encoder.pos_conv_embed.conv
        if parametrize.is_parametrized(places):
            # Weight norm makes the weight anew at every call, and it never changes here.
            parametrize.remove_parametrizations(places, "weight")

    def quantize(self) -> None:
        """Linear layers but the head's in int8, their inputs quantised anew at every call.

        torch marks this API deprecated (2.13) and points to torchao, a dependency more; the
        result is pinned by a test.
        """
        torch = self._torch
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.ao.quantization.quantize_dynamic(
                self._trunk, {torch.nn.Linear}, dtype=torch.qint8, inplace=True
            )

    @property
    def n_layers(self) -> int:
        return int(self._config.num_hidden_layers)

    def log_probabilities(self, clips: Sequence[Samples]) -> list[NDArray[np.float32]]:
        """Of every token at every frame, natural logarithms, (n_frames, n_tokens) a clip.

        Every clip must have a frame at least; their lengths may differ.
        """
        assert self._head is not None
        with self._torch.inference_mode():
            hidden, frames = self._encoded(clips, self.n_layers)
            if self._config.do_stable_layer_norm:  # it normalises before each layer: once more
                hidden = self._trunk.encoder.layer_norm(hidden)
            scores = self._head(hidden).float().log_softmax(-1)  # (batch, n_frames, n_tokens)
            return _apart(scores, frames)

    def hidden(self, clips: Sequence[Samples], layer: int) -> list[NDArray[np.float32]]:
        """What leaves encoder layer `layer` (1 is the first), (n_frames, hidden_size) a clip.

        The same numbers as transformers' `hidden_states[layer]`; later layers are not computed.
        """
        with self._torch.inference_mode():
            hidden, frames = self._encoded(clips, layer)
            return _apart(hidden.float(), frames)

    def _encoded(self, clips: Sequence[Samples], upto: int) -> tuple["torch.Tensor", list[int]]:
        frames = [self.geometry.frames(clip.size) for clip in clips]
        waves, valid = self._padded(clips), self._valid(frames)
        features = self._convolved(waves, [clip.size for clip in clips], max(frames))
        hidden, _ = self._trunk.feature_projection(features)  # (batch, n_frames, hidden_size)
        if valid is not None:
            hidden = hidden * valid[:, :, None]
        return self._layered(hidden, valid, upto), frames

    def _padded(self, clips: Sequence[Samples]) -> "torch.Tensor":
        """Float32, (batch, n_samples), zeros behind the shorter ones."""
        padded = np.zeros((len(clips), max(clip.size for clip in clips)), np.float32)
        for row, clip in zip(padded, clips, strict=True):
            row[: clip.size] = level(clip) if self._normalises else clip
        return self._torch.from_numpy(padded).to(self._trunk.device)

    def _valid(self, frames: Sequence[int]) -> "torch.Tensor | None":
        """True where a clip has a frame, (batch, n_frames); None if all have all."""
        if min(frames) == max(frames):
            return None
        counts = self._torch.tensor(frames, device=self._trunk.device)
        steps = self._torch.arange(max(frames), device=self._trunk.device)
        return steps[None, :] < counts[:, None]

    def _convolved(
        self, waves: "torch.Tensor", lengths: Sequence[int], n_frames: int
    ) -> "torch.Tensor":
        """Features of shape (batch, n_frames, channels), computed in pieces of time."""
        first = self._first(waves, lengths)
        hop, field = self.geometry.hop, self.geometry.field
        size = max(1, PIECE_FRAMES[waves.device.type] // len(lengths))
        pieces = []
        for at in range(0, n_frames, size):
            end = min(at + size, n_frames)
            piece = first(waves[:, at * hop : (end - 1) * hop + field])
            for layer in self._trunk.feature_extractor.conv_layers[1:]:
                piece = layer(piece)
            pieces.append(piece.transpose(1, 2))
        return self._torch.cat(pieces, dim=1)

    def _first(self, waves: "torch.Tensor", lengths: Sequence[int]) -> Any:
        """The first convolution with its norm, as a function of a piece (batch, n_samples)."""
        layer = self._trunk.feature_extractor.conv_layers[0]
        dtype = layer.conv.weight.dtype
        if self._config.feat_extract_norm != "group":
            return lambda piece: layer(piece[:, None].to(dtype))
        kernel, stride = self.geometry.kernels[0], self.geometry.strides[0]
        folded = [self._folded(row[:n]) for row, n in zip(waves, lengths, strict=True)]
        weights = self._torch.stack([weight for weight, _ in folded]).to(dtype)
        biases = self._torch.stack([bias for _, bias in folded])[:, :, None].to(dtype)

        def convolved(piece: "torch.Tensor") -> "torch.Tensor":
            windows = piece.to(dtype).unfold(1, kernel, stride)  # (batch, n, kernel)
            return layer.activation(biases.baddbmm(weights, windows.transpose(1, 2)))

        return convolved

    def _folded(self, wave: "torch.Tensor") -> tuple["torch.Tensor", "torch.Tensor"]:
        """Weights (channels, kernel) and biases (channels,) that convolve and normalise `wave`."""
        layer = self._trunk.feature_extractor.conv_layers[0]
        norm = layer.layer_norm
        windows = wave.double().unfold(0, self.geometry.kernels[0], self.geometry.strides[0])
        mean = windows.mean(dim=0)  # (kernel,)
        centred = windows - mean
        covariance = centred.T @ centred / len(windows)
        weight = layer.conv.weight[:, 0].double()  # (channels, kernel)
        variance = ((weight @ covariance) * weight).sum(dim=1)
        gain = norm.weight.double() * (variance + norm.eps).rsqrt()
        # A bias of the convolution itself would move its mean and be taken out again.
        return weight * gain[:, None], norm.bias.double() - gain * (weight @ mean)

    def _layered(
        self, hidden: "torch.Tensor", valid: "torch.Tensor | None", upto: int
    ) -> "torch.Tensor":
        encoder = self._trunk.encoder
        hidden = hidden + encoder.pos_conv_embed(hidden)
        if not self._config.do_stable_layer_norm:
            hidden = encoder.layer_norm(hidden)
        mask = None if valid is None else valid[:, None, None, :]
        for layer in encoder.layers[:upto]:
            hidden = layer(hidden, attention_mask=mask)
        return hidden


def _apart(values: "torch.Tensor", frames: Sequence[int]) -> list[NDArray[np.float32]]:
    """Each clip's valid rows, on the CPU."""
    rows = values.cpu().numpy()
    return [np.ascontiguousarray(row[:n]) for row, n in zip(rows, frames, strict=True)]
