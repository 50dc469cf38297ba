"""A1: a carrier phrase with words of its own in every half minute, and all of it found.

python -m truth.coverage [SECONDS ...] asks Whisper base through the real ears and keeps what was
heard; the figures come from what is kept.
"""

import json
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.stats import binomtest

from gpu_service.decoding.decoder import Decoder
from gpu_service.engines.registry import EngineSettings
from gpu_service.hearing.ears import LocalEars
from gpu_service.hosting.host import EngineHost
from gpu_service.serving.server import Server
from gpu_service.weights import pinned
from shared.domain.accounting import unaccounted
from shared.domain.answers import Task
from shared.domain.cascade import Decided
from shared.domain.sound import SAMPLE_RATE, Limits, Survey
from shared.domain.spoken import spoken, transcript
from shared.domain.stretches import seconds
from shared.domain.wishes import Wishes
from shared.flows.ask import Ask
from shared.flows.listen import Listen, Listening
from shared.settings import Settings
from truth.sound import cache_folder
from truth.voices import Voice, say

KEPT = Path(__file__).parent / "answers" / "coverage.json"
#: Seconds from one carrier to the next (GOALS A1).
WINDOW_S = 30.0
#: Seconds of the recordings: half a minute, what `make test` can wait for, and A1's longest.
LENGTHS_S = (30, 300, 3600, 10_800)
#: GOALS A1.
LEAST_COVERAGE = 0.99
CONFIDENCE_LEVEL = 0.95
VOICES = ("rms", "slt")
#: dBFS of the white noise below everything: a quiet room, not digital silence.
NOISE_DBFS = -60.0
#: Words that Whisper base writes as these voices say them: of other words and voices it misheard
#: 27 and 7 carriers of 360 ("portal museum" for a purple one, "wide guitar" for a white one), and
#: lost none. What is asked here is whether words are lost.
COLOURS = [
    "red",
    "green",
    "blue",
    "yellow",
    "black",
    "broken",
    "silver",
    "heavy",
    "little",
    "golden",
]
THINGS = [
    "elephant",
    "table",
    "window",
    "garden",
    "mountain",
    "river",
    "castle",
    "bridge",
    "candle",
    "hammer",
    "island",
    "kitchen",
    "letter",
    "market",
    "pocket",
    "village",
    "winter",
    "bicycle",
    "guitar",
    "umbrella",
    "hospital",
    "library",
    "museum",
    "sandwich",
    "telephone",
    "airplane",
    "chocolate",
    "computer",
    "dinosaur",
    "holiday",
    "newspaper",
    "basket",
    "camera",
    "piano",
    "monkey",
    "ticket",
]
#: Words of a carrier that must be there, of 16, and share of windows whose own words must be right.
#: Which word is written depends on how the CPU rounds: of 360 windows one kind of machine misheard
#: none, another two ("a heavy ladder", "the little PNO"), and each lost not a word.
LEAST_WORDS, LEAST_RIGHT = 14, 0.98
#: What is kept beside the carriers of a recording whose windows are full.
FILLING = (
    "The weather report promised heavy rain and strong winds along the coast. Our train was"
    " delayed because a tree had fallen across the tracks. We should meet at the station and walk"
    " to the museum together."
)
#: Recordings up to this long are spoken from end to end; in longer ones the rest of each window
#: is quiet, so that three hours take minutes.
FULL_UP_TO_S = 300

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Listened:
    """What was heard of one recording."""

    length_s: int
    voiced_s: float
    coverage: float
    unexplained_s: float
    segments: int
    texts: tuple[str, ...]  #: a window each


def own_words(window: int) -> tuple[str, str]:
    """A colour and a thing; 360 windows have 360 pairs."""
    return COLOURS[window % len(COLOURS)], THINGS[(window // len(COLOURS)) % len(THINGS)]


def carrier(window: int) -> str:
    colour, thing = own_words(window)
    return f"In this half minute we look for a {colour} {thing}. Here it is, the {colour} {thing}."


def windows(length_s: int, kept: Path) -> Iterator[Samples]:
    """A recording, window by window: carriers over noise; the same every time."""
    dice = np.random.default_rng(length_s)
    for window in range(round(length_s / WINDOW_S)):
        sound = dice.standard_normal(round(WINDOW_S * SAMPLE_RATE), np.float32)
        sound *= np.float32(10 ** (NOISE_DBFS / 20))
        full = length_s <= FULL_UP_TO_S
        text = f"{carrier(window)} {FILLING}" if full else carrier(window)
        one = say(Voice("flite", VOICES[window % len(VOICES)]), text, kept)[: sound.size]
        sound[: one.size] += np.float32(0.7) * one
        yield np.clip(sound, -1, 1)


@contextmanager
def ears(engine: str, kept: Path) -> Iterator[LocalEars]:
    """A real decoder and Whisper base in its own process."""
    decoder = Decoder(processes=1)
    models = pinned.folder(Settings(home=cache_folder()))
    server = Server(EngineHost(engine, EngineSettings(kind="whisper"), cache=models))
    decoder.start()
    server.start()
    try:
        yield LocalEars(decoder, {engine: server}, kept)
    finally:
        server.stop()
        decoder.stop()


def listened(length_s: int, engine: str = "whisper-base") -> Listened:
    """One recording through the house: decoded, surveyed, cut, heard, accounted for."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as file:
        with soundfile.SoundFile(file, "w", SAMPLE_RATE, 1, "PCM_16", format="FLAC") as flac:
            for window in windows(length_s, Path(folder)):
                flac.write(window)
        file.seek(0)
        with ears(engine, Path(folder)) as able:
            survey, decided = _heard(able, file, engine, length_s)
    return _told(survey, decided, length_s)


def _heard(
    able: LocalEars, file: BinaryIO, engine: str, length_s: int
) -> tuple[Survey, list[Decided]]:
    limits = Limits(length_s + 1.0, 2**31)
    wanted = Listening("truth", Wishes(), limits, (engine,), at_a_time_s=112.0)
    told = Listen(able, Ask())(file, wanted, lambda: None)
    survey = next(told)
    assert isinstance(survey, Survey)
    decided = [one for part in told if not isinstance(part, Survey) for one in part]
    return survey, decided


def _told(survey: Survey, decided: Sequence[Decided], length_s: int) -> Listened:
    segments = spoken(survey, decided)
    left = unaccounted(survey, {Task.TRANSCRIBE: decided})
    whole = transcript(survey, decided, segments, left)
    texts: list[list[str]] = [[] for _ in range(round(length_s / WINDOW_S))]
    for word in (word for segment in segments for word in segment.words):
        middle = (word.start_s + word.end_s) / 2
        texts[min(int(middle / WINDOW_S), len(texts) - 1)].append(word.text)
    voiced_s = round(sum(map(seconds, survey.voiced)), 1)
    return Listened(
        length_s,
        voiced_s,
        round(whole.coverage, 4),
        whole.unexplained_s,
        len(survey.speech),
        tuple(map(" ".join, texts)),
    )


def found(texts: Sequence[str]) -> list[bool]:
    """Of each window whether both of its own words were written down in it."""
    return [
        all(re.search(rf"\b{word}", text.lower()) for word in own_words(window))
        for window, text in enumerate(texts)
    ]


def lost(texts: Sequence[str]) -> list[str]:
    """The windows where words of the carrier are missing, whatever was written for its own two."""
    return [text for text in texts if len(text.split()) < LEAST_WORDS]


def measured() -> dict[str, Any]:
    """The figures, out of what is kept."""
    kept = [Listened(**one) for one in json.loads(KEPT.read_text(encoding="utf-8"))]
    return {f"{one.length_s} s": _figures(one) for one in sorted(kept, key=lambda k: k.length_s)}


def _figures(one: Listened) -> dict[str, Any]:
    """With the interval by Clopper and Pearson (1934), as for A4."""
    hits = found(one.texts)
    between = binomtest(sum(hits), len(hits)).proportion_ci(CONFIDENCE_LEVEL, method="exact")
    return {
        "windows": len(hits),
        "found": sum(hits),
        "low": round(float(between.low), 3),
        "high": round(float(between.high), 3),
        "coverage": one.coverage,
        "unexplained_s": one.unexplained_s,
        "voiced_s": one.voiced_s,
        "segments": one.segments,
    }


def main(lengths_s: Sequence[int]) -> int:
    """Listen and keep; what was kept of other lengths stays."""
    old = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else []
    kept = {one["length_s"]: one for one in old}
    for length_s in lengths_s or LENGTHS_S:
        kept[length_s] = asdict(listened(length_s))
        KEPT.parent.mkdir(exist_ok=True)
        lines = json.dumps([kept[n] for n in sorted(kept)], indent=1, ensure_ascii=False)
        KEPT.write_text(lines + "\n", encoding="utf-8")
    print(json.dumps(measured(), indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main([int(length) for length in sys.argv[1:]]))
