"""Word error: what counts as the same text, and what is counted."""

import pytest

from local.calibration.errors import Counted, compared, words


@pytest.mark.parametrize(
    ("language", "written", "said"),
    [
        ("en", "Twenty-one people, at 5 %.", "21 people at 5%"),
        ("en", "Well, um, it's O.K.", "well it is o k"),
        (
            "en",
            "The colour of 1,234 doors",
            "the color of one thousand two hundred thirty four doors",
        ),
        ("es", "Veintiún años después, ¿no?", "21 años después no"),
        ("es", "A las 10:30 vino el 5 %.", "A las diez treinta vino el cinco por ciento"),
        ("fr", "Quatre-vingt-dix-neuf euros !", "99 euros"),
        ("fr", "L’été, à 10h30, euh, 21 %", "l'été à 10 30 vingt et un pour cent"),
        ("de", "Es sind 21 Häuser.", "es sind einundzwanzig häuser"),
    ],
)
def test_both_sides_are_written_alike(language, written, said):
    assert compared(written, said, language).error == 0.0


def test_accents_are_part_of_a_word():
    assert compared("el año", "el ano", "es").substitutions == 1


def test_words_are_counted_by_the_fewest_changes():
    found = compared("red green blue white black", "very red pink blue black", "en")

    assert found == Counted(hits=3, substitutions=1, deletions=1, insertions=1)
    assert found.error == pytest.approx(3 / 5)


@pytest.mark.parametrize(
    ("said", "error", "right"), [("", 0.0, True), ("thank you", 1.0, False), ("...", 0.0, True)]
)
def test_where_nobody_speaks_every_word_is_wrong(said, error, right):
    found = compared("", said, "en")

    assert (found.error, found.right) == (error, right)


def test_silence_where_somebody_speaks_is_all_wrong():
    found = compared("good morning", "", "en")

    assert (found.deletions, found.error, found.right) == (2, 1.0, False)


@pytest.mark.parametrize(("wrong", "right"), [(2, True), (3, False)])
def test_up_to_a_fifth_of_the_words_may_be_wrong(wrong, right):
    reference = [f"word{chr(97 + n)}" for n in range(10)]
    said = ["x"] * wrong + reference[wrong:]

    assert compared(" ".join(reference), " ".join(said), "en").right is right


def test_a_script_without_blanks_is_counted_by_character():
    assert words("你好。", "zh") == ["你", "好"]
