"""The tokens a CTC checkpoint knows, and how its words are written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Token texts by id, and the ids that stand for no letter."""

    tokens: tuple[str, ...]  #: token id -> text
    blank: int  #: the CTC blank; in Wav2Vec2 it is the padding token
    delimiter: int | None  #: stands between words; None = the words are not told apart
    silent: frozenset[int]  #: ids that write nothing: blank, <s>, </s>, <unk>
    lower: bool = False  #: write lower-case

    @classmethod
    def of(
        cls,
        ids: Mapping[str, int],
        *,
        blank: str,
        delimiter: str | None,
        silent: Sequence[str],
        case: str,
    ) -> "Vocabulary":
        """A vocabulary out of `vocab.json`.

        `case`: lower, keep, or auto, which is lower where no letter is lower-case already: the
        checkpoints of 960 h of LibriSpeech shout, and nobody who reads their text wants that.
        """
        tokens = [""] * (max(ids.values()) + 1)
        for text, number in ids.items():
            tokens[number] = text
        mute = frozenset(ids[text] for text in (*silent, blank) if text in ids)
        letters = "".join(text for number, text in enumerate(tokens) if number not in mute)
        lower = case == "lower" or (case == "auto" and letters.isupper())
        return cls(tuple(tokens), ids[blank], ids.get(delimiter or ""), mute, lower)

    def written(self, tokens: Sequence[int]) -> str:
        """The letters of `tokens` in the case of this vocabulary."""
        text = "".join(self.tokens[token] for token in tokens)
        return text.lower() if self.lower else text

    def spelt(self, word: str) -> tuple[int, ...] | None:
        """`word` as token ids, one a character; None where a character is no token.

        Tried as it stands, then in upper and lower case: lists of words come in either.
        """
        ids = self.characters
        for form in (word, word.upper(), word.lower()):
            if form and all(letter in ids for letter in form):
                return tuple(ids[letter] for letter in form)
        return None

    @property
    def characters(self) -> dict[str, int]:
        """Single characters and their ids, without blank, special tokens and delimiter."""
        return {
            text: number
            for number, text in enumerate(self.tokens)
            if len(text) == 1 and number not in self.silent and number != self.delimiter
        }
