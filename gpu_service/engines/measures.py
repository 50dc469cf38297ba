"""Raw figures of an answer, under the names of `Answer.signals`: what a calibration reads."""

import math
import zlib
from collections.abc import Iterable, Sequence

from gpu_service.engines.engine import Clip, Span
from shared.domain.answers import Token, Word
from shared.domain.sound import SAMPLE_RATE

#: Tokens or words in a row whose mean log-probability is a window: see `Answer.signals`.
WINDOW = 4
#: A word's probability is at least this, so that one zero is not everything.
FLOOR = 1e-4


def of_logprobs(found: Sequence[float]) -> dict[str, float]:
    """`mean_logprob` and `min_window_logprob` of natural logarithms in order; {} of none.

    Fewer than WINDOW of them are one window.
    """
    if not found:
        return {}
    width = min(WINDOW, len(found))
    windows = (sum(found[i : i + width]) / width for i in range(len(found) - width + 1))
    return {"mean_logprob": sum(found) / len(found), "min_window_logprob": min(windows)}


def of_words(words: Iterable[Word]) -> dict[str, float]:
    """`of_logprobs` of the words' own confidences, and their `lowest`."""
    found = list(words)
    return of_logprobs(_logs(found)) | lowest(found)


def lowest(words: Iterable[Word]) -> dict[str, float]:
    """`min_word_logprob` alone, for an engine whose other figures are of finer pieces."""
    return {"min_word_logprob": min(found)} if (found := _logs(words)) else {}


def _logs(words: Iterable[Word]) -> list[float]:
    return [math.log(max(w.confidence, FLOOR)) for w in words if w.confidence is not None]


def of_tokens(tokens: Iterable[Token]) -> dict[str, float]:
    """`min_word_logprob` of a text in tokens: the lowest mean of those that make one word.

    A word begins at a token that begins with a blank, or right after one that is nothing else.
    """
    words: list[list[float]] = []
    begins = True
    for token in tokens:
        if token.text.isspace():
            begins = True
            continue
        if begins or token.text[:1].isspace():
            words.append([])
        words[-1].append(token.logprob)
        begins = False
    lows = [sum(word) / len(word) for word in words]
    return {"min_word_logprob": min(lows)} if lows else {}


def of_text(text: str, n_samples: int, spans: Sequence[Span] | None) -> dict[str, float]:
    """`compression_ratio` of a text, `speech_share` and `words_per_s` of the clip it is of.

    Without `spans` (where somebody speaks) nothing is known of speech; without text there is
    nothing to compress. Words are what stands between blanks.
    """
    found = {"compression_ratio": compression_ratio(text)} if text else {}
    if spans is None or not n_samples:
        return found
    speech_s = sum(end - start for start, end in spans)
    found["speech_share"] = min(speech_s * SAMPLE_RATE / n_samples, 1.0)
    return found | ({"words_per_s": len(text.split()) / speech_s} if speech_s > 0 else {})


def of_clip(clip: Clip, text: str) -> dict[str, float]:
    """`of_text` for an engine that looks for no speech itself: as far as the caller looked."""
    return of_text(text, clip.samples.size, clip.speech)


def compression_ratio(text: str) -> float:
    """How often a text repeats itself. Source: openai/whisper, `whisper/utils.py`."""
    content = text.encode()
    return len(content) / len(zlib.compress(content))
