"""Implements `Results` in plain folders."""

import os
import shutil
from pathlib import Path
from uuid import uuid4

from shared.adapters.embedded.disk import full_disk_said
from shared.errors import NotFound


class FileResults:
    """`folder` is results/{tenant}/{id}/{token}: all of it safe characters, made by us."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._tmp = home / "tmp"

    def save(self, folder: str, files: dict[str, bytes]) -> None:
        """All files appear at once: a folder is written aside and renamed into place."""
        aside, place = self._tmp / f"result-{uuid4().hex}", self._home / folder
        try:
            with full_disk_said():
                aside.mkdir(parents=True)
                for name, content in files.items():
                    _write(aside / name, content)
                place.parent.mkdir(parents=True, exist_ok=True)
                _rename_unless_there(aside, place)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def load(self, folder: str, name: str) -> bytes:
        try:
            return (self._home / folder / name).read_bytes()
        except FileNotFoundError as error:
            raise NotFound("This recording has no such result.") from error


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _rename_unless_there(aside: Path, place: Path) -> None:
    try:
        aside.rename(place)
    except OSError:
        if not place.is_dir():
            raise
