"""Rows of slices, of a day's money and of its sound."""

from collections.abc import Iterable
from sqlite3 import Connection, Row

from shared.adapters.embedded.sqlite_database import from_us, to_us
from shared.domain.slices import Slice

#: A tenant and a UTC day, ISO.
Day = tuple[str, str]
#: Whose slices a table holds.
MONEY, SOUND = "slices", "sound_slices"


def slices(db: Connection, table: str, day: Day) -> list[Slice]:
    rows = db.execute(f"SELECT * FROM {table} WHERE tenant = ? AND day = ?", day)  # noqa: S608
    return [one(row) for row in rows]


def one(row: Row) -> Slice:
    return Slice(row["holder"], from_us(row["until_us"]), row["granted"], row["spent"])


def keep(db: Connection, table: str, day: Day, changed: Iterable[Slice]) -> None:
    db.executemany(
        f"INSERT OR REPLACE INTO {table} (tenant, day, holder, granted, spent, until_us)"  # noqa: S608
        " VALUES (?, ?, ?, ?, ?, ?)",
        [(*day, s.holder, s.granted, s.spent, to_us(s.until)) for s in changed],
    )
