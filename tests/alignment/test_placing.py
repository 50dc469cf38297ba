import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_service.alignment.placing import place
from tests.alignment.emissions import ENGLISH, N_TOKENS, hears

FRAME_S = 0.02
TRUE, INVENTED = "THE CAT SAT ON THE MAT", "GREEN IDEAS SLEEP FURIOUSLY"


def placed(text, log_probabilities, **changes):
    said = {
        "language": "en",
        "frame_s": FRAME_S,
        "duration_s": len(log_probabilities) * FRAME_S,
        "source": "aligner",
    }
    return place(text, log_probabilities, ENGLISH, **{**said, **changes})


def test_words_keep_their_spelling_and_get_the_times_of_their_sound():
    heard = hears("ON FIVE", edge=5)  # 2 frames a character, 2 blanks after each

    found = placed("On 5,", heard)

    assert [(w.text, w.source) for w in found.words] == [("On", "aligner"), ("5,", "aligner")]
    on, five = found.words
    assert (on.start_s, on.end_s) == pytest.approx((5 * FRAME_S, 11 * FRAME_S))
    assert (five.start_s, five.end_s) == pytest.approx((17 * FRAME_S, 31 * FRAME_S))
    assert on.confidence == pytest.approx(0.95, abs=1e-3)


def test_an_invented_text_scores_far_below_what_was_said():
    heard = hears(TRUE)

    true, invented = placed(TRUE, heard), placed(INVENTED, heard)

    assert true.score == pytest.approx(math.log(0.95), abs=1e-3)
    assert invented.score < true.score - 2.0
    assert max(w.confidence for w in invented.words) < 0.5 < min(w.confidence for w in true.words)


def test_stars_cannot_lend_an_invented_text_their_score():
    """A star's frame costs log(28) = 3.3 nats: counted in, they would lift -6.3 to about -3.5."""
    long = hears(" ".join([TRUE] * 5))

    invented = placed("QUIZ", long)

    assert invented.starred_s > 0.4 * len(long) * FRAME_S  # nearly every frame that is not blank
    assert invented.score < -5.0


def test_words_nobody_can_spell_neither_help_nor_harm_the_score():
    heard = hears("THE CAT SAT")

    found = placed("The 猫 sat", heard)

    the, cat, sat = found.words
    assert cat.confidence is None and the.end_s <= cat.start_s <= cat.end_s <= sat.start_s
    assert found.score == pytest.approx(math.log(0.95), abs=1e-3)
    assert placed("猫", heard).score is None


def test_a_word_the_engine_left_out_does_not_stretch_its_neighbours():
    heard = hears("THE CAT SAT")
    whole, short = placed("THE CAT SAT", heard), placed("THE SAT", heard)

    assert short.words[0].end_s == whole.words[0].end_s
    assert short.words[1].start_s == whole.words[2].start_s
    assert short.starred_s == pytest.approx(8 * FRAME_S)  # C, A, T and one blank's delimiter


def test_a_text_too_long_for_the_sound_has_no_times():
    assert placed("WORD " * 100, hears("WORD")) is None


def test_a_text_of_any_length_takes_no_memory_by_the_frame():
    """28 s of sound and 300,000 letters would be a lattice of 3 GB."""
    assert placed("1" * 100_000, np.zeros((1_400, N_TOKENS), np.float32)) is None


def test_no_text_has_no_words():
    assert placed("  ", hears("A")).words == ()


def test_no_word_ends_after_the_clip():
    heard = hears("A", edge=0, pause=0)

    assert placed("A", heard, duration_s=0.03).words[0].end_s == 0.03


WORDS = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=8)


@settings(deadline=None)
@given(st.lists(WORDS, max_size=8), st.integers(0, 2**32 - 1), st.integers(1, 400))
def test_every_word_lies_in_order_inside_the_clip(words, seed, n_frames):
    chance = np.random.default_rng(seed)
    shares = chance.dirichlet(np.full(N_TOKENS, 0.1), n_frames) + 1e-30
    heard = np.log(shares).astype(np.float32)

    found = placed(" ".join(words), heard)

    if found is None:
        return
    assert [w.text for w in found.words] == " ".join(words).split()
    times = [t for w in found.words for t in (w.start_s, w.end_s)]
    assert times == sorted(times) and all(0 <= t <= n_frames * FRAME_S for t in times)
    assert all(w.start_s < w.end_s for w in found.words)
    assert all(w.confidence is None or 0 <= w.confidence <= 1 for w in found.words)
