"""CTC text by prefix beam search, out of the words of a list only where there is one.

Our own: pyctcdecode 0.5.0 asks for numpy < 2 and is no longer kept up, its hotwords are wishes
and not a limit; flashlight-text wants a C++ decoder per process for a hundred lines of
arithmetic. Source: Hannun et al. 2014, "First-Pass Large Vocabulary Continuous Speech
Recognition using Bi-Directional Recurrent DNNs", algorithm 1, without its language model; the
pruning bars are pyctcdecode's defaults (`token_min_logp`, `beam_prune_logp`).
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from gpu_service.ctc.emissions import LogProbabilities
from gpu_service.ctc.vocabulary import Vocabulary

#: A token less probable than this in a frame is not tried there, unless it is the best.
LEAST_TOKEN = -5.0
#: A prefix this much less probable than the best one is given up.
LEAST_PREFIX = -10.0

Prefix = tuple[int, ...]


@dataclass(slots=True)
class Node:
    """A place in the tree of words, reached by the letters so far."""

    next: dict[int, "Node"] = field(default_factory=dict)
    ends: bool = False  #: a word may end here


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The only words there are."""

    root: Node
    size: int
    unspellable: tuple[str, ...]  #: words of the list this vocabulary cannot write

    @classmethod
    def of(cls, words: Iterable[str], vocabulary: Vocabulary) -> "Lexicon":
        root, size, unspellable = Node(), 0, []
        for word in dict.fromkeys(words):
            letters = vocabulary.spelt(word)
            if letters is None:
                unspellable.append(word)
                continue
            node = root
            for letter in letters:
                node = node.next.setdefault(letter, Node())
            node.ends, size = True, size + 1
        return cls(root, size, tuple(unspellable))


@dataclass(slots=True)
class _Beam:
    """Natural log-probabilities of all ways to a prefix, and where it stands in the words."""

    node: Node | None  #: None = any letter may follow
    blank: float = -math.inf  #: of those that end in a blank
    letter: float = -math.inf  #: of those that end in the prefix's last token

    @property
    def total(self) -> float:
        return _either(self.blank, self.letter)


@dataclass(frozen=True, slots=True)
class Search:
    """A prefix beam search; the same frames always give the same tokens."""

    vocabulary: Vocabulary
    size: int  #: prefixes kept from frame to frame
    lexicon: Lexicon | None = None

    def __call__(self, frames: LogProbabilities) -> Prefix:
        """The most probable tokens, all their paths added up; words are whole under a lexicon."""
        root = self.lexicon.root if self.lexicon else None
        beams: dict[Prefix, _Beam] = {(): _Beam(root, blank=0.0)}
        for row in frames:
            beams = self._pruned(self._stepped(beams, row))
        whole = {prefix: beam for prefix, beam in beams.items() if self._whole(beam)}
        return max(whole, key=lambda prefix: whole[prefix].total, default=())

    def _stepped(self, beams: dict[Prefix, _Beam], row: np.ndarray) -> dict[Prefix, _Beam]:
        after: dict[Prefix, _Beam] = {}
        blank = float(row[self.vocabulary.blank])
        tried = self._tried(row)
        for prefix, beam in beams.items():
            total = beam.total
            stays = after.setdefault(prefix, _Beam(beam.node))
            stays.blank = _either(stays.blank, total + blank)
            if prefix:
                stays.letter = _either(stays.letter, beam.letter + float(row[prefix[-1]]))
            for token, logprob in tried:
                self._extend(after, prefix, beam, token, logprob)
        return after

    def _extend(
        self, after: dict[Prefix, _Beam], prefix: Prefix, beam: _Beam, token: int, logprob: float
    ) -> None:
        again = bool(prefix) and token == prefix[-1]
        delimits = token == self.vocabulary.delimiter
        # The same token once more is a repetition only over a blank.
        way = (beam.blank if again else beam.total) + logprob
        if delimits and (again or not prefix):
            # A second gap, or one before the first word, says nothing: the prefix stays.
            kept = after.setdefault(prefix, _Beam(beam.node))
            kept.blank = _either(kept.blank, way)
            return
        allowed, node = self._follows(beam.node, token, delimits)
        if allowed:
            grown = after.setdefault((*prefix, token), _Beam(node))
            grown.letter = _either(grown.letter, way)

    def _follows(self, node: Node | None, token: int, delimits: bool) -> tuple[bool, Node | None]:
        if node is None or self.lexicon is None:
            return True, None
        if delimits:
            return node.ends, self.lexicon.root
        return token in node.next, node.next.get(token)

    def _tried(self, row: np.ndarray) -> list[tuple[int, float]]:
        silent = self.vocabulary.silent
        best = int(row.argmax())
        likely = {best, *np.flatnonzero(row >= LEAST_TOKEN).tolist()} - silent
        return [(token, float(row[token])) for token in sorted(likely)]

    def _pruned(self, beams: dict[Prefix, _Beam]) -> dict[Prefix, _Beam]:
        # Sorted by prefix too, so that a tie does not hang on the order they were met in.
        ranked = sorted(beams.items(), key=lambda item: (-item[1].total, item[0]))[: self.size]
        bar = ranked[0][1].total + LEAST_PREFIX
        return {prefix: beam for prefix, beam in ranked if beam.total >= bar}

    def _whole(self, beam: _Beam) -> bool:
        root = self.lexicon.root if self.lexicon else None
        return beam.node is None or beam.node is root or beam.node.ends


def listed(lines: Iterable[str]) -> Iterator[str]:
    """Words of a list, one a line; empty lines and lines that begin with # are none."""
    for line in lines:
        word = line.strip()
        if word and not word.startswith("#"):
            yield word


def _either(a: float, b: float) -> float:
    """log(exp(a) + exp(b))."""
    if a < b:
        a, b = b, a
    return a if b == -math.inf else a + math.log1p(math.exp(b - a))
