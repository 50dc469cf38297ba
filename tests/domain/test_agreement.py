import pytest

from shared.domain.agreement import agreement, difference


@pytest.mark.parametrize(
    ("text", "other", "expected"),
    [
        ("the cat sat", "The cat sat.", 1.0),
        ("the cat sat", "the dog sat", pytest.approx(2 / 3)),
        ("", "", 1.0),
        ("words", "", 0.0),
        ("", "words", 0.0),
        ("café", "CAFE", 1.0),
        ("a b c d e f", "a", 0.0),
    ],
)
def test_agreement_is_one_less_the_word_error(text, other, expected):
    assert agreement(text, other) == expected


def test_a_difference_is_the_same_from_both_sides():
    assert difference("one two three four", "one three") == 0.5
    assert difference("one three", "one two three four") == 0.5
    assert difference("", "") == 0.0
