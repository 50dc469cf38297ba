"""The tokenizer against SQLite's own: every code point, then whole texts."""

import sqlite3
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.words import words

TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.text(
    st.sampled_from("aAbÄä\u0308\u0301 -_'’ßÉéIıİ1९你\u00ad\u200dΣς.\0"), max_size=12
)

#: All of the assigned planes, and one in 251 of the private and empty ones.
CODE_POINTS = [
    *range(1, 0xD800),
    *range(0xE000, 0x20000),
    *range(0x20000, 0xE0000, 251),
    *range(0xE0000, 0xE1000),
    *range(0xE1000, 0x110000, 251),
]


@pytest.fixture(scope="module")
def fts():
    db = sqlite3.connect(":memory:")
    db.execute('CREATE VIRTUAL TABLE t USING fts5 (x, tokenize = "unicode61 remove_diacritics 2")')
    db.execute("CREATE VIRTUAL TABLE v USING fts5vocab (t, instance)")
    return db


def tokens(fts, texts):
    """SQLite's tokens of many texts, by number."""
    found = defaultdict(list)
    fts.execute("BEGIN")
    fts.executemany("INSERT INTO t (rowid, x) VALUES (?, ?)", texts)
    for term, row, place in fts.execute("SELECT term, doc, offset FROM v"):
        found[row].append((place, term))
    fts.execute("ROLLBACK")
    return {row: [term for _, term in sorted(many)] for row, many in found.items()}


@pytest.mark.parametrize("shape", ["{}", "a{}B"], ids=["alone", "inside a word"])
def test_every_code_point_is_what_sqlite_says(fts, shape):
    texts = {c: shape.format(chr(c)) for c in CODE_POINTS}

    theirs = tokens(fts, texts.items())

    differ = {c for c in texts if [w.folded for w in words(texts[c])] != theirs.get(c, [])}
    assert differ == set()


@given(TEXT)
def test_a_text_has_the_words_sqlite_says(fts, text):
    assert [w.folded for w in words(text)] == tokens(fts, [(1, text)]).get(1, [])


def test_a_word_knows_where_it_stands():
    text = "Café, zwölf"

    assert [text[w.start : w.end] for w in words(text)] == ["Café", "zwölf"]
