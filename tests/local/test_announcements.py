"""What is announced reaches the function, at least once, whoever was killed meanwhile."""

import base64
import json
import threading

import pytest

from local import announcements
from local.announcements import MARK, MOST_TRIES, NOTED_EVERY, PAGE, AnnouncementEvents
from local.backlog import wait_s
from shared.adapters.embedded.local_publisher import LocalPublisher
from shared.adapters.embedded.posts import Posts
from shared.adapters.embedded.sqlite_bookmarks import SqliteBookmarks
from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_webhooks import SqliteWebhooks
from shared.domain.messages import announcement
from tests.builders import NOW, recording, webhook
from tests.local.receiver import PATIENCE_S, Receiver


@pytest.fixture
def db(tmp_path):
    return Database(tmp_path / "store.db")


@pytest.fixture
def hooked(db):
    SqliteWebhooks(db).add(webhook())
    return db


def announce(db, *numbers):
    told = [announcement(recording(n), "done", NOW, 3) for n in numbers]
    LocalPublisher(db, "http://127.0.0.1:9").publish(told)


class Function:
    """Confirms what it is handed, or not, as it was told; then everything."""

    def __init__(self, *confirms):
        self._confirms, self.got, self._lock = list(confirms), [], threading.Lock()

    def __call__(self, one):
        with self._lock:
            self.got.append(one.recording_id)
            return self._confirms.pop(0) if self._confirms else True


def ids(*numbers):
    return [recording(n).id for n in numbers]


def test_each_is_carried_once_and_the_mark_survives(hooked):
    first, second = Function(), Function()
    carrier = AnnouncementEvents(hooked, first)
    announce(hooked, 1, 2)
    carrier.step()
    announce(hooked, 3)

    assert AnnouncementEvents(hooked, second).step() == 0.0

    assert (sorted(first.got), second.got) == (ids(1, 2), ids(3))


def test_what_was_not_confirmed_is_carried_again_and_nothing_behind_it_is_forgotten(hooked):
    function = Function(False)
    carrier = AnnouncementEvents(hooked, function)
    announce(hooked, 1)

    rest_s = carrier.step()
    announce(hooked, 2)
    carrier.step()

    assert rest_s == wait_s(2)
    assert sorted(function.got) == ids(1, 1, 2)
    assert carrier.step() is None


class Refuses(Function):
    """Never confirms one of them."""

    def __call__(self, one):
        super().__call__(one)
        return one.recording_id != recording(1).id


def test_one_that_nobody_ever_confirms_does_not_stop_the_others(hooked):
    carrier = AnnouncementEvents(hooked, function := Refuses())
    announce(hooked, 1, 2)

    for _ in range(MOST_TRIES + 1):
        carrier.step()

    assert function.got.count(recording(1).id) == MOST_TRIES
    assert function.got[-1] == recording(2).id
    assert carrier.step() is None


class GoneOnce(Function):
    """The functions process is down at first."""

    def __call__(self, one):
        if not self.got:
            super().__call__(one)
            raise ConnectionRefusedError
        return super().__call__(one)


def test_a_function_that_does_not_answer_has_confirmed_nothing(hooked):
    carrier = AnnouncementEvents(hooked, function := GoneOnce())
    announce(hooked, 1)

    carrier.step()
    carrier.step()

    assert function.got == ids(1, 1)
    assert carrier.step() is None


def test_where_nobody_has_a_webhook_nothing_is_carried(db):
    function = Function()
    carrier = AnnouncementEvents(db, function)
    announce(db, 1)

    carrier.step()
    SqliteWebhooks(db).add(webhook())
    announce(db, 2)
    carrier.step()

    assert function.got == ids(2)


def test_what_is_passed_over_is_written_down_now_and_then(db):
    carrier, marks = AnnouncementEvents(db, Function()), set()
    announce(db, *range(NOTED_EVERY + 2 * PAGE))

    while carrier.step() is not None:
        marks.add(SqliteBookmarks(db).get(MARK))

    assert marks == {str(PAGE), str(NOTED_EVERY + PAGE)}


def test_a_home_without_a_mark_begins_with_what_comes(hooked):
    announce(hooked, 1)
    carrier = AnnouncementEvents(hooked, function := Function())
    announce(hooked, 2)

    carrier.step()

    assert function.got == ids(2)


def test_the_function_gets_the_message_in_the_envelope_of_pubsub(hooked):
    receiver = Receiver()
    posts = Posts(lambda: receiver.url, PATIENCE_S)
    carrier = AnnouncementEvents(hooked, announcements.announcement_push(posts, lambda: NOW))
    carrier.start()
    announce(hooked, 1)

    got = receiver.take()

    message = json.loads(got.body)["message"]
    sent = json.loads(base64.b64decode(message["data"]))
    assert got.path == "/on_announcement/"
    assert got.headers["ce-type"] == "google.cloud.pubsub.topic.v1.messagePublished"
    assert sent == announcement(recording(1), "done", NOW, 3).body
    carrier.stop()
    receiver.close()


def test_it_stops_while_the_function_is_slow(hooked):
    receiver = Receiver(hold=True)
    posts = Posts(lambda: receiver.url, PATIENCE_S)
    carrier = AnnouncementEvents(hooked, announcements.announcement_push(posts, lambda: NOW))
    carrier.start()
    announce(hooked, 1)
    receiver.take()

    carrier.ask_to_stop()
    posts.close()
    carrier.stop()

    assert SqliteBookmarks(hooked).get(MARK) == "0"
    receiver.release()
    receiver.close()
