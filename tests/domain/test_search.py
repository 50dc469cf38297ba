import pytest

from shared.domain.search import match_expression, pieces


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hello world", ["hello", "world"]),
        ('"good morning" all', ["good morning", "all"]),
        ('open "ended phrase', ["open", "ended phrase"]),
        ("?! -- ...", []),
        ("", []),
        ("one\0two", ["one", "two"]),
        ("NOT a OR b*", ["NOT", "a", "OR", "b*"]),
    ],
)
def test_pieces(text, expected):
    assert pieces(text) == expected


def test_nothing_typed_is_an_operator():
    assert match_expression('a"b c') == '"a""b" AND "c"'
