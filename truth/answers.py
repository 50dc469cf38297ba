"""What the engines said, as it is kept: one file an engine and part, one line a segment."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shared.domain.answers import Answer

FOLDER = Path(__file__).parent / "answers"
#: Digits after the point that a signal keeps.
DIGITS = 4


@dataclass(frozen=True, slots=True)
class Heard:
    """What one engine said of one segment."""

    id: str  #: of the planned segment
    key: str  #: of what its sound is made of
    text: str
    language: str | None
    signals: Mapping[str, float]

    @classmethod
    def of(cls, segment: str, key: str, answer: Answer) -> "Heard":
        signals = {name: round(value, DIGITS) for name, value in sorted(answer.signals.items())}
        return cls(segment, key, answer.text, answer.language, signals)


@dataclass(frozen=True, slots=True)
class Header:
    """Who gave the answers of a file; the date is told, not compared."""

    engine: str
    versions: Mapping[str, str]  #: `capabilities().versions` of the engine
    date: str = field(compare=False)


def read(path: Path) -> tuple[Header, dict[str, Heard]]:
    """A file's header, and its answers by segment. A last line cut by a crash is left out.

    Raises:
        FileNotFoundError: nothing was kept yet.
    """
    first, *lines = path.read_text(encoding="utf-8").split("\n")
    about = json.loads(first)
    names = about.pop("signals")
    # What follows the last line break was not written whole.
    found = (_heard(json.loads(line), names) for line in lines[:-1])
    return Header(**about), {heard.id: heard for heard in found}


def write(path: Path, header: Header, heard: Iterable[Heard]) -> None:
    """The whole file, by one rename. Safe to repeat."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = list(heard)
    names = sorted({name for one in kept for name in one.signals})
    about = {**_about(header), "signals": names}
    lines = [_line(about), *(_line(_kept(one, names)) for one in kept)]
    part = path.with_suffix(".part")
    part.write_text("".join(lines), encoding="utf-8")
    part.replace(path)


def _about(header: Header) -> dict[str, object]:
    return {
        "engine": header.engine,
        "versions": dict(header.versions),
        "date": header.date,
    }


def _kept(one: Heard, names: list[str]) -> list[object]:
    return [one.id, one.key, one.text, one.language, [one.signals.get(name) for name in names]]


def _heard(kept: tuple[str, str, str, str | None, list[float | None]], names: list[str]) -> Heard:
    segment, key, text, language, values = kept
    known = {name: v for name, v in zip(names, values, strict=True) if v is not None}
    return Heard(segment, key, text, language, known)


def _line(what: object) -> str:
    return json.dumps(what, ensure_ascii=False, separators=(",", ":")) + "\n"
