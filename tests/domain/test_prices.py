"""What calls elsewhere cost, before and after."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.domain.prices import PRICES, Price, Terms, Used, at_most_usd, cost_usd, price_of
from shared.errors import UnknownPrice

DAY = date(2026, 11, 1)


def price(**said):
    return Price(as_of=DAY, source="us", **said)


@pytest.mark.parametrize(
    ("model", "used", "usd"),
    [
        ("gpt-transcribe", Used(seconds=60), 0.0045),
        ("gpt-transcribe", Used(seconds=1), 0.000075),
        ("gpt-audio-1.5", Used(text_in=1_000_000), 2.5),
        ("gpt-audio-1.5", Used(audio_in=1_000_000), 32.0),
        ("gpt-audio-1.5", Used(text_out=1_000_000), 10.0),
    ],
)
def test_the_vendors_prices(model, used, usd):
    assert cost_usd(PRICES[model], used) == pytest.approx(usd)


def test_an_unknown_model_is_named_with_those_that_are_known():
    with pytest.raises(UnknownPrice, match=r"gpt-6.*gpt-transcribe"):
        price_of("gpt-6")


def test_a_row_of_ones_own_wins():
    own = price(minute_usd=1.0)

    assert price_of("gpt-transcribe", {"gpt-transcribe": own}) is own
    assert price_of("gpt-audio-1.5", {"gpt-transcribe": own}) is PRICES["gpt-audio-1.5"]


@given(
    st.sampled_from(sorted(PRICES)),
    st.floats(0.1, 1_400),
    st.integers(0, 2_000),
    st.integers(0, 1_024),
    st.floats(0, 1),
)
def test_no_call_within_its_terms_costs_more_than_was_committed(model, s, text_in, out, share):
    terms = Terms(price=PRICES[model], text_in=2_000, max_out=1_024)
    heard = int(s * PRICES[model].audio_tokens_per_s * share)
    used = Used(seconds=s, text_in=text_in, audio_in=heard, text_out=out)

    assert cost_usd(PRICES[model], used) <= terms.at_most_usd(s) + 1e-12


def test_without_a_limit_of_ours_the_models_own_holds():
    per_token = price(text_out_usd=1_000_000.0, max_out=7)

    assert at_most_usd(per_token, 1.0) == 7.0
    assert at_most_usd(per_token, 1.0, max_out=3) == 3.0


@pytest.mark.parametrize(
    ("limits", "longest_s"),
    [({"max_s": 100.0}, 100.0), ({"max_bytes": 64_000}, 2.0)],
    ids=["seconds", "bytes"],
)
def test_a_call_holds_what_fits_by_time_and_by_bytes(limits, longest_s):
    assert Terms(price=price(**limits), bytes_per_s=32_000).max_call_s == longest_s


@pytest.mark.parametrize("wrong", [{"minute_usd": -1}, {"max_s": 0}, {"minute": 1}])
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValidationError):
        price(**wrong)


def test_every_row_says_when_and_where_somebody_looked():
    assert all(row.source.startswith("https://") for row in PRICES.values())
    assert all(row.as_of >= DAY for row in PRICES.values())
