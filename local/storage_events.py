"""Carries the finalized events of new uploads to the function that waits for them."""

import http.client
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue

from local.backlog import wait_s
from local.cloud_events import storage_finalized
from shared.adapters.embedded.posts import Posts
from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_uploads import PendingEvent, SqliteUploads
from shared.domain.recording import UploadedObject
from shared.errors import EarwitnessError
from shared.logs import say

log = logging.getLogger("earwitness.storage_events")

#: Seconds between two looks at the store's version number: too short to notice, and the whole
#: supervisor idles at 1 % of a core with it (measured over 20 s).
LOOK_EVERY_S = 0.02
#: Seconds to wait after the store did not answer.
STORE_REST_S = 1.0
#: Events on their way at once; the functions process has as many threads.
AT_ONCE = 8
#: Seconds an intake may take. Longer, and the event is delivered again, which is harmless.
TIMEOUT_S = 60.0
#: Delivered events wait for so many to be forgotten in one commit, or until nothing else is on its
#: way. Whatever is not forgotten when the process ends is delivered again.
FORGOTTEN_AT_ONCE = 8

#: Delivers one event; True confirms it.
Deliver = Callable[[UploadedObject], bool]


def upload_push(posts: Posts) -> Deliver:
    """POST to `on_audio_uploaded`; any 2xx confirms."""

    def deliver(upload: UploadedObject) -> bool:
        event = storage_finalized(upload)
        return 200 <= posts.send("/on_audio_uploaded/", event.headers, event.body) < 300

    return deliver


class StorageEvents:
    """Delivers each event at least once, until confirmed; they wait in the store meanwhile.

    Safe to kill: an event is forgotten only after its delivery was confirmed.
    """

    def __init__(
        self,
        uploads: SqliteUploads,
        db: Database,
        deliver: Deliver,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._uploads, self._db, self._deliver, self._monotonic = uploads, db, deliver, monotonic
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="storage-event")
        self._answers: SimpleQueue[tuple[PendingEvent, bool]] = SimpleQueue()
        self._flying: set[int] = set()  #: on their way, or delivered and not forgotten yet
        self._delivered: list[PendingEvent] = []
        self._failed: dict[int, tuple[int, float]] = {}  # id -> failures, not before
        self._hurried = threading.Event()
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="storage-events", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Deliver nothing more; what is on its way is not waited for."""
        self._stopped.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def look(self) -> None:
        """Look now: something was just uploaded."""
        self._wake.set()

    def hurry(self) -> None:
        """The function is back: try again what failed."""
        self._hurried.set()
        self._wake.set()

    def step(self) -> None:
        """Confirm what was delivered, then send what is due.

        Raises:
            StoreUnavailable, DiskFull: nothing is lost; step again.
        """
        self._settle()
        if self._hurried.is_set():
            self._hurried.clear()
            self._failed = {id: (failures, 0.0) for id, (failures, _) in self._failed.items()}
        due = self._due(self._monotonic())
        for pending in due:
            self._flying.add(pending.id)
            self._pool.submit(self._carry, pending)

    def _settle(self) -> None:
        while True:
            try:
                pending, confirmed = self._answers.get_nowait()
            except Empty:
                break
            if confirmed:
                self._delivered.append(pending)
            else:
                self._postpone(pending.id)
        if len(self._delivered) >= min(FORGOTTEN_AT_ONCE, len(self._flying)) > 0:
            self._forget()

    def _forget(self) -> None:
        """In one commit. If that fails they are delivered again, which intake takes in its
        stride."""
        sent, self._delivered = self._delivered, []
        try:
            self._uploads.event_sent(*sent)
        finally:
            for pending in sent:
                self._flying.discard(pending.id)
                self._failed.pop(pending.id, None)

    def _postpone(self, id: int) -> None:
        failures = self._failed.get(id, (0, 0.0))[0] + 1
        self._failed[id] = (failures, self._monotonic() + wait_s(failures))
        self._flying.discard(id)

    def _due(self, now_s: float) -> list[PendingEvent]:
        """Events to send now; those that wait for their next try never hide younger ones."""
        places = 4 * AT_ONCE - len(self._flying)
        if places <= 0:
            return []
        seen = self._uploads.events(len(self._flying) + len(self._failed) + places)
        ready = [e for e in seen if e.id not in self._flying and self._may(e.id, now_s)]
        return ready[:places]

    def _may(self, id: int, now_s: float) -> bool:
        return self._failed.get(id, (0, 0.0))[1] <= now_s

    def _carry(self, pending: PendingEvent) -> None:
        confirmed = False
        try:
            confirmed = self._deliver(pending.event)
        except (OSError, http.client.HTTPException) as error:
            log.debug("no answer to a storage event: %r", error)
        except Exception:  # `step` waits for an answer, whatever happened
            log.exception("a storage event could not be sent; it is tried again")
        self._answers.put((pending, confirmed))
        self._wake.set()

    def _run(self) -> None:
        version = -1
        while not self._stopped.is_set():
            try:
                now = self._db.data_version()
                if now != version or self._wake.is_set() or self._failed:
                    self._wake.clear()
                    self.step()
                version = now
                self._wake.wait(LOOK_EVERY_S)
            except EarwitnessError as error:
                say(log, error)
                self._stopped.wait(STORE_REST_S)
