"""Profiles as people write them, in YAML or JSON: what is wrong is told with line and column."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import yaml
from pydantic import JsonValue

from shared.domain.profile_rules import Deployed, Place, Problem, read
from shared.domain.profiles import Profile
from shared.errors import InvalidProfile

#: Bytes; a profile that says everything has 2,000.
MAX_BYTES = 64_000
#: Levels of mappings and lists; a profile has five. PyYAML composes recursively.
MAX_DEPTH = 20
#: JSON is read by the same reader, which takes no tab for an indent; no string of JSON holds one.
_TABS = str.maketrans("\t", " ")
_SCALARS = ("null", "bool", "int", "float")


class _At(Protocol):
    """A mark of PyYAML, counted from 0; its C parser has a class of its own."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in a file, counted from 1 as editors do."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Page:
    """What a file says, and where it says it."""

    document: JsonValue
    marks: dict[Place, Mark]  #: a key's where it has one, an item's else
    said_twice: list[Problem] = field(default_factory=list)

    def mark(self, place: Place) -> Mark:
        """Of what stands there; where nothing does, of what it would stand in."""
        while place not in self.marks:
            place = place[:-1]
        return self.marks[place]


def profile_in(path: Path, deployed: Deployed) -> Profile:
    """The profile of a file.

    Raises:
        InvalidProfile: each problem is a line of the message, `FILE:LINE:COLUMN: what`, in the
            order of the file. Repeating will not help.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidProfile(f"{path} cannot be read: {error.strerror}.") from error
    page = _page(path, content)
    profile, problems = read(page.document, deployed)
    found = sorted((page.mark(p.place), p.message) for p in [*page.said_twice, *problems])
    if profile is None or found:
        raise _invalid([_line(path, mark, message) for mark, message in found])
    return profile


def _page(path: Path, content: bytes) -> Page:
    if len(content) > MAX_BYTES:
        raise _invalid([_line(path, Mark(1, 1), f"A profile has at most {MAX_BYTES:,} bytes.")])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = Mark(content.count(b"\n", 0, error.start) + 1, 1)
        raise _invalid([_line(path, at, "This is no UTF-8.")]) from error
    if path.suffix == ".json":
        text = text.translate(_TABS)
    try:
        _plain(path, text)
        return _read(yaml.compose(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        at = _mark(error.problem_mark) if error.problem_mark else Mark(1, 1)
        raise _invalid([_line(path, at, f"{error.problem or 'This is no YAML'}.")]) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        told = "A character that no YAML holds."
        raise _invalid([_line(path, Mark(line, 1), told)]) from error


def _plain(path: Path, text: str) -> None:
    """Refuse what makes small files large, before anything is built of it.

    Raises:
        InvalidProfile: an alias, or more levels than any profile has.
    """
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        at = _mark(event.start_mark) if event.start_mark else Mark(1, 1)
        if isinstance(event, yaml.AliasEvent):
            told = "Anchors and aliases are not read here; write it out."
            raise _invalid([_line(path, at, told)])
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _invalid([_line(path, at, f"There are more than {MAX_DEPTH} levels.")])


def _read(top: yaml.Node | None) -> Page:
    marks: dict[Place, Mark] = {(): _mark(top.start_mark) if top else Mark(1, 1)}
    twice = list[Problem]()
    value = _value(top, (), marks, twice) if top else None
    return Page(value, marks, twice)


def _value(
    node: yaml.Node, place: Place, marks: dict[Place, Mark], twice: list[Problem]
) -> JsonValue:
    """What the node says in JSON's words, noting where each part stands."""
    if isinstance(node, yaml.MappingNode):
        found: dict[str, JsonValue] = {}
        for key, value in node.value:
            name = str(key.value)
            inside = (*place, name)
            if name in found:
                marks[inside] = _mark(key.start_mark)
                twice.append(Problem(inside, f"`{name}` stands here twice."))
            marks.setdefault(inside, _mark(key.start_mark))
            found[name] = _value(value, inside, marks, twice)
        return found
    if isinstance(node, yaml.SequenceNode):
        return list(_items(node.value, place, marks, twice))
    return _scalar(node)


def _items(
    nodes: Sequence[yaml.Node], place: Place, marks: dict[Place, Mark], twice: list[Problem]
) -> Iterator[JsonValue]:
    for n, node in enumerate(nodes):
        marks[*place, n] = _mark(node.start_mark)
        yield _value(node, (*place, n), marks, twice)


def _scalar(node: yaml.Node) -> JsonValue:
    """Dates and the like are text: a profile has none."""
    if node.tag.rpartition(":")[2] not in _SCALARS:
        return str(node.value)
    value: JsonValue = yaml.SafeLoader("").construct_object(node)
    return value


def _mark(mark: _At) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)


def _line(path: Path, mark: Mark, message: str) -> str:
    return f"{path.name}:{mark.line}:{mark.column}: {message}"


def _invalid(lines: Sequence[str]) -> InvalidProfile:
    return InvalidProfile("\n".join(lines), problems=len(lines))
