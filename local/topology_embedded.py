"""One machine's own parts: a broker in memory, everything else in one SQLite file."""

from collections.abc import Callable, Mapping

from local.announcements import AnnouncementEvents, announcement_push
from local.broker import PUSH_TIMEOUT_S, Broker, Subscription, event_push, ticket_push
from local.herald import News, Unread
from local.inbox import SeenDrops
from local.push_keys import PushKeys
from local.storage_events import TIMEOUT_S, StorageEvents, upload_push
from local.ticks import TOPIC as TICKS
from local.ticks import Ticks, into_broker, listeners, topic_of
from local.topology import FUNCTIONS, SERVICE, Ports, url
from shared.adapters.embedded.posts import Posts
from shared.adapters.embedded.sqlite_announcements import SqliteAnnouncements
from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_uploads import SqliteUploads
from shared.domain.recording import Topic
from shared.settings import Settings
from shared.wiring import STORE, Parts, clock, parts

LANES = (Topic.LANE_HIGH, Topic.LANE_LOW)


class Embedded:
    """Implements `Topology`."""

    def __init__(self, settings: Settings, keys: PushKeys, ports: Callable[[], Ports]) -> None:
        """`ports`: of the processes; they may move until all answer.

        Raises:
            InvalidSettings, StoreUnavailable, DiskFull: nothing was started.
        """
        self.parts: Parts = parts(settings)
        self._db = Database(settings.home / STORE)
        self.seen = SeenDrops(self._db)
        self._ticket_posts = Posts(lambda: url(ports().service), PUSH_TIMEOUT_S)
        self._event_posts = Posts(lambda: url(ports().functions), TIMEOUT_S)
        self._broker = Broker(self._subscriptions(settings.slots, keys), clock)
        self._events = StorageEvents(
            SqliteUploads(self._db, settings.home), self._db, upload_push(self._event_posts)
        )
        self._announced = AnnouncementEvents(self._db, announcement_push(self._event_posts, clock))
        self._ticks = Ticks(into_broker(self._broker, listeners()))

    @property
    def broker(self) -> str:
        return self._broker.url

    def open(self) -> None:
        self._broker.start()

    def variables(self) -> Mapping[str, str]:
        return {"EARWITNESS_BACKEND": "embedded", "EARWITNESS_BROKER_URL": self.broker}

    def carry(self) -> None:
        self._events.start()
        self._announced.start()
        self._ticks.start()

    def news(self) -> News:
        return Unread(SqliteAnnouncements(self._db))

    def uploaded(self) -> None:
        self._events.look()

    def back(self, name: str) -> None:
        if name == SERVICE:
            self._broker.hurry(*(lane.value for lane in LANES))
        if name == FUNCTIONS:
            self._broker.hurry(Topic.JOBS_DEAD.value, *map(topic_of, listeners()))
            self._events.hurry()
            self._announced.hurry()

    def halt(self) -> None:
        self._ticks.stop()
        self._announced.ask_to_stop()
        self._events.stop()
        self._broker.stop()
        self._ticket_posts.close()
        self._event_posts.close()
        self._announced.stop()

    def close(self) -> None:
        """Everything stays where it is."""

    def _subscriptions(self, slots: int, keys: PushKeys) -> dict[str, Subscription]:
        lanes = {
            lane.value: Subscription(ticket_push(self._ticket_posts, keys, lane), slots)
            for lane in LANES
        }
        dead = event_push(self._event_posts, Topic.JOBS_DEAD, "on_job_dead")
        ticks = {
            topic_of(name): Subscription(event_push(self._event_posts, TICKS, name), 1)
            for name in listeners()
        }
        return lanes | ticks | {Topic.JOBS_DEAD.value: Subscription(dead, 1)}
