"""A tenant with histories, actions and seals, for whoever tries to change them unseen."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from shared.adapters.embedded.file_seals import FileSeals
from shared.adapters.embedded.home_signer import HomeSigner
from shared.adapters.embedded.sqlite_actions import SqliteActions
from shared.adapters.embedded.sqlite_bookmarks import SqliteBookmarks
from shared.adapters.embedded.sqlite_chains import SqliteChains
from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_jobs import SqliteJobs
from shared.adapters.embedded.sqlite_recordings import SqliteRecordings
from shared.adapters.embedded.sqlite_rows import remember
from shared.adapters.embedded.sqlite_tenants import SqliteTenants
from shared.adapters.signatures import holds
from shared.domain.audit import SALT_BYTES, Action, acted
from shared.domain.lanes import Lane
from shared.domain.recording import Failure, Moved
from shared.domain.states import State
from shared.domain.tenants import Tier
from shared.flows.seal import Sealing
from shared.flows.verify import Report, Verify, trusting
from tests.builders import NOW, placed, recording


def action(number: int, tenant: str = "acme", about: str | None = "rec00001") -> Action:
    """The like of it, each with its own id and salt."""
    entropy = b"".join(bytes([part, number % 256]) * (SALT_BYTES // 2) for part in (1, 2))
    at, what = NOW + timedelta(seconds=number), ("GET", "/v1/recordings/{recording_id}")
    return acted(tenant, at, "key:abc", what, about, 200, entropy)


@dataclass(frozen=True)
class World:
    """The embedded parts that the audit needs, over one store."""

    db: Database
    home: Path

    def __post_init__(self) -> None:
        SqliteTenants(self.db).ensure("acme", Tier.FREE, NOW)

    @property
    def chains(self) -> SqliteChains:
        return SqliteChains(self.db)

    @property
    def seals(self) -> FileSeals:
        return FileSeals(self.home)

    @property
    def signer(self) -> HomeSigner:
        return HomeSigner(self.home / "keys")

    @property
    def actions(self) -> SqliteActions:
        return SqliteActions(self.db)

    def sealing(self) -> Sealing:
        bookmarks = SqliteBookmarks(self.db)
        return Sealing(self.chains, self.seals, self.signer, bookmarks, lambda: NOW)

    def verify(self, tenant: str = "acme") -> Report:
        signed = trusting({self.signer.key_id: self.signer.public_key()}, holds)
        tenants = SqliteTenants(self.db)
        return Verify(tenants, self.chains, self.actions, self.seals, signed)(tenant)

    def live(self, number: int) -> None:
        """A recording with five lines: it fails once, and waits for its second attempt."""
        SqliteRecordings(self.db).create_or_get(
            recording(number),
            lambda _: placed(start_tag=-number),  # the next lease is of this one
        )
        jobs, cause = SqliteJobs(self.db), Failure("model_down", "nobody is there")
        for _ in range(2):
            lease = jobs.lease_next([Lane.LOW], "worker", NOW, 60)
            assert lease is not None
            jobs.give_back(lease, cause, NOW, NOW)

    def erase(self, recording_id: str) -> None:
        """The tombstone of an erasure, without all that it is for."""
        with self.db.write() as db:
            line = Moved(State.ERASED, NOW, "cli", "asked")
            remember(db, recording_id, line, state=line.state.value, erased=1)

    def filled(self, recordings: int = 4, rounds: int = 3) -> "World":
        """So many recordings and twice as many actions, sealed in so many rounds."""
        sealing = self.sealing()
        for n in range(rounds):
            for k in range(recordings):
                number = n * recordings + k
                self.live(number)
                for a in (2 * number, 2 * number + 1):
                    self.actions.append(action(a, about=f"rec{number:05d}"))
            sealing.round(NOW + timedelta(minutes=n))
        return self


def world(home: Path) -> World:
    return World(Database(":memory:"), home)
