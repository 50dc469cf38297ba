"""Holds and create-only uploads as Cloud Storage has them: what is asked of it, and its refusals as
it words them.

fake-gcs-server keeps no hold (tests/cloud/test_known_faults.py) and forgets the condition of a
resumable upload, so its answers are recorded.
Source: Cloud Storage JSON API, "Objects: patch" and "Object holds" (403 `forbidden`).
"""

import json
from dataclasses import dataclass, field
from io import BytesIO
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from google.auth.credentials import AnonymousCredentials
from google.auth.transport.requests import AuthorizedSession
from google.cloud.storage import Client

from local.emulated.emulators import PROJECT
from shared.adapters.gcp.storage_uploads import StorageUploads
from shared.errors import NotFound, StoreUnavailable, UnderHold
from tests.builders import NOW

NAME, GENERATION = "uploads/acme/a.wav", 1_700_000_000_000_001
OBJECT = {"name": NAME, "bucket": "b", "generation": str(GENERATION), "metageneration": "2"}
HELD = {
    "error": {
        "code": 403,
        "message": "Object 'b/uploads/acme/a.wav' is under active Temporary hold and cannot be"
        " deleted, overwritten or archived until hold is removed.",
        "errors": [{"domain": "global", "reason": "retentionPolicyNotMet", "message": "held"}],
    }
}
GONE = {"error": {"code": 404, "message": "No such object: b/uploads/acme/a.wav"}}


@dataclass
class Recorded(requests.adapters.BaseAdapter):
    """Answers by method, as Cloud Storage once did; keeps what it was asked."""

    answers: dict[str, tuple[int, dict[str, object]]]
    asked: list[requests.PreparedRequest] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def send(self, request, **_):
        self.asked.append(request)
        status, body = self.answers[request.method]
        answer = requests.Response()
        answer.status_code, answer._content = status, json.dumps(body).encode()
        answer.request, answer.url = request, request.url
        answer.headers["Content-Type"] = "application/json"
        return answer

    def close(self) -> None:
        pass


@pytest.fixture
def storage(monkeypatch):
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)

    def made(**answers):
        recorded, session = Recorded(answers), AuthorizedSession(AnonymousCredentials())
        session.mount("https://", recorded)
        client = Client(PROJECT, AnonymousCredentials(), _http=session)
        return StorageUploads(client, "b", "a", patience_s=0.1), recorded

    return made


@pytest.mark.parametrize("held", [True, False])
def test_a_hold_is_a_temporary_hold_of_this_generation_and_nothing_else(storage, held):
    uploads, recorded = storage(PATCH=(200, OBJECT | {"temporaryHold": held}))

    (uploads.hold if held else uploads.unhold)(NAME, GENERATION)

    [asked] = recorded.asked
    assert urlsplit(asked.url).path == "/storage/v1/b/b/o/uploads%2Facme%2Fa.wav"
    assert parse_qs(urlsplit(asked.url).query)["generation"] == [str(GENERATION)]
    assert json.loads(asked.body) == {"temporaryHold": held}


def test_a_held_object_is_not_deleted_and_says_why(storage):
    uploads, _ = storage(DELETE=(403, HELD), GET=(200, OBJECT | {"temporaryHold": True}))

    with pytest.raises(UnderHold):
        uploads.delete(NAME, GENERATION)


def test_a_role_that_is_missing_is_no_hold(storage):
    uploads, _ = storage(DELETE=(403, HELD), GET=(200, OBJECT), PATCH=(403, HELD))

    with pytest.raises(StoreUnavailable):
        uploads.delete(NAME, GENERATION)
    with pytest.raises(StoreUnavailable):
        uploads.hold(NAME, GENERATION)


def test_what_is_gone_cannot_be_held_and_need_not_be_released(storage):
    uploads, _ = storage(PATCH=(404, GONE))

    uploads.unhold(NAME, GENERATION)
    with pytest.raises(NotFound):
        uploads.hold(NAME, GENERATION)


def test_what_is_shelved_is_created_only_and_what_is_there_stays(storage):
    name = f"archive/acme/{'a' * 32}/{'0' * 32}.flac"
    there = OBJECT | {"name": name, "size": "4", "timeCreated": "2026-03-01T12:00:00Z"}
    uploads, recorded = storage(POST=(412, {}), GET=(200, there))

    found = uploads.shelve(name, BytesIO(b"fLaC"), "audio/flac", NOW)

    assert (found.name, found.generation) == (name, GENERATION)
    begun, *_, looked = recorded.asked
    assert parse_qs(urlsplit(begun.url).query)["ifGenerationMatch"] == ["0"]
    assert urlsplit(begun.url).path == "/upload/storage/v1/b/a/o"
    assert urlsplit(looked.url).path.startswith("/storage/v1/b/a/o/archive%2F")


def test_a_hold_on_what_is_archived_is_one_on_the_archives_object(storage):
    uploads, recorded = storage(PATCH=(200, OBJECT | {"temporaryHold": True}))

    uploads.hold(f"archive/acme/{'a' * 32}/{'0' * 32}.flac", GENERATION)

    [asked] = recorded.asked
    assert urlsplit(asked.url).path.startswith("/storage/v1/b/a/o/archive%2Facme%2F")
