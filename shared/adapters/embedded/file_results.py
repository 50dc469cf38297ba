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
        renamed = False
        try:
            with full_disk_said():
                aside.mkdir(parents=True)
                for name, content in files.items():
                    _write(f"{aside}/{name}", content)
                place.parent.mkdir(parents=True, exist_ok=True)
                renamed = _rename_unless_there(aside, place)
        finally:
            if not renamed:
                shutil.rmtree(aside, ignore_errors=True)

    def load(self, folder: str, name: str) -> bytes:
        try:
            return (self._home / folder / name).read_bytes()
        except FileNotFoundError as error:
            raise NotFound("This recording has no such result.") from error


def _write(path: str, content: bytes) -> None:
    with open(path, "xb") as file:  # noqa: PTH123  # five a recording, and pathlib is slow
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _rename_unless_there(aside: Path, place: Path) -> bool:
    try:
        aside.rename(place)
    except OSError:
        if not place.is_dir():
            raise
        return False
    return True
