"""One house that retires: the real flows on an in-memory store, its clocks in a test's hand."""

import io
import os
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from shared.adapters.embedded.file_leftovers import FileLeftovers
from shared.adapters.embedded.file_results import FileResults
from shared.adapters.embedded.file_sweeper import FileSweeper
from shared.adapters.embedded.home_signer import HomeSigner
from shared.adapters.embedded.local_publisher import LocalPublisher
from shared.adapters.embedded.sqlite_bookmarks import SqliteBookmarks
from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_erasures import SqliteErasures
from shared.adapters.embedded.sqlite_outbox import SqliteOutbox
from shared.adapters.embedded.sqlite_recordings import SqliteRecordings
from shared.adapters.embedded.sqlite_retention import SqliteRetention
from shared.adapters.embedded.sqlite_tenants import SqliteTenants
from shared.adapters.embedded.sqlite_uploads import BUCKET, SqliteUploads
from shared.domain.names import recording_id
from shared.domain.recording import Recording
from shared.domain.retention import settled
from shared.domain.tenants import Tenant, Tier
from shared.domain.timekeeping import Times, Uptime
from shared.errors import StoreUnavailable
from shared.flows.erase import Erase
from shared.flows.keep import Keep
from shared.flows.retire import Due, Retire
from shared.flows.shelves import Shelves
from tests.builders import NOW, placed, recording


class Dying(SqliteRetention):
    """Counts what it settles; the process dies after so many."""

    def __init__(self, db: Database, up: Callable[[], Uptime]) -> None:
        super().__init__(db, up)
        self.settled, self.dies_after = 0, float("inf")

    def settle(self, *args: Any) -> Recording | None:
        if self.dies_after <= 0:
            raise StoreUnavailable
        self.dies_after -= 1
        self.settled += 1
        return super().settle(*args)


class Failing(Erase):
    """Some recordings cannot be erased just now."""

    failing: Collection[str] = ()

    def expire(self, known: str, now: datetime) -> Any:
        if known in type(self).failing:
            raise StoreUnavailable
        return super().expire(known, now)


class Trouble:
    """Lets some calls of any port through; at the next, something happens."""

    def __init__(self) -> None:
        self.left, self.then = -1, nothing

    def comes(self, after: int, then: Callable[[], None]) -> None:
        self.left, self.then = after, then

    def over(self) -> None:
        self.left, self.then = -1, nothing

    def met(self, call: Callable[..., Any], *args: Any, **more: Any) -> Any:
        if self.left == 0:
            self.then()
        self.left -= self.left > 0
        return call(*args, **more)


def nothing() -> None:
    pass


def killed() -> None:
    """From here on this process does nothing any more."""
    raise StoreUnavailable


class Troubled:
    """A port whose calls may meet trouble."""

    def __init__(self, port: Any, trouble: Trouble) -> None:
        self._port, self._trouble = port, trouble

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not callable(found):
            return found
        return lambda *args, **more: self._trouble.met(found, *args, **more)


class Retiring:
    """Clocks: what a tick is told, and the machine's uptime, which goes along unless a test
    says otherwise."""

    def __init__(self, db: Database, home: Path) -> None:
        self._db, self._home = db, home
        self.at, self.up, self.outbox = NOW, 0.0, SqliteOutbox(db)
        self.boot = "first"
        self._names: dict[str, str] = {}
        self.tenants, self.recordings = SqliteTenants(db), SqliteRecordings(db)
        self.uploads = SqliteUploads(db, home)
        self.retention = Dying(db, lambda: Uptime(self.boot, self.up))
        self.trouble = Trouble()

        def port(made: Any) -> Any:
            return Troubled(made, self.trouble)

        erasures = port(SqliteErasures(db))
        self.erase = Failing(
            recordings=port(self.recordings),
            uploads=port(self.uploads),
            results=port(FileResults(home)),
            temporary=FileResults(home / "tmp"),
            leftovers=FileLeftovers(home, self.uploads.clear),
            erasures=erasures,
            retention=self.retention,
            signer=HomeSigner(home / "keys"),
            processors={},
        )
        bookmarks = port(SqliteBookmarks(db))
        self.shelves = Shelves(
            retention=port(self.retention),
            recordings=port(self.recordings),
            uploads=port(self.uploads),
            bookmarks=bookmarks,
            publisher=LocalPublisher(db, "http://127.0.0.1:9"),
            after_days=30,
        )
        self.retire = Retire(
            self.tenants,
            port(self.retention),
            bookmarks,
            self.erase,
            erasures,
            FileSweeper(home, self.uploads.clear),
            self.shelves,
            lambda: self.at,
        )
        self.keep = Keep(self.tenants, self.retention, self.uploads, lambda: self.at)
        self.tenants.ensure("acme", Tier.FREE, NOW)

    @property
    def settled(self) -> int:
        return self.retention.settled

    def hears(self, number: int = 1, **changes: Any) -> str:
        """A recording with its object, as intake leaves it."""
        name = f"uploads/acme/{number}.wav"
        fields: dict[str, Any] = {"uploaded_at": NOW, "id": recording_id(BUCKET, name, 1)} | changes
        draft = recording(number, **fields)
        whose = self.tenants.get(draft.tenant) or Tenant(draft.tenant, Tier.FREE, NOW)
        if "kept_until" not in changes:
            early = Times.exactly(datetime.min.replace(tzinfo=NOW.tzinfo, year=2000))
            draft = recording(
                number, **fields | {"kept_until": settled(draft, whose.rules, early).kept_until}
            )
        content = io.BytesIO(draft.id.encode())
        self.uploads.put(draft.name, content, content_type="audio/wav", metadata={}, at=NOW)
        self.recordings.create_or_get(draft, lambda _: placed())
        self._names[draft.id] = draft.name
        return draft.id

    def keeps(self, tenant: Tenant) -> None:
        self.tenants.put(tenant)

    def ticks(
        self,
        at: datetime,
        *,
        up: float | None = None,
        killed_after: float = float("inf"),
        failing: Collection[str] = (),
    ) -> Mapping[str, int]:
        self._turn(at, up)
        self.retention.dies_after, Failing.failing = killed_after, failing
        try:
            return self.retire()
        finally:
            self.retention.dies_after, Failing.failing = float("inf"), ()

    def _turn(self, at: datetime, up: float | None) -> None:
        self.up = max(self.up, (at - NOW).total_seconds()) if up is None else up
        self.at = at

    def plans(self, at: datetime, *, up: float | None = None) -> Due:
        self._turn(at, up)
        return self.retire.plan()

    def holds(self, known: str) -> None:
        self.keep.hold(self.stored(known), "a lawsuit", "cli")

    def releases(self, known: str) -> None:
        self.keep.release(self.stored(known), "cli")

    def sweeps(self, files: Mapping[str, datetime]) -> None:
        for name, written in files.items():
            path = self._home / "tmp" / name
            path.write_text("x")
            os.utime(path, (written.timestamp(), written.timestamp()))

    def stored(self, known: str) -> Recording:
        found = self.recordings.get(known)
        assert found is not None
        return found

    def is_there(self, known: str) -> bool:
        """Whether its sound is."""
        with self._db.read() as db:
            found = db.execute(
                "SELECT count(*) FROM objects WHERE name = ?", (self._names[known],)
            ).fetchone()
        return bool(found[0])

    def announced(self, known: str) -> list[tuple[str, datetime]]:
        """What the outbox says of it: what, and when."""
        said = [m.body for m in self.outbox.pending(known)]
        told = [one for one in said if "type" in one]
        return [(str(one["type"]), datetime.fromisoformat(str(one["at"]))) for one in told]

    def times_announced(self, known: str) -> int:
        return sum(what == "recording.expiring" for what, _ in self.announced(known))

    def unsettled(self) -> list[str]:
        return [one.id for one in self.retention.unsettled()]

    def forgets_whose_rules_changed(self) -> None:
        with self._db.write() as db:
            db.execute("UPDATE tenants SET resettle = 0")
