"""Wav2Vec2's forward pass with padding that leaves no trace, in bounded memory.

samples -> level -> convolutions, piece by piece -> projection -> layers -> log-probabilities

Weights and modules are those of transformers; only the order of work is ours:

- Checkpoints with `feat_extract_norm = group` normalise the first convolution over the whole
  clip, so padding changes every number (transformers does not mask it). The statistics of that
  convolution follow from the mean m and covariance C of its input windows, because it is linear:
  the mean of channel w is w·m, its variance wᵀCw. They are taken over the valid windows of each
  clip in float64 and folded into the weights of the clip; no pass over 512 channels is needed.
- The convolutions have no padding of their own, so a frame sees its 400 samples and no more:
  they run clip by clip on pieces of time, and their memory does not grow with the length.
- They are matrix products on (time, channels): the taps of one stride lie side by side in
  memory, so nothing is copied. One thread, 10 s of a second layer, beside torch's conv1d:
  0.15 for 0.21 CPU seconds in float32 (the speed of a square matmul), 0.026 for 0.148 in bfloat16.
- Everything later looks at valid frames only: hidden states beyond the end are zero before the
  convolution that tells positions (as transformers does with a mask), and attention is masked.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpu_service.engines.engine import Samples

if TYPE_CHECKING:
    import torch

#: Added to the variance of a clip before the root; transformers' Wav2Vec2FeatureExtractor.
LEVEL_EPSILON = 1e-7
#: Frames (of 20 ms) of a clip whose convolutions run at once. 512 channels at 3,200 Hz are
#: 6.5 MB a second in float32.
PIECE_FRAMES = {"cpu": 100, "cuda": 2_000}


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
        self._convolutions = [_convolution(c) for c in self._trunk.feature_extractor.conv_layers]
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
        torch = self._torch
        features = [self._features(clip) for clip in clips]
        frames = [len(rows) for rows in features]
        padded = torch.nn.utils.rnn.pad_sequence(features, batch_first=True)
        hidden, _ = self._trunk.feature_projection(padded)  # (batch, n_frames, hidden_size)
        if min(frames) == max(frames):
            return self._layered(hidden, None, upto), frames
        steps = torch.arange(max(frames), device=hidden.device)
        valid = steps[None, :] < torch.tensor(frames, device=hidden.device)[:, None]
        return self._layered(hidden * valid[:, :, None], valid, upto), frames

    def _features(self, clip: Samples) -> "torch.Tensor":
        """What the convolutions make of a clip, (n_frames, channels)."""
        ready = level(clip) if self._normalises else clip
        wave = self._torch.from_numpy(ready).to(self._trunk.device)
        first = self._first(wave)
        hop, field = self.geometry.hop, self.geometry.field
        n_frames, size = self.geometry.frames(clip.size), PIECE_FRAMES[wave.device.type]
        pieces = []
        for at in range(0, n_frames, size):
            end = min(at + size, n_frames)
            rows = first.of(wave[at * hop : (end - 1) * hop + field, None])
            for convolution in self._convolutions[1:]:
                rows = convolution.of(rows)
            pieces.append(rows)
        return self._torch.cat(pieces)

    def _first(self, wave: "torch.Tensor") -> "_Convolution":
        """The first convolution; with the statistics of `wave` in its weights if it needs them."""
        plain = self._convolutions[0]
        if self._config.feat_extract_norm != "group":
            return plain
        norm = self._trunk.feature_extractor.conv_layers[0].layer_norm
        windows = wave.double().unfold(0, self.geometry.kernels[0], self.geometry.strides[0])
        mean = windows.mean(dim=0)  # (kernel,)
        centred = windows - mean
        covariance = centred.T @ centred / len(windows)
        weight = plain.weight.double()  # (kernel, channels)
        variance = ((covariance @ weight) * weight).sum(dim=0)
        gain = norm.weight.double() * (variance + norm.eps).rsqrt()
        # A bias of the convolution itself would move its mean and be taken out again.
        bias = norm.bias.double() - gain * (mean @ weight)
        dtype = plain.weight.dtype
        return replace(plain, weight=(weight * gain).to(dtype), bias=bias.to(dtype), norm=None)

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


@dataclass(frozen=True, slots=True)
class _Convolution:
    """A convolution over time, its norm and its activation, on rows of channels."""

    weight: "torch.Tensor"  # (kernel * channels in, channels out)
    bias: "torch.Tensor"  # (channels out,)
    kernel: int
    stride: int
    norm: Any  #: a LayerNorm over the channels, or None
    activation: Any

    def of(self, rows: "torch.Tensor") -> "torch.Tensor":
        """(n, channels in) to (as many as fit, channels out).

        The kernel is taken in slices of at most one stride, because rows that overlap in memory
        are no matrix to BLAS and would be copied.
        """
        rows = rows.to(self.weight.dtype)
        n, width = (len(rows) - self.kernel) // self.stride + 1, rows.shape[1]
        out = None
        for tap in range(0, self.kernel, self.stride):
            taps = min(self.stride, self.kernel - tap)
            start = rows.storage_offset() + tap * width
            side = rows.as_strided((n, taps * width), (self.stride * width, 1), start)
            weight = self.weight[tap * width : (tap + taps) * width]
            out = self.bias.addmm(side, weight) if out is None else out.addmm_(side, weight)
        normed = out if self.norm is None else self.norm(out)
        return self.activation(normed)


def _convolution(layer: Any) -> _Convolution:
    """The same arithmetic as a convolutional layer of transformers, less its group norm."""
    weight = layer.conv.weight.detach()  # (channels out, channels in, kernel)
    out, _, kernel = weight.shape
    bias = layer.conv.bias
    norm = getattr(layer, "layer_norm", None)
    return _Convolution(
        weight.permute(2, 1, 0).reshape(-1, out).contiguous(),
        weight.new_zeros(out) if bias is None else bias.detach(),
        kernel,
        layer.conv.stride[0],
        None if hasattr(norm, "num_groups") else norm,
        layer.activation,
    )


def _apart(values: "torch.Tensor", frames: Sequence[int]) -> list[NDArray[np.float32]]:
    """Each clip's valid rows, on the CPU."""
    rows = values.cpu().numpy()
    return [np.ascontiguousarray(row[:n]) for row, n in zip(rows, frames, strict=True)]
