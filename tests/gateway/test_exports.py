"""Everything of one tenant in one zip: whole, in parts, and nothing of anybody else."""

import io
import json
import random
import zipfile
from datetime import timedelta
from hashlib import sha256

import pytest

from shared.domain.recording import Failure
from tests.builders import NOW
from tests.gateway.testimony import TEXT

#: Where each of these tests would begin anew if it failed; printed by pytest with the test.
SEED = 20260301


@pytest.fixture
def filled(store):
    """A recording in each state that lasts."""
    store.done("talk.wav", sounds=[("dog bark", 2.0, 3.0)])
    store.done("Zoë's *second* talk?.WAV")
    store.dead()
    store.rejected()
    store.received("waiting.wav")
    return store


def made(client, **asked):
    answer = client.post("/v1/exports", json=asked)
    assert answer.status_code == 201, answer.text
    return answer.json()


def archive(client, export, **headers):
    return client.get(f"/v1/exports/{export['id']}/archive", headers=headers)


def opened(content):
    return zipfile.ZipFile(io.BytesIO(content))


def test_an_export_is_ready_and_as_long_as_it_says(client, filled):
    export = made(client)

    answer = archive(client, export)

    assert export["ready"]
    assert export["recordings"] == 5
    assert answer.headers["content-type"] == "application/zip"
    assert len(answer.content) == export["size_bytes"] == int(answer.headers["content-length"])


def test_every_file_is_as_the_manifest_says(client, filled):
    export = made(client, originals=True)

    with opened(archive(client, export).content) as found:
        lines = [json.loads(line) for line in found.read("manifest.jsonl").splitlines()]
        files = {name: found.read(name) for name in found.namelist()}

    head, *entries, foot = lines
    manifest = files.pop("manifest.jsonl")
    assert {e["path"]: (e["size"], e["sha256"]) for e in entries} == {
        name: (len(content), sha256(content).hexdigest()) for name, content in files.items()
    }
    assert sha256(manifest).hexdigest() == export["manifest_sha256"]
    assert (head["format"], head["tenant"]) == ("earwitness.export/v1", "demo")
    assert (foot["recordings"], foot["entries"]) == (5, len(files))
    assert foot["size_bytes"] == sum(map(len, files.values()))
