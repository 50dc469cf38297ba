"""Weights reach the bucket once, whole, and never over somebody else's."""

import hashlib
from uuid import uuid4

import pytest
from google.cloud import storage

from deploy import weights
from deploy.weights import ForeignWeights, send
from gpu_service.weights.pinned import BASE, Pinned
from shared.errors import WeightsRefused
from tests.emulators import reached

FILES = {"config.json": b"{}", "model.bin": b"weights " * 1000}
FOLDER = "whisper-small-01234567"


@pytest.fixture
def bucket(storage_emulator, monkeypatch):
    reached(storage_emulator, monkeypatch)
    client = storage.Client(f"test-{uuid4().hex[:12]}")
    return client.create_bucket(f"weights-{uuid4().hex[:12]}")


def model(folder, files=FILES):
    """A pinned model whose package is a folder; its model.bin comes in two parts."""
    folder.mkdir(exist_ok=True)
    whole = files["model.bin"]
    for name, content in {**files, "one": whole[:100], "two": whole[100:]}.items():
        (folder / name).write_bytes(content)
    parts = {"config.json": [folder / "config.json"], "model.bin": [folder / "one", folder / "two"]}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    return Pinned("small", "maker/small", "0123456789", digests, lambda: parts)


def there(bucket):
    return {blob.name: blob.download_as_bytes() for blob in bucket.list_blobs()}


def test_a_bucket_without_weights_is_given_them_where_the_service_looks(bucket, tmp_path):
    wanted = model(tmp_path / "package")

    sent = send(wanted, bucket, tmp_path / "cache")

    assert there(bucket) == {f"{FOLDER}/{name}": content for name, content in FILES.items()}
    assert sent == sorted(there(bucket))
    assert wanted.folder(tmp_path).name == FOLDER


def test_what_is_there_is_not_sent_again_nor_even_assembled(bucket, tmp_path):
    send(model(tmp_path / "package"), bucket, tmp_path / "cache")
    before = {blob.name: blob.generation for blob in bucket.list_blobs()}

    assert send(model(tmp_path / "package"), bucket, tmp_path / "none") == []
    assert {blob.name: blob.generation for blob in bucket.list_blobs()} == before
    assert not (tmp_path / "none").exists()


def test_only_what_is_missing_is_sent(bucket, tmp_path):
    send(model(tmp_path / "package"), bucket, tmp_path / "cache")
    bucket.blob(f"{FOLDER}/config.json").delete()

    assert send(model(tmp_path / "package"), bucket, tmp_path / "cache") == [
        f"{FOLDER}/config.json"
    ]


def test_something_else_under_a_pinned_name_is_left_and_named(bucket, tmp_path):
    bucket.blob(f"{FOLDER}/model.bin").upload_from_string(b"other")

    with pytest.raises(ForeignWeights, match=f"{FOLDER}/model.bin is not the pinned file"):
        send(model(tmp_path / "package"), bucket, tmp_path / "cache")

    assert there(bucket) == {f"{FOLDER}/model.bin": b"other"}


class Overtaken(storage.Blob):
    """An object that another build makes between our look and our upload."""

    rival = ""  #: the digest that the other one says

    def exists(self, *args, **kwargs):
        was_there = super().exists(*args, **kwargs)
        if not was_there:
            other = self.bucket.blob(self.name)
            other.metadata = {"sha256": self.rival}
            other.upload_from_string(FILES[self.name.rpartition("/")[2]])
        return was_there


class Race:
    """The bucket, in a build that is always second."""

    def __init__(self, bucket, rival=None):
        self.bucket, self.rival = bucket, rival

    def blob(self, name):
        made = Overtaken(name, self.bucket)
        made.rival = self.rival or hashlib.sha256(FILES[name.rpartition("/")[2]]).hexdigest()
        return made


def test_two_builds_at_once_both_succeed(bucket, tmp_path):
    send(model(tmp_path / "package"), Race(bucket), tmp_path / "cache")

    assert there(bucket).keys() == {f"{FOLDER}/{name}" for name in FILES}


def test_losing_against_a_stranger_is_no_success(bucket, tmp_path):
    with pytest.raises(ForeignWeights):
        send(model(tmp_path / "package"), Race(bucket, "0" * 64), tmp_path / "cache")


def test_a_damaged_package_sends_nothing(bucket, tmp_path):
    damaged = model(tmp_path / "package", {**FILES, "model.bin": b"damaged" * 1000})

    with pytest.raises(WeightsRefused):
        send(damaged, bucket, tmp_path / "cache")

    assert there(bucket) == {}


@pytest.mark.whisper
def test_the_command_sends_whisper_and_says_so(bucket, capsys):
    assert weights.main([bucket.name]) == 0
    assert weights.main([bucket.name]) == 0

    folder = f"whisper-{BASE.name}-{BASE.revision[:8]}"
    said = capsys.readouterr().out.splitlines()
    assert there(bucket).keys() == {f"{folder}/{name}" for name in BASE.digests}
    assert said[0].startswith(f"gs://{bucket.name}: {folder}/")
    assert said[1].endswith("nothing was missing")


def test_the_command_names_the_foreign_object(bucket, capsys):
    name = f"whisper-base-{BASE.revision[:8]}/model.bin"
    bucket.blob(name).upload_from_string(b"other")

    assert weights.main([bucket.name]) == 1
    assert name in capsys.readouterr().err
