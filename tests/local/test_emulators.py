"""Each emulator answers Google's own client, and none outlives who started it."""

import socket
import subprocess
import sys

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, firestore, pubsub_v1, storage

from local.emulated.emulators import (
    PROJECT,
    BigQuery,
    Firestore,
    PubSub,
    Storage,
    packaged,
    running,
)
from shared.errors import EmulatorMissing
from tests.emulators import reached

PATIENCE_S = 30.0


def test_pubsub_takes_a_topic(pubsub_emulator, monkeypatch):
    reached(pubsub_emulator, monkeypatch)
    with pubsub_v1.PublisherClient() as client:
        made = client.create_topic(name=f"projects/{PROJECT}/topics/taken")

        assert client.get_topic(topic=made.name).name == made.name


def test_firestore_keeps_a_document(firestore_emulator, monkeypatch):
    reached(firestore_emulator, monkeypatch)
    client = firestore.Client(PROJECT, AnonymousCredentials())

    client.document("a/b").set({"n": 1})

    assert client.document("a/b").get().to_dict() == {"n": 1}


def test_storage_keeps_an_object(storage_emulator, monkeypatch):
    reached(storage_emulator, monkeypatch)
    bucket = storage.Client(PROJECT).create_bucket("kept")

    bucket.blob("a").upload_from_string(b"content")

    assert bucket.blob("a").download_as_bytes() == b"content"


def test_bigquery_answers_a_query(bigquery_emulator, monkeypatch):
    reached(bigquery_emulator, monkeypatch)
    client = bigquery.Client(PROJECT, AnonymousCredentials())

    assert [tuple(row) for row in client.query("SELECT 1 + 1").result()] == [(2,)]


@pytest.mark.parametrize("emulator", [PubSub(), Firestore()], ids=lambda e: e.name)
def test_without_java_or_the_sdk_it_says_how_to_get_them(emulator, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(EmulatorMissing, match="Install"), running(emulator, tmp_path):
        pass


@pytest.mark.parametrize("kind", [Storage, BigQuery], ids=lambda k: k.__name__)
def test_without_the_packages_it_says_how_to_get_them(kind, tmp_path):
    with pytest.raises(EmulatorMissing, match="make env-emulators"):
        kind(packages=tmp_path).command(1)


STARTS = """
import sys, threading
from pathlib import Path
from local.emulated.emulators import Storage, running
with running(Storage(), Path(sys.argv[1])) as variables:
    print(variables["STORAGE_EMULATOR_HOST"].rpartition(":")[2], flush=True)
    threading.Event().wait()
"""


def test_an_emulator_does_not_outlive_who_started_it_and_was_killed(tmp_path):
    try:
        packaged()
    except EmulatorMissing as error:
        pytest.skip(str(error))
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTS, tmp_path], stdout=subprocess.PIPE, text=True
    )
    with starter:
        port = int(starter.stdout.readline())
        talking = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)

        starter.kill()

    with talking:
        assert talking.recv(1) == b""  # the kernel hangs up with the last process that had it


def test_an_emulator_in_a_folder_still_has_its_objects_after_a_restart(tmp_path, monkeypatch):
    try:
        storage_in_folder = Storage(packages=packaged(), folder=tmp_path / "objects")
    except EmulatorMissing as error:
        pytest.skip(str(error))
    with running(storage_in_folder, tmp_path / "logs") as variables:
        reached(variables, monkeypatch)
        storage.Client(PROJECT).create_bucket("kept").blob("a").upload_from_string(b"content")

    with running(storage_in_folder, tmp_path / "logs") as variables:
        reached(variables, monkeypatch)

        assert storage.Client(PROJECT).bucket("kept").blob("a").download_as_bytes() == b"content"
