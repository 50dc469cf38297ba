"""Plans of exports, in the temporary place: folders of create-only files, gone after a day.

exports/{tenant}/{ulid}/asked/asked.json
exports/{tenant}/{ulid}/{number}/chapter.json
exports/{tenant}/{ulid}/index/index.json
"""

from collections.abc import Iterator
from dataclasses import dataclass

from shared.domain.exports import (
    Asked,
    Chapter,
    Index,
    asked_of,
    chapter_of,
    index_of,
    tenant_of,
    to_json,
)
from shared.domain.names import EXPORTS
from shared.errors import ExportOver, NotFound
from shared.ports import Results

_ASKED, _CHAPTER, _INDEX = "asked.json", "chapter.json", "index.json"


@dataclass(frozen=True, slots=True)
class ExportPlans:
    """`place` is where temporary files lie. What has been removed is an ExportOver."""

    place: Results

    def begin(self, asked: Asked) -> None:
        self.place.save(f"{_folder(asked.id)}/asked", {_ASKED: to_json(asked)})

    def asked(self, export_id: str) -> Asked | None:
        """None if it is over, or never was."""
        if tenant_of(export_id) is None:
            return None
        try:
            return asked_of(self.place.load(f"{_folder(export_id)}/asked", _ASKED))
        except NotFound:
            return None

    def add(self, asked: Asked, number: int, made: Chapter) -> None:
        """Keep a chapter; of several with one number the first stays."""
        self.place.save(_numbered(asked, number), {_CHAPTER: to_json(made)})

    def chapter(self, asked: Asked, number: int) -> Chapter:
        """Raises ExportOver: it is not there any more."""
        try:
            return chapter_of(self.place.load(_numbered(asked, number), _CHAPTER))
        except NotFound as error:
            raise ExportOver from error

    def last(self, asked: Asked) -> tuple[int, Chapter | None]:
        """How many chapters there are, and the last one. They have no gap: looked for by halves."""
        below, above = 0, 1
        while self._has(asked, above - 1):
            below, above = above, above * 2
        while above - below > 1:
            middle = (below + above) // 2
            below, above = (middle, above) if self._has(asked, middle - 1) else (below, middle)
        return below, self.chapter(asked, below - 1) if below else None

    def _has(self, asked: Asked, number: int) -> bool:
        return bool(self.place.names(_numbered(asked, number)))

    def chapters(self, asked: Asked) -> Iterator[Chapter]:
        """All of them, one at a time."""
        number, last = 0, False
        while not last:
            found = self.chapter(asked, number)
            yield found
            number, last = number + 1, found.last

    def finish(self, asked: Asked, index: Index) -> None:
        self.place.save(f"{_folder(asked.id)}/index", {_INDEX: to_json(index)})

    def index(self, asked: Asked) -> Index | None:
        """None while it is being planned."""
        try:
            return index_of(self.place.load(f"{_folder(asked.id)}/index", _INDEX))
        except NotFound:
            return None

    def end(self, export_id: str) -> None:
        """Forget one export; forgetting twice does nothing."""
        self.place.remove(_folder(export_id))

    def withdraw(self, tenant: str) -> None:
        """End all exports of a tenant, finished or not: something in them is to be erased."""
        self.place.remove(f"{EXPORTS}/{tenant}")


def _folder(export_id: str) -> str:
    """Of an id that `tenant_of` knows."""
    tenant = tenant_of(export_id)
    if tenant is None:
        raise ExportOver
    return f"{EXPORTS}/{tenant}/{export_id[len(tenant) + 1 :]}"


def _numbered(asked: Asked, number: int) -> str:
    return f"{_folder(asked.id)}/{number:06}"
