"""The samples of a planned segment: the same plan always gives the same ones."""

import os
from pathlib import Path

import numpy as np
from numpy.random import Generator, default_rng

from gpu_service.engines.engine import Samples
from shared.domain.sound import SAMPLE_RATE
from truth.conditions import OTHER_SOUNDS, degraded
from truth.corpus import Part, texts
from truth.plan import OTHERS_S, OtherSound, Utterance
from truth.voices import VOICES, say

#: Voices that speak at once in a babble (a crowd has no words of its own from about six on;
#: fewer still distract by their words: Simpson and Cooke 2005).
CROWD = 4
#: Seconds of quiet around every utterance: a segment is cut at pauses, not at the first phone.
MARGIN_S = 0.2


def cache_folder() -> Path:
    """Where speech and unfinished answers are kept between runs; never inside the repository."""
    chosen = os.environ.get("EARWITNESS_TRUTH_CACHE", "~/.cache/earwitness/truth")
    return Path(chosen).expanduser()


def heard(one: Utterance, kept: Path) -> Samples:
    """The utterance under its condition; float32, shape (n_samples,), mono, 16 kHz."""
    dice = default_rng(one.seed)
    quiet = np.zeros(round(MARGIN_S * SAMPLE_RATE), np.float32)
    speech = np.concatenate([quiet, say(one.voice, one.text.words, kept), quiet])
    others = _crowd(one, dice, kept) if one.condition.kind == "babble" else quiet
    return degraded(speech, one.condition, others, dice)


def sounded(one: OtherSound) -> Samples:
    """A sound nobody speaks in; as `heard`."""
    dice = default_rng(one.seed)
    return OTHER_SOUNDS[one.kind](float(dice.uniform(*OTHERS_S)), dice)


def _crowd(one: Utterance, dice: Generator, kept: Path) -> Samples:
    """Other texts of the same part, said at once by its other voices, each from its start."""
    part, language = Part(one.text.part), one.text.language
    words = [text.words for text in texts(language, part) if text != one.text]
    voices = [voice for voice in VOICES[language, part] if voice.timbre != one.voice.timbre]
    said = [
        say(voices[int(dice.integers(len(voices)))], words[int(dice.integers(len(words)))], kept)
        for _ in range(CROWD)
    ]
    length = max(map(len, said))
    crowd: Samples = np.sum([np.resize(sound, length) for sound in said], axis=0, dtype=np.float32)
    return crowd
