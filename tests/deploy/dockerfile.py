"""A Dockerfile taken apart: stages, and the instructions of each."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"


@dataclass
class Stage:
    base: str
    name: str
    said: list[tuple[str, str]] = field(default_factory=list)  #: (INSTRUCTION, the rest)

    def all(self, word: str) -> list[str]:
        return [rest for instruction, rest in self.said if instruction == word]


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """(INSTRUCTION, the rest), lines that are continued joined."""
    bare = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n\s*", "", bare).splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word.upper(), rest.strip()


def stages(text: str) -> tuple[list[str], dict[str, Stage]]:
    """What is said before the first stage, and the stages by name, in their order."""
    before: list[str] = []
    found: dict[str, Stage] = {}
    stage: Stage | None = None
    for word, rest in instructions(text):
        if word == "FROM":
            base, _, name = re.split(r"\s+", rest)
            stage = found[name] = Stage(base, name)
        elif stage is None:
            before.append(f"{word} {rest}")
        else:
            stage.said.append((word, rest))
    return before, found


def line_of(found: dict[str, Stage], name: str) -> list[Stage]:
    """The stage and what it stands on, the lowest first."""
    stage = found[name]
    return [*(line_of(found, stage.base) if stage.base in found else []), stage]


def words(rest: str) -> list[str]:
    """Of an instruction in exec form."""
    listed = json.loads(rest)
    assert isinstance(listed, list)
    return [str(word) for word in listed]


def copied(stage: Stage) -> Iterator[tuple[str, str]]:
    """(from, to) of what comes out of the checkout."""
    for rest in stage.all("COPY"):
        *sources, target = rest.split()
        if not rest.startswith("--from="):
            yield from ((source, target) for source in sources)
