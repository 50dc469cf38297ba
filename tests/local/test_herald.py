"""What `up` says of each recording."""

import pytest

from local.herald import LINES, MOST, Herald, Unread
from shared.adapters.embedded.local_publisher import LocalPublisher
from shared.adapters.embedded.sqlite_announcements import SqliteAnnouncements
from shared.domain.lanes import Lane
from shared.domain.recording import Failure
from shared.domain.tenants import Tier
from shared.flows.publish import PublishOutbox
from tests.builders import NOW, placed, recording
from tests.contracts.conftest import sqlite_in_memory
from tests.flows.ears import SmallEars, survey
from tests.flows.test_work import Clock, add, work


class Unheard(LocalPublisher):
    """Keeps announcements; there is nobody to ring for."""

    def _ring(self, topic, messages):
        pass


class Terminal:
    def __init__(self, store):
        self.said = []
        db = store.jobs._db
        self.publish = PublishOutbox(store.outbox, Unheard(db, "http://127.0.0.1:9"), Clock())
        news = Unread(SqliteAnnouncements(db))
        self.herald = Herald(news, store.recordings, store.results, self.said.append)

    def told(self):
        self.publish()
        self.said.clear()
        self.herald.look()
        return list(self.said)


@pytest.fixture
def store(tmp_path):
    made = sqlite_in_memory(tmp_path)
    made.tenants.ensure("acme", Tier.FREE, NOW)
    return made


def test_a_heard_recording_is_told_once_with_its_first_words(store):
    terminal = Terminal(store)
    add(store)
    work(store, SmallEars(survey(2, 10.0)), publish=terminal.publish)((Lane.LOW,))

    first, again = terminal.told(), terminal.told()

    assert first[0] == "1.wav: done"
    assert "first heard 0" in first[1]
    assert again == []


def test_a_long_transcript_is_a_command_away(store):
    terminal = Terminal(store)
    add(store)
    work(store, SmallEars(survey(LINES + 1, 10.0)), publish=terminal.publish)((Lane.LOW,))

    told = terminal.told()

    assert len(told) == 1 + LINES + 1
    assert "earwitness show rec00001" in told[-1]


def test_a_refusal_is_told_with_its_sentence(store):
    terminal = Terminal(store)
    store.recordings.refuse(recording(1), Failure("not_audio", "The file holds no audio."))

    assert terminal.told() == ["1.wav: rejected: The file holds no audio."]


def test_a_flood_is_told_in_figures(store):
    terminal = Terminal(store)
    for n in range(MOST + 1):
        store.recordings.refuse(recording(n), Failure("not_audio", "No audio."))

    assert terminal.told() == [f"{MOST + 1} recordings: {MOST + 1} rejected"]


def test_what_was_before_is_not_told(store):
    store.recordings.refuse(recording(1), Failure("not_audio", "No audio."))
    Terminal(store).told()
    store.recordings.create_or_get(recording(2), lambda _: placed())

    assert Terminal(store).told() == []
