"""What the kind `wav2vec2` can be told; checked at start, without torch."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Field(None, ge=0.0, le=1.0)
Count = Field(None, ge=0)


class ModelParameters(BaseModel):
    """Fields of transformers' Wav2Vec2Config that do not decide the shape of the weights.

    Dropout and masking act in training only: set here they leave inference as it is, and stand
    in the versions, so that a checkpoint can be served under the settings it was trained with.
    A test compares the names with the config class.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    attention_dropout: float | None = Share
    hidden_dropout: float | None = Share
    activation_dropout: float | None = Share
    feat_proj_dropout: float | None = Share
    feat_quantizer_dropout: float | None = Share
    final_dropout: float | None = Share
    layerdrop: float | None = Share
    apply_spec_augment: bool | None = None
    mask_time_prob: float | None = Share
    mask_time_length: int | None = Field(None, ge=1)
    mask_time_min_masks: int | None = Count
    mask_feature_prob: float | None = Share
    mask_feature_length: int | None = Field(None, ge=1)
    mask_feature_min_masks: int | None = Count
    layer_norm_eps: float | None = Field(None, gt=0.0, le=1e-2)
    hidden_act: Literal["gelu", "gelu_new", "relu", "selu"] | None = None
    ctc_loss_reduction: Literal["sum", "mean"] | None = None
    ctc_zero_infinity: bool | None = None


class Wav2Vec2Options(BaseModel):
    """`options` of the kind `wav2vec2`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: tuple[Literal["transcribe", "align", "embed"], ...] = Field(
        ("transcribe", "align", "embed"),
        min_length=1,
        description="A checkpoint without CTC head or tokenizer can only `embed`.",
    )
    language: tuple[str, ...] = Field(
        (), description="ISO 639-1 codes it was trained on; empty = not said."
    )
    case: Literal["auto", "keep", "lower"] = Field(
        "auto", description="auto: lower where the vocabulary has capitals only."
    )
    beam_size: int = Field(1, ge=1, le=256, description="1 = greedy.")
    words: str | tuple[str, ...] | None = Field(
        None, description="The only words there are: a file, one a line, or a list; needs a beam."
    )
    layer: int = Field(8, ge=1, description="Encoder layer of EMBED, 1 the first.")
    projection: str | None = Field(
        None, description="Fitted projection of the frames; None = the random one."
    )
    quantization: Literal["none", "int8"] = Field(
        "none", description="int8: linear layers with dynamic activations, on a CPU."
    )
    batch_s: float | None = Field(
        None, ge=28.0, le=3600.0, description="Padded seconds at once; None = by device."
    )
    parameters: ModelParameters = Field(
        default_factory=ModelParameters, description="Fields of the model's config."
    )

    @model_validator(mode="after")
    def _words_need_a_beam(self) -> Self:
        if self.words is not None and self.beam_size == 1:
            raise ValueError("words need a beam_size above 1: a greedy search cannot look them up")
        return self
