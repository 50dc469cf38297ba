"""A store with its schema and nothing in it: copying one takes a fiftieth of making one."""

import tempfile
from functools import cache
from pathlib import Path

from shared.adapters.embedded.sqlite_database import Database
from shared.wiring.inventory import STORE


@cache
def _empty() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        db = Database(Path(folder) / STORE)
        db.close()  # the last one moves the log into the file
        return (Path(folder) / STORE).read_bytes()


def laid_out(home: Path) -> Path:
    """HOME with such a store, as its first start would make it; nothing where one is."""
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (home / STORE).exists():
        (home / STORE).write_bytes(_empty())
    return home
