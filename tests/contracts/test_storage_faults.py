"""A bucket that does not answer, or is not there: the work waits, and the wait is bounded."""

import io

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

from local.emulated.emulators import PROJECT
from local.ports import some_free
from shared.adapters.gcp.storage_results import StorageResults
from shared.adapters.gcp.storage_uploads import StorageUploads
from shared.errors import NotFound, StoreUnavailable
from tests.builders import NOW
from tests.emulators import reached


def put(uploads):
    return uploads.put("a", io.BytesIO(b"x"), content_type="", metadata={}, at=NOW)


def fetch(uploads):
    with uploads.fetch("a", 1):
        pass


UPLOADS = {
    "stat": lambda uploads: uploads.stat("a", 1),
    "read": lambda uploads: uploads.read("a", 1, 0, 1),
    "fetch": fetch,
    "page": lambda uploads: uploads.page(),
    "put": put,
}
RESULTS = {
    "save": lambda results: results.save("results/a/b/1", {"result.json": b"{}"}),
    "load": lambda results: results.load("results/a/b/1", "result.json"),
    "folders": lambda results: results.folders(),
    "remove": lambda results: results.remove("results/a/b/1"),
}


@pytest.fixture
def nobody(monkeypatch):
    """A client of an address where nobody listens."""
    [port] = some_free(1)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{port}")
    return Client(PROJECT, AnonymousCredentials())


@pytest.mark.parametrize("ask", UPLOADS.values(), ids=UPLOADS)
def test_uploads_where_nobody_answers_are_unavailable(nobody, ask):
    with pytest.raises(StoreUnavailable):
        ask(StorageUploads(nobody, "b", "a", patience_s=0.1))


@pytest.mark.parametrize("ask", RESULTS.values(), ids=RESULTS)
def test_results_where_nobody_answers_are_unavailable(nobody, ask):
    with pytest.raises(StoreUnavailable):
        ask(StorageResults(nobody, "b", patience_s=0.1))


@pytest.fixture
def missing(storage_emulator, monkeypatch):
    """A client of a project without the bucket."""
    reached(storage_emulator, monkeypatch)
    return Client(PROJECT)


def test_a_bucket_that_is_not_there_waits_for_somebody_to_make_it(missing):
    with pytest.raises(StoreUnavailable):
        put(StorageUploads(missing, "nowhere", "nowhere"))
    with pytest.raises(StoreUnavailable):
        RESULTS["save"](StorageResults(missing, "nowhere"))


def test_what_is_asked_of_a_bucket_that_is_not_there_is_not_there(missing):
    """Cloud Storage tells a missing bucket from a missing object in words only."""
    assert StorageUploads(missing, "nowhere", "nowhere").stat("a", 1) is None
    with pytest.raises(NotFound):
        RESULTS["load"](StorageResults(missing, "nowhere"))
