"""Arguments of HCL misspelt, and whether `terraform validate` objects to each.

All are misspelt at once, and an objection counts only for the argument it is about: one that names
it, at its own line. As Terraform stops at what others depend on, those it objected to are put right
and the rest are tried again, until a round brings no objection any more.

Not looked at, for no argument is there: keys of objects. Terraform drops those that the type of a
module's variable does not have; the plan tests see what became of them.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.terraform.topologies import GIVEN, VARIANTS, Workshop

_TEMPLATE = r'\$\{(?:[^{}"]|"(?:[^"\\]|\\.)*"|\{[^{}]*\})*\}'
#: Source: HCL native syntax specification, "Lexical elements".
TOKEN = re.compile(
    r"(?P<rest>[#][^\n]*|//[^\n]*|/\*.*?\*/|[ \t\r]+)"
    r"|(?P<heredoc><<-?(?P<end>\w+)\n.*?\n[ \t]*(?P=end)\b)"
    rf'|(?P<string>"(?:\\.|{_TEMPLATE}|[^"\\])*")'
    r"|(?P<name>[A-Za-z_][\w-]*)"
    r"|(?P<sign>==|=>|\n|.)",
    re.DOTALL,
)
LOCALS = ("locals",)
#: What terraform complains of, as its JSON has it.
Objections = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Argument:
    """Where an argument is set, and in which block."""

    file: str
    line: int
    end: int  #: where its name ends in the file
    name: str
    block: tuple[str, ...]  #: from the outermost: resource, dynamic, content
    opened: int  #: the line where the innermost of them begins

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.name} in {' > '.join(self.block)}"


def argument(said: Mapping[str, Any]) -> Argument:
    """What was kept as JSON."""
    return Argument(**{**said, "block": tuple(said["block"])})


def arguments(file: str, text: str) -> Iterator[Argument]:
    """Every argument of the blocks in an HCL file, whatever its depth."""
    blocks: list[tuple[str, int]] = []
    header: list[str] = []  #: names and labels of a statement, until it is clear what it is
    named, depth, valued = 0, 0, False
    for kind, part, end in _tokens(text):
        if valued:
            depth += (part in "([{") - (part in ")]}") if kind == "sign" else 0
            if depth < 0:  # a block on one line ends with its last value
                blocks.pop()
            valued = depth > 0 or (depth == 0 and part != "\n")
            header, depth = ([], 0) if not valued else (header, depth)
        elif kind in ("name", "string"):
            named = end if not header else named
            header.append(part.strip('"'))
        elif part == "=":
            within, opened = tuple(block for block, _ in blocks), blocks[-1][1]
            yield Argument(file, _line(text, named), named, header[0], within, opened)
            valued = True
        elif part == "{":
            blocks.append((" ".join(header), _line(text, end)))
            header = []
        elif part == "}":
            blocks.pop()
            header = []


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    for found in TOKEN.finditer(text):
        kind = found.lastgroup or ""
        kind = "heredoc" if found["heredoc"] else kind
        if kind != "rest":
            yield kind, found.group(), found.end()


def of_folder(folder: Path) -> list[Argument]:
    """The arguments of all files of a configuration, in the order of the files."""
    files = sorted(p for p in folder.rglob("*.tf") if ".terraform" not in p.parts)
    named = ((p.relative_to(folder).as_posix(), p.read_text()) for p in files)
    return [argument for file, text in named for argument in arguments(file, text)]


def unseen(
    workshop: Workshop, tried: Sequence[Argument], asked: Callable[[Workshop], Objections]
) -> list[Argument]:
    """The arguments whose misspelling nobody objects to. Puts the workshop's files right again."""
    right = {a.file: (workshop.folder / a.file).read_text() for a in tried}
    # Locals by themselves: each is missed in many places, and saying so takes terraform long.
    left = [
        argument
        for of_locals in (False, True)
        for argument in _rounds(workshop, right, _among(tried, of_locals), asked)
    ]
    for file, text in right.items():
        (workshop.folder / file).write_text(text)
    return left


def _among(tried: Sequence[Argument], of_locals: bool) -> list[Argument]:
    return [a for a in tried if (a.block == LOCALS) is of_locals]


def _rounds(
    workshop: Workshop,
    right: Mapping[str, str],
    left: list[Argument],
    asked: Callable[[Workshop], Objections],
) -> list[Argument]:
    before = len(left) + 1
    while left and len(left) < before:
        for file, text in right.items():
            (workshop.folder / file).write_text(misspelt(text, left, file))
        said, before = _by_place(asked(workshop)), len(left)
        left = [a for a in left if not _objected(a, said)]
    return left


def misspelt(text: str, wrong: Iterable[Argument], file: str) -> str:
    """The text with the last letter of each name doubled, as hurried fingers do."""
    for end in sorted((a.end for a in wrong if a.file == file), reverse=True):
        text = text[:end] + text[end - 1] + text[end:]
    return text


def validate(workshop: Workshop) -> Objections:
    said: dict[str, Any] = json.loads(workshop.run("validate", "-json", check=False))
    return [one for one in said["diagnostics"] if one["severity"] == "error" and "range" in one]


def plan(workshop: Workshop) -> Objections:
    """With everything on, for what is only there then."""
    given = workshop.folder / "everything.tfvars.json"
    given.write_text(json.dumps({**GIVEN, **VARIANTS["everything"]}))
    printed = workshop.run("plan", "-json", f"-var-file={given}", check=False)
    said = (json.loads(line).get("diagnostic", {}) for line in printed.splitlines())
    return [one for one in said if "range" in one]


def _by_place(objections: Objections) -> dict[tuple[str, int], list[str]]:
    """What was said of each line of each file, and of a folder's locals, as its line 0."""
    said: dict[tuple[str, int], list[str]] = {}
    for one in objections:
        file, line = one["range"]["filename"], one["range"]["start"]["line"]
        said.setdefault((file, line), []).append(one["detail"])
        if "local value with the name" in one["detail"]:
            said.setdefault((str(Path(file).parent), 0), []).append(one["detail"])
    return said


def _objected(argument: Argument, said: Mapping[tuple[str, int], list[str]]) -> bool:
    """That its new name is unknown, at its line, or that its old one is missing, at its block's.

    A local is missed where it is read.
    """
    file, name = argument.file, argument.name
    if argument.block == LOCALS:
        missed = said.get((str(Path(file).parent), 0), [])
        return any(f'"{name}"' in detail for detail in missed)
    unknown = any(f'"{name}{name[-1]}"' in d for d in said.get((file, argument.line), []))
    required = said.get((file, argument.opened), [])
    return unknown or any(f'The argument "{name}" is required' in d for d in required)
