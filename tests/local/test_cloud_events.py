"""What the functions are sent is what they read, whatever an object's name holds."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from cloudevents.http import from_http

from functions.events import uploaded_object
from local.cloud_events import STORAGE_FINALIZED, rfc3339, storage_finalized
from tests.builders import NOW, upload

NAMES = {
    "plain": "uploads/acme/talk.wav",
    "folder": "uploads/acme/a/b/talk.wav",
    "blank": "uploads/acme/my talk.wav",
    "percent": "uploads/acme/100%.wav",
    "quotes": 'uploads/acme/"x".wav',
    "newline": "uploads/acme/a\r\nce-type: evil.wav",
    "umlauts": "uploads/acme/größe 你好.wav",
    "right to left": "uploads/acme/\u202egnp.wav",
    "hash and globs": "uploads/acme/#[]*?.wav",
    "NUL": "uploads/acme/\x00.wav",
    "long": "uploads/acme/" + "x" * 1000,
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_functions_read_what_was_uploaded(name):
    sent = upload(name=name, metadata=(("language", "de"), ("name", name)), generation=3)
    event = storage_finalized(sent)

    assert uploaded_object(from_http(dict(event.headers), event.body)) == sent


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_headers_are_plain_ascii_on_one_line(name):
    headers = storage_finalized(upload(name=name)).headers

    assert all(0x20 <= ord(c) < 0x7F for value in headers.values() for c in value)


def test_headers_are_those_of_cloud_storage():
    headers = dict(storage_finalized(upload()).headers)

    assert len(headers.pop("ce-id")) == 32
    assert headers == {
        "ce-specversion": "1.0",
        "ce-source": "//storage.googleapis.com/projects/_/buckets/uploads",
        "ce-type": STORAGE_FINALIZED,
        "ce-subject": "objects/uploads/acme/talk.wav",
        "ce-time": "2026-03-01T12:00:00.000Z",
        "content-type": "application/json",
    }


def test_same_generation_has_the_same_event_id_and_another_has_not():
    ids = [storage_finalized(upload(generation=g)).headers["ce-id"] for g in (1, 1, 2)]

    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC), "2026-01-02T03:04:05.678Z"),
        (NOW.astimezone(timezone(timedelta(hours=2))), "2026-03-01T12:00:00.000Z"),
    ],
)
def test_times_are_utc_with_milliseconds(at, text):
    assert rfc3339(at) == text
