"""What engines elsewhere cost and take: a dated table, and the cost of a call before and after.

Prices change without us: `as_of` says when somebody looked, `source` where. An engine's option
`prices` replaces single rows.
"""

from collections.abc import Mapping
from datetime import date
from math import ceil

from pydantic import BaseModel, ConfigDict, Field

from shared.errors import UnknownPrice

MILLION = 1_000_000
MINUTE_S = 60.0


class Price(BaseModel):
    """One model's price and limits. USD; what is not billed is 0."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    as_of: date
    source: str
    minute_usd: float = Field(0.0, ge=0, description="A minute of sound.")
    text_in_usd: float = Field(0.0, ge=0, description="A million tokens of text in.")
    text_out_usd: float = Field(0.0, ge=0, description="A million tokens of text out.")
    audio_in_usd: float = Field(0.0, ge=0, description="A million tokens of sound in.")
    audio_tokens_per_s: float = Field(0.0, ge=0, description="At most, for the estimate.")
    max_bytes: int = Field(25 * MILLION, gt=0, description="A request's sound, as it is sent.")
    max_s: float = Field(1_400.0, gt=0, description="Seconds of sound in a call.")
    max_out: int = Field(2_000, gt=0, description="Tokens of text a call may answer.")
    shutdown: date | None = Field(None, description="When the vendor ends the model.")


class Used(BaseModel):
    """What a call used, as the vendor says."""

    model_config = ConfigDict(frozen=True)

    seconds: float = 0.0
    text_in: int = 0
    audio_in: int = 0
    text_out: int = 0


_MODELS = "https://developers.openai.com/api/docs/models/"
#: Uploads end at 25 MB (OpenAI's guide to speech to text, read on the same day). It states no
#: longest sound for these models; 1,400 s and 2,000 tokens are what their forerunners refused.
PRICES: dict[str, Price] = {
    # Billed by duration.
    "gpt-transcribe": Price(
        as_of=date(2026, 11, 21), source=f"{_MODELS}gpt-transcribe", minute_usd=0.0045
    ),
    # "About $0.06 a minute" at $100 a million (announcement of audio in Chat Completions,
    # 2024-10) makes 10 tokens a second; a quarter more, because this model's page says none.
    "gpt-audio-1.5": Price(
        as_of=date(2026, 11, 21),
        source=f"{_MODELS}gpt-audio-1.5",
        text_in_usd=2.50,
        text_out_usd=10.00,
        audio_in_usd=32.00,
        audio_tokens_per_s=12.5,
        max_out=16_384,
    ),
}


def price_of(model: str, own: Mapping[str, Price] | None = None) -> Price:
    """The price of a model; `own` rows win over the table's.

    Raises:
        UnknownPrice: in neither.
    """
    found = (own or {}).get(model) or PRICES.get(model)
    if found is None:
        raise UnknownPrice(
            f"What does the model {model} cost? Say it in the engine's option `prices`;"
            f" known are {', '.join(PRICES)}.",
            model=model,
        )
    return found


def at_most_usd(
    price: Price, seconds: float, text_in: int = 0, max_out: int | None = None
) -> float:
    """The most a call with so much sound can cost; committed before it is made."""
    return cost_usd(
        price,
        Used(
            seconds=ceil(seconds),  # whether the vendor bills a begun second is not stated
            text_in=text_in,
            audio_in=ceil(seconds * price.audio_tokens_per_s),
            text_out=price.max_out if max_out is None else max_out,
        ),
    )


def cost_usd(price: Price, used: Used) -> float:
    """What a call cost by what it used."""
    tokens = (
        used.text_in * price.text_in_usd
        + used.audio_in * price.audio_in_usd
        + used.text_out * price.text_out_usd
    )
    return used.seconds / MINUTE_S * price.minute_usd + tokens / MILLION


class Terms(BaseModel):
    """How one task of an engine elsewhere is asked and paid."""

    model_config = ConfigDict(frozen=True)

    price: Price
    text_in: int = 0  #: tokens of text sent with each call, at most
    max_out: int | None = None  #: tokens the call may answer; None = the model's own limit
    bytes_per_s: float = 32_000.0  #: of the sound as it is sent, at most
    #: Whether neighbouring segments may share a call: text can be given back to its segments,
    #: a class or a description cannot.
    merges: bool = False

    def at_most_usd(self, seconds: float) -> float:
        return at_most_usd(self.price, seconds, self.text_in, self.max_out)

    @property
    def max_call_s(self) -> float:
        """Seconds of sound that fit into a call, by time and by bytes."""
        return min(self.price.max_s, self.price.max_bytes / self.bytes_per_s)
