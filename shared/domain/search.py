"""What people type into the search box, as words and phrases."""

import re

#: A phrase in double quotes (a missing closing quote is forgiven), or one word.
_PIECE = re.compile(r'"([^"]*)"?|(\S+)')
_HAS_TOKEN = re.compile(r"\w")


def pieces(text: str) -> list[str]:
    """The words and quoted phrases of a query, in order; punctuation alone is dropped."""
    # FTS5 takes a NUL for the end of the query.
    found = (phrase or word for phrase, word in _PIECE.findall(text.replace("\0", " ")))
    return [piece for piece in found if _HAS_TOKEN.search(piece)]


def match_expression(text: str) -> str:
    """All pieces, each as an FTS5 string: inside one, nothing is an operator.

    Source: SQLite's documentation of FTS5, section 3.1, "FTS5 Strings". Empty when
    there is nothing to look for.
    """
    return " AND ".join('"' + piece.replace('"', '""') + '"' for piece in pieces(text))
