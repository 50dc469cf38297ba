"""Every finalized event reaches its function at least once, however often that fails."""

import io
import threading
from dataclasses import replace

import pytest
from cloudevents.http import from_http

from functions.events import uploaded_object
from local.storage_events import AT_ONCE, FORGOTTEN_AT_ONCE, StorageEvents, upload_push
from shared.adapters.embedded.posts import Posts
from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_uploads import SqliteUploads
from tests.builders import NOW
from tests.local.receiver import PATIENCE_S, Receiver


class Function:
    """Stands where `on_audio_uploaded` is: confirms or fails as told, and counts."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.got = []
        self.called = threading.Semaphore(0)

    def __call__(self, upload):
        self.got.append(upload.name)
        answer = self.answers.pop(0) if self.answers else True
        self.called.release()
        if isinstance(answer, Exception):
            raise answer
        return answer


class Clockwork:
    now_s = 0.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def db(tmp_path):
    return Database(tmp_path / "store.db")


@pytest.fixture
def uploads(db, tmp_path):
    return SqliteUploads(db, tmp_path)


@pytest.fixture
def carriers(uploads, db):
    made = []

    def make(deliver, clock=None):
        carrier = StorageEvents(uploads, db, deliver, clock or Clockwork())
        made.append(carrier)
        return carrier

    yield make
    for carrier in made:
        carrier.stop()


def put(uploads, *names):
    for name in names:
        uploads.put(
            f"uploads/acme/{name}", io.BytesIO(b"x"), content_type="audio/wav", metadata={}, at=NOW
        )


def until(condition, step):
    """Step until the condition holds; deliveries happen on other threads."""
    give_up = threading.Event()
    for _ in range(int(PATIENCE_S * 1000)):
        step()
        if condition():
            return
        give_up.wait(0.001)
    raise AssertionError("it never happened")


def test_delivered_event_is_forgotten_and_comes_once(carriers, uploads):
    put(uploads, "a.wav")
    function = Function()
    carrier = carriers(function)

    until(lambda: not uploads.events(), carrier.step)
    carrier.step()

    assert function.got == ["uploads/acme/a.wav"]


@pytest.mark.parametrize(
    "answer",
    [False, ConnectionRefusedError(), ZeroDivisionError()],
    ids=["5xx", "no answer", "a bug"],
)
def test_failed_event_stays_and_comes_again_after_its_wait(carriers, uploads, answer):
    put(uploads, "a.wav")
    function, clock = Function(answer), Clockwork()
    carrier = carriers(function, clock)
    carrier.step()
    assert function.called.acquire(timeout=PATIENCE_S)

    until(lambda: carrier._failed, carrier.step)  # the answer has been read
    clock.now_s = 0.199
    carrier.step()
    assert len(function.got) == 1
    assert uploads.events()

    clock.now_s = 0.2
    until(lambda: not uploads.events(), carrier.step)
    assert len(function.got) == 2


def test_hurry_ends_the_wait(carriers, uploads):
    put(uploads, "a.wav")
    function = Function(False)
    carrier = carriers(function)
    until(lambda: carrier._failed, carrier.step)

    carrier.hurry()

    until(lambda: not uploads.events(), carrier.step)


def test_failing_events_hide_no_younger_one(carriers, uploads):
    put(uploads, *(f"bad{n}.wav" for n in range(5 * AT_ONCE)))
    function = Function()
    carrier = carriers(lambda u: False if "bad" in u.name else function(u))
    until(lambda: len(carrier._failed) == 5 * AT_ONCE, carrier.step)

    put(uploads, "good.wav")

    until(lambda: function.got == ["uploads/acme/good.wav"], carrier.step)


def test_event_is_sent_once_while_its_answer_is_awaited(carriers, uploads):
    put(uploads, "a.wav")
    answer, function = threading.Event(), Function()

    def slow(upload):
        function(upload)
        return answer.wait(PATIENCE_S)

    carrier = carriers(slow)
    carrier.step()
    assert function.called.acquire(timeout=PATIENCE_S)
    for _ in range(5):
        carrier.step()
    answer.set()

    until(lambda: not uploads.events(), carrier.step)
    assert len(function.got) == 1


def test_delivered_events_are_forgotten_together_but_wait_for_no_more_than_a_few(carriers, uploads):
    answer = threading.Event()
    carrier = carriers(lambda u: answer.wait(PATIENCE_S) if "slow" in u.name else True)
    put(uploads, "slow.wav", *(f"{n}.wav" for n in range(FORGOTTEN_AT_ONCE - 1)))
    until(lambda: len(carrier._delivered) == FORGOTTEN_AT_ONCE - 1, carrier.step)
    assert len(uploads.events()) == FORGOTTEN_AT_ONCE

    put(uploads, "more.wav")
    until(lambda: len(uploads.events()) == 1, carrier.step)

    answer.set()
    until(lambda: not uploads.events(), carrier.step)


def test_started_it_notices_uploads_of_other_connections(carriers, uploads, tmp_path):
    function = Function()
    carriers(function).start()

    put(SqliteUploads(Database(tmp_path / "store.db"), tmp_path), "a.wav")

    assert function.called.acquire(timeout=PATIENCE_S)


def test_undelivered_event_survives_a_restart(carriers, uploads):
    put(uploads, "a.wav")
    first = carriers(Function(False))
    until(lambda: first._failed, first.step)
    first.stop()

    function = Function()
    carriers(function).start()

    assert function.called.acquire(timeout=PATIENCE_S)


@pytest.mark.parametrize(
    ("status", "confirmed"), [(200, True), (204, True), (308, False), (500, False)]
)
def test_any_2xx_confirms(uploads, status, confirmed):
    receiver = Receiver([status])
    put(uploads, "größe.wav")
    [pending] = uploads.events()

    assert upload_push(Posts(lambda: receiver.url, 5))(pending.event) is confirmed

    got = receiver.take()
    receiver.close()
    assert got.path == "/on_audio_uploaded/"
    # The event names no sha256, as the bucket's does not: whoever reads the object has it.
    told = replace(pending.event, digests=())
    assert uploaded_object(from_http(got.headers, got.body)) == told
