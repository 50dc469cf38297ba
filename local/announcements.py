"""Carries what is announced to the function that tells webhooks, as Pub/Sub does in the cloud."""

import base64
import http.client
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import takewhile

from local.backlog import wait_s
from local.broker import event_push
from local.cloud_events import PubsubMessage, rfc3339
from shared.adapters.embedded.posts import Posts
from shared.adapters.embedded.sqlite_announcements import Announced, SqliteAnnouncements
from shared.adapters.embedded.sqlite_bookmarks import SqliteBookmarks
from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_webhooks import SqliteWebhooks
from shared.domain.recording import Topic
from shared.errors import EarwitnessError
from shared.logs import say
from shared.ports import Clock

log = logging.getLogger("earwitness.announcements")

#: The function they are carried to.
FUNCTION = "on_announcement"
#: The bookmark of the last one that was carried.
MARK = "announcements/carried"
#: Seconds between two looks at the store's version number, and after it did not answer.
LOOK_EVERY_S, REST_S = 0.1, 1.0
#: On their way at once: each may wait 20 s for somebody else's server, and the functions process
#: has threads for so many (`local.child`).
AT_ONCE = 4
#: Read at a time.
PAGE = 100
#: As the platform's policy has it (DESIGN section 4): after so many tries one is given up.
MOST_TRIES = 100
#: Announcements passed over while there is no webhook, before that is written down.
NOTED_EVERY = 1_000

#: Delivers one; True confirms it.
Deliver = Callable[[Announced], bool]


def announcement_push(posts: Posts, now: Clock) -> Deliver:
    """POST to `on_announcement` in the envelope of Pub/Sub; any 2xx confirms."""
    push = event_push(posts, Topic.EVENTS, FUNCTION)

    def deliver(one: Announced) -> bool:
        data = base64.b64encode(one.body.encode()).decode()
        return push(PubsubMessage(f"announced-{one.seq}", data, {}, rfc3339(now())))

    return deliver


class AnnouncementEvents:
    """Delivers each at least once and in about their order; they wait in the store meanwhile.

    Safe to kill: the mark moves after a delivery was confirmed. A HOME that has never had a mark
    begins with what is announced from now on. Where nobody has a webhook nothing is carried: the
    function would find nobody to tell.
    """

    def __init__(self, db: Database, deliver: Deliver) -> None:
        self._db, self._deliver = db, deliver
        self._announcements, self._webhooks = SqliteAnnouncements(db), SqliteWebhooks(db)
        self._bookmarks = SqliteBookmarks(db)
        self._noted = self._bookmarks.get(MARK)
        self._seen = int(self._noted) if self._noted else self._announcements.last()
        self._tries = 0
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="announcement")
        self._wake, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="announcements", daemon=True)

    def start(self) -> None:
        if self._noted is None:
            self._note()  # what is announced and not carried yet is found again after a kill
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Begin nothing more."""
        self._stopped.set()
        self._wake.set()

    def stop(self) -> None:
        """Returns once what is on its way has ended, or whoever closed its posts has ended it; it
        is carried again at the next start."""
        self.ask_to_stop()
        if self._thread.is_alive():
            self._thread.join()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def hurry(self) -> None:
        """The function is back: try again at once."""
        self._wake.set()

    def step(self) -> float | None:
        """Carry a page; returns the seconds to wait before the next, or None if there was nothing.

        Raises:
            StoreUnavailable, DiskFull: nothing is lost; step again.
        """
        found = self._announcements.after(self._seen, PAGE)
        if not found:
            return None
        if not self._webhooks.all():
            self._pass_over(found)
            return 0.0
        return self._carry(found)

    def _pass_over(self, found: Sequence[Announced]) -> None:
        self._seen, self._tries = found[-1].seq, 0
        if self._noted is None or self._seen - int(self._noted) >= NOTED_EVERY:
            self._note()

    def _carry(self, found: Sequence[Announced]) -> float:
        confirmed = 0
        for begun in range(0, len(found), AT_ONCE):
            some = found[begun : begun + AT_ONCE]
            went = sum(1 for _ in takewhile(bool, self._pool.map(self._confirmed, some)))
            confirmed += went
            if went < len(some) or self._stopped.is_set():
                break
        self._tries = 0 if confirmed else self._tries + 1
        if self._tries >= MOST_TRIES:
            log.warning("an announcement was given up after %d deliveries", MOST_TRIES)
            confirmed, self._tries = 1, 0
        if confirmed:
            self._seen = found[confirmed - 1].seq
            self._note()
        return 0.0 if confirmed == len(found) else wait_s(self._tries + 1)

    def _confirmed(self, one: Announced) -> bool:
        try:
            return self._deliver(one)
        except (OSError, http.client.HTTPException) as error:
            log.debug("no answer to an announcement: %r", error)
            return False

    def _note(self) -> None:
        self._bookmarks.move(MARK, self._noted, str(self._seen))
        self._noted = str(self._seen)

    def _run(self) -> None:
        version, rest_s = -1, None
        while not self._stopped.is_set():
            try:
                now = self._db.data_version()
                if now != version or rest_s is not None:
                    rest_s = self.step()
                version = now
                self._wake.wait(LOOK_EVERY_S if rest_s is None else rest_s)
                self._wake.clear()
            except EarwitnessError as error:
                say(log, error)
                self._stopped.wait(REST_S)
