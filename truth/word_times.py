"""A2: how far words lie from where they were said, starts and ends apart, by who placed them.

python -m truth.word_times asks the engines and keeps every error in milliseconds; the figures
come from what is kept. The truth is flite's own: it prints when each phone ends, and how many
phones a word has when it is said alone.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import SequenceMatcher
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from gpu_service.engines.engine import Clip, Engine
from gpu_service.engines.registry import build
from gpu_service.hearing.against_sound import RULES, checked
from gpu_service.hearing.boundaries import ENERGY, ENGINE
from gpu_service.hearing.voice_activity import VoiceActivity
from gpu_service.weights import pinned
from shared.domain.answers import Task, Word
from shared.settings import Settings
from truth.corpus import Part, texts
from truth.listening import ENGINES
from truth.sound import cache_folder
from truth.voices import Voice, flite, say

KEPT = Path(__file__).parent / "answers" / "word_times.json"
#: flite's voices; what was chosen by ear and by figure was chosen on TUNED alone.
TUNED, VOICES = "awb", ("awb", "slt", "rms", "kal16")
#: Sentences a voice says: enough for 200 words of each.
SENTENCES = 36
#: Said alone; at least two syllables or a hard beginning, so that the engines know them.
_WORDS = """
weather station museum children engineer bridge mountain company window grandmother
library kitchen yellow seven hello stop yes apple river garden doctor orange number
morning paper question sister table under village winter water answer butter candle
dinner eleven finger hammer island
"""
ALONE = tuple(_WORDS.split())
#: GOALS A2, in milliseconds: of words said alone, and of words in a sentence.
ALONE_MEDIAN_MS, ALONE_P95_MS, SENTENCE_MEDIAN_MS = 40.0, 150.0, 80.0
#: Bootstrap over utterances: words of one sentence err together.
RESAMPLES, LEVEL, SEED = 1_000, 0.95, 20
#: Digits, joined words and hesitations: flite reads or Whisper writes them otherwise.
_UNREADABLE = re.compile(r"\d|'|-|um|uh", re.IGNORECASE)
_PAUSE = "pau"

Spoken = tuple[str, float, float]  #: a word, when it begins and ends in seconds
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Utterance:
    """Something said, and where each of its words lies."""

    kind: str  #: alone or sentence
    voice: Voice
    text: str
    words: tuple[Spoken, ...]


def utterances(voice: str, sentences: int = SENTENCES, alone: int = len(ALONE)) -> list[Utterance]:
    """What a voice says, each word with its place; a text flite reads otherwise is left out."""
    everything = (text.words for part in Part for text in texts("en", part))
    readable = (text for text in everything if not _UNREADABLE.search(text))
    speaker = flite(voice)
    return [
        *islice(_placed("sentence", speaker, readable), sentences),
        *islice(_placed("alone", speaker, ALONE), alone),
    ]


def _placed(kind: str, speaker: Voice, told: Iterable[str]) -> Iterator[Utterance]:
    """One after another: each costs as many calls of flite as it has words."""
    for text in told:
        if placed := words(speaker, text):
            yield Utterance(kind, speaker, text, placed)


def words(voice: Voice, text: str) -> tuple[Spoken, ...]:
    """Where each word of `text` lies; empty where its phones are not those of its words alone."""
    spans = phones(voice, text)
    names = _names(text)
    counts = [len(phones(voice, name)) for name in names]
    if sum(counts) != len(spans) or 0 in counts:
        return ()
    ends = np.cumsum(counts).tolist()
    return tuple(
        (name, spans[end - count][0], spans[end - 1][1])
        for name, count, end in zip(names, counts, ends, strict=True)
    )


@cache
def phones(voice: Voice, text: str) -> tuple[tuple[float, float], ...]:
    """When each phone begins and ends, pauses left out. flite prints a name and an end of each."""
    command = ["flite", "-voice", voice.timbre, "-psdur", "-t", text, "-o", "/dev/null"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    named = [(name, float(end)) for name, _, end in (each.rpartition(":") for each in told)]
    starts = [0.0, *(end for _, end in named)]
    return tuple(
        (start, end) for start, (name, end) in zip(starts, named, strict=False) if name != _PAUSE
    )


def errors(engine: Engine, said: Sequence[Utterance], kept: Path) -> dict[str, list[list[Spoken]]]:
    """By source, for each utterance: its words the engine heard right, with (found - true) times.

    All are asked at once, as a recording's segments are: short ones share a window.
    """
    clips = [_clip(one, kept) for one in said]
    answers = engine.infer(Task.TRANSCRIBE, clips)
    able = engine.capabilities()
    held = [checked(a, c, able) for a, c in zip(answers, clips, strict=True)]
    return {
        source: [_errors(one.words, a.words) for one, a in zip(said, found, strict=True)]
        for source, found in ((ENGINE, answers), (ENERGY, held))
    }


def _clip(one: Utterance, kept: Path) -> Clip:
    samples = say(one.voice, one.text, kept)
    voice = VoiceActivity()
    voice.add(samples)
    return Clip(samples, "truth", "en", tuple(voice.result()))


def _errors(true: Sequence[Spoken], found: Sequence[Word]) -> list[Spoken]:
    heard = [" ".join(_names(word.text)) for word in found]
    matches = SequenceMatcher(None, [name for name, _, _ in true], heard, autojunk=False)
    return [
        (name, found[b].start_s - start, found[b].end_s - end)
        for block in matches.get_matching_blocks()
        for (name, start, end), b in zip(
            true[block.a : block.a + block.size], range(block.b, block.b + block.size), strict=True
        )
    ]


def _names(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def measure(names: Iterable[str] = ENGINES, note: Callable[[str], object] = print) -> None:
    """Ask the engines about every voice and keep the errors. Safe to repeat: the same again."""
    cache_at = pinned.folder(Settings())
    told = {}
    for name in names:
        engine = build(name, ENGINES[name], cache=cache_at)
        rows = []
        for voice in VOICES:
            said = utterances(voice)
            found = errors(engine, said, cache_folder())
            rows += list(_rows(voice, said, found))
            note(f"{name} {voice}: {len(said)} utterances")
        versions = dict(engine.capabilities().versions) | {"heard": RULES}
        told[name] = {"versions": versions, "rows": rows}
    today = datetime.now(UTC).date().isoformat()
    kept = {"date": today, "voices": list(VOICES), "engines": told}
    lines = json.dumps(kept).replace('{"voice"', '\n{"voice"')
    KEPT.write_text(lines + "\n", encoding="utf-8")


def _rows(
    voice: str, said: Sequence[Utterance], found: Mapping[str, Sequence[Sequence[Spoken]]]
) -> Iterator[Json]:
    for kind in ("alone", "sentence"):
        its = [i for i, one in enumerate(said) if one.kind == kind]
        for source, all_of_it in found.items():
            yield {
                "voice": voice,
                "kind": kind,
                "source": source,
                "said": sum(len(said[i].words) for i in its),
                # [start, end] in ms of each word, a list for each utterance
                "errors_ms": [
                    [[round(1000 * s), round(1000 * e)] for _, s, e in all_of_it[i]] for i in its
                ],
            }


def figures(path: Path = KEPT) -> Json:
    """Of what was kept: medians and 95th percentiles with intervals, by engine, source and kind.

    The voice that constants were chosen on stands apart from the others.
    """
    kept = json.loads(path.read_text(encoding="utf-8"))
    return {
        "heard": kept["date"],
        "engines": {
            name: {"versions": told["versions"], "figures": list(_figures(told["rows"]))}
            for name, told in kept["engines"].items()
        },
    }


def _figures(rows: Sequence[Json]) -> Iterator[Json]:
    for voices, is_in in (("others", False), (TUNED, True)):
        for kind in ("alone", "sentence"):
            for source in (ENGINE, ENERGY):
                chosen = [
                    row
                    for row in rows
                    if (row["voice"] == TUNED) is is_in
                    and (row["kind"], row["source"]) == (kind, source)
                ]
                found = [each for row in chosen for each in row["errors_ms"] if each]
                yield {
                    "voices": voices,
                    "kind": kind,
                    "source": source,
                    "said": sum(row["said"] for row in chosen),
                    "n": sum(map(len, found)),
                    "starts": _worth([[s for s, _ in each] for each in found]),
                    "ends": _worth([[e for _, e in each] for each in found]),
                }


def _worth(groups: Sequence[Sequence[float]]) -> Json:
    """Of absolute errors in ms; utterances are drawn again as wholes for the intervals."""
    each = [np.abs(np.array(group, np.float64)) for group in groups]
    dice = np.random.default_rng(SEED)
    drawn = [
        np.percentile(np.concatenate([each[i] for i in dice.integers(0, len(each), len(each))]), at)
        for _ in range(RESAMPLES)
        for at in [(50, 95)]
    ]
    tails = [50 * (1 - LEVEL), 100 - 50 * (1 - LEVEL)]
    low, high = np.percentile(np.array(drawn), tails, axis=0).round(1)  # (2,) each
    medians = np.percentile(np.concatenate(each), (50, 95)).round(1)
    bias = float(np.median(np.concatenate([np.array(g, np.float64) for g in groups])))
    return {
        "median_ms": float(medians[0]),
        "median_between": [float(low[0]), float(high[0])],
        "p95_ms": float(medians[1]),
        "p95_between": [float(low[1]), float(high[1])],
        "bias_ms": bias,
    }


def met(figure: Json) -> bool:
    """Whether one row of `figures` reaches A2, starts and ends alike."""
    sides = (figure["starts"], figure["ends"])
    if figure["kind"] == "sentence":
        return all(side["median_ms"] <= SENTENCE_MEDIAN_MS for side in sides)
    return all(
        side["median_ms"] <= ALONE_MEDIAN_MS and side["p95_ms"] <= ALONE_P95_MS for side in sides
    )


def section(found: Json) -> str:
    """A2 as the page tells it."""
    lines = [
        "## A2: words in time",
        "",
        "flite prints when each of its phones ends; errors are in ms against that, starts and ends"
        " apart. Goal: words said alone, median at most 40 and 95th percentile at most 150; in"
        f" sentences, median at most 80. `{ENGINE}`: as the engine says; `{ENERGY}`: moved to"
        f" onsets and offsets near. Constants were chosen on one voice ({TUNED}), which stands"
        " apart. Only words heard right have an error; the engines' word errors are not in here."
        " An aligner was not measured: no weights of one were at hand.",
        "",
        "| engine | voices | said | times by | words | starts: median | 95 % | ends: median | 95 % "
        "| goal |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, told in found["engines"].items():
        lines += [_row(name, figure) for figure in told["figures"]]
    return "\n".join(lines) + "\n"


def _row(engine: str, of: Json) -> str:
    cells = [engine, of["voices"], of["kind"], of["source"], f"{of['n']} of {of['said']}"]
    for side in (of["starts"], of["ends"]):
        for name in ("median", "p95"):
            low, high = side[f"{name}_between"]
            cells.append(f"{side[f'{name}_ms']:.0f} ({low:.0f}–{high:.0f})")
    return f"| {' | '.join([*cells, 'met' if met(of) else 'missed'])} |"


if __name__ == "__main__":
    measure(sys.argv[1:] or ENGINES)
    print(section(figures()))
