"""Frames of a CTC model that hears a text plainly, made by hand."""

from collections.abc import Sequence

import numpy as np

from gpu_service.alignment.ctc import LogProbabilities
from gpu_service.alignment.spelling import Vocabulary

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ'"
#: Columns as wav2vec2-base-960h has them in kind: blank, delimiter, letters.
ENGLISH = Vocabulary({c: i + 2 for i, c in enumerate(LETTERS)}, blank=0, delimiter=1)
N_TOKENS = len(LETTERS) + 2


def hears(
    said: str, *, each: int = 2, pause: int = 2, sure: float = 0.95, edge: int = 5
) -> LogProbabilities:
    """`said` (letters, blanks between words), each character `each` frames, then `pause` blanks."""
    columns = [0] * edge
    for character in said:
        column = 1 if character == " " else ENGLISH.columns[character]
        columns += [column] * each + [0] * pause
    return frames(columns + [0] * edge, N_TOKENS, sure)


def frames(columns: Sequence[int], n_tokens: int, sure: float) -> LogProbabilities:
    """One column is `sure` in each frame; the rest share what is left."""
    probabilities = np.full((len(columns), n_tokens), (1 - sure) / (n_tokens - 1))
    probabilities[np.arange(len(columns)), columns] = sure
    return np.log(probabilities).astype(np.float32)
