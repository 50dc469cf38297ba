"""What is found, against SQLite's FTS5; how hits are ordered and shown."""

import sqlite3

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.domain.hits import SNIPPET_WORDS, hit, snippet, terms
from shared.domain.search import match_expression

SAID = st.text(st.sampled_from('abAÄ\u0308 -_*":\0你ß'), max_size=14)


@pytest.fixture(scope="module")
def fts():
    db = sqlite3.connect(":memory:")
    db.execute('CREATE VIRTUAL TABLE t USING fts5 (x, tokenize = "unicode61 remove_diacritics 2")')
    return db


def found_by_sqlite(fts, text, query):
    expression = match_expression(query)
    if not expression:
        return False
    fts.execute("DELETE FROM t")
    fts.execute("INSERT INTO t VALUES (?)", (text,))
    return bool(fts.execute("SELECT 1 FROM t WHERE t MATCH ?", (expression,)).fetchall())


@given(SAID, SAID)
@example("a _ b", "a _")
@example("a b", '"a b')
@example("a-b", "a_b")
@example("a b", '"" a')
def test_a_passage_is_found_where_sqlite_finds_it(fts, text, query):
    asked = terms(query)

    assert bool(asked and hit(text, asked)) == found_by_sqlite(fts, text, query)


def test_more_finds_in_fewer_words_are_better():
    asked = terms("fox")

    scores = [hit(t, asked).score for t in ("fox fox", "fox", "a fox", "a fox among many hens")]

    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 4


@pytest.mark.parametrize(
    ("text", "query", "shown"),
    [
        pytest.param("The Fox!", "fox", "The \x02Fox\x03!", id="the text stays as it was"),
        pytest.param("a b c a", '"a b" a', "\x02a b\x03 c \x02a\x03", id="phrase and word"),
        pytest.param("a b a b a", '"a b a"', "\x02a b a b a\x03", id="overlapping finds"),
    ],
)
def test_a_snippet_marks_what_was_found(text, query, shown):
    assert snippet(hit(text, terms(query))) == shown


@pytest.mark.parametrize("before", [0, SNIPPET_WORDS - 1, SNIPPET_WORDS, 100])
@pytest.mark.parametrize("after", [0, 100])
def test_a_snippet_is_a_stretch_that_holds_a_find(before, after):
    text = "so " * before + "fox" + " on" * after

    shown = snippet(hit(text, terms("fox")))

    assert "\x02fox\x03" in shown
    assert len(shown.split()) <= SNIPPET_WORDS
    assert shown.startswith("…") == (before >= SNIPPET_WORDS)
    assert shown.endswith("…") == (after > 0)
