"""Everything of one tenant in one zip: whole, in parts, and nothing of anybody else."""

import io
import json
import random
import zipfile
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import httpx
import msgspec
import pytest

from shared import wiring
from shared.domain.recording import Failure
from shared.domain.tenants import Tier
from shared.settings import Backend
from shared.wiring import clock
from tests.builders import NOW, recording
from tests.gateway.serving import gateway
from tests.gateway.testimony import Filled

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


def test_no_secret_of_the_tenant_is_in_it(client, filled):
    key = client.post("/v1/keys", json={"name": "from a script"}).json()["key"]
    digest = filled.parts.api_keys.all("demo")[0].digest

    content = archive(client, made(client, originals=True)).content

    with opened(content) as found:
        assert "from a script" in found.read("keys.json").decode()
    assert key.encode() not in content
    assert digest.encode() not in content


def test_names_in_it_are_ours(client, filled):
    """Uploaders' names stand inside documents; of theirs only a plain ending becomes a name."""
    with opened(archive(client, made(client, originals=True)).content) as found:
        names = found.namelist()

    assert all(name.isascii() and ".." not in name for name in names)
    assert sum(name.endswith("/original.wav") for name in names) == 4
    assert not any("talk" in name for name in names)


def test_nothing_of_a_thousand_others_is_in_it(client, store):
    """Each says who it is in a refusal's message; every hundredth with sound, words and a key."""
    others = [f"canary-{n:04}" for n in range(1_000)]
    with store.parts.tenants._db.write():  # one sync for all of them
        for n, other in enumerate(others):
            store.parts.tenants.ensure(other, Tier.FREE, NOW)
            draft = recording(n, tenant=other, name=f"uploads/{other}/a.wav", path=other)
            store.parts.recordings.refuse(draft, Failure("not_audio", f"{other} is no sound."))
    for other in others[::100]:
        store.done(
            f"{other}.wav", [(1.0, f"{other} was heard")], content=other.encode(), tenant=other
        )
        client.post("/v1/keys", json={"tenant": other, "name": other})
    mine = store.done("mine.wav")

    content = archive(client, made(client, originals=True)).content

    assert b"canary" not in content
    assert mine.id.encode() in content
    theirs = archive(client, made(client, tenant=others[0])).content
    assert others[0].encode() in theirs
    assert not any(other.encode() in theirs for other in others[1:])


def test_any_part_of_it_is_that_part(client, filled):
    export = made(client, originals=True)
    whole = archive(client, export).content
    dice = random.Random(SEED)

    for _ in range(50):
        first = dice.randrange(len(whole))
        last = dice.randrange(first, len(whole))
        answer = archive(client, export, Range=f"bytes={first}-{last}")
        assert answer.status_code == 206
        assert answer.content == whole[first : last + 1]
        assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(whole)}"


def test_it_stays_the_same_while_its_recordings_change(client, filled):
    export = made(client)
    before = archive(client, export)
    [dead] = filled.parts.jobs.dead("demo")
    filled.parts.jobs.replay(dead.id, "somebody", filled.at + timedelta(hours=1))
    filled.done("later.wav")

    after = archive(client, export)

    assert after.content == before.content
    assert after.headers["etag"] == before.headers["etag"]


def test_if_range_goes_on_with_this_archive_only(client, filled):
    one, other = made(client), made(client, originals=True)
    etag = archive(client, one).headers["etag"]

    going_on = {"Range": "bytes=100-", "If-Range": etag}

    assert archive(client, one, **going_on).status_code == 206
    assert archive(client, other, **going_on).status_code == 200


def test_a_range_behind_its_end_is_416(client, filled):
    export = made(client)

    answer = archive(client, export, Range=f"bytes={export['size_bytes']}-")

    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{export['size_bytes']}"


def test_an_empty_tenant_has_an_export(client, store):
    store.parts.tenants.ensure("acme", Tier.FREE, NOW)

    export = made(client, tenant="acme")

    with opened(archive(client, export).content) as found:
        assert set(found.namelist()) == {
            *("tenant.json", "keys.json", "webhooks.json", "manifest.jsonl")
        }


def test_nobody_exports_an_unknown_tenant(client):
    answer = client.post("/v1/exports", json={"tenant": "nobody"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_tenant")


@pytest.mark.parametrize("name", ["x", "demo-", "nobody-01ARZ3NDEKTSV4RRFFQ69G5FAV", "../../etc"])
def test_what_is_no_export_is_not_there(client, name):
    assert client.get(f"/v1/exports/{name}").status_code == 404


def test_an_export_ends_when_it_is_told_to(client, filled):
    export = made(client)

    assert client.delete(f"/v1/exports/{export['id']}").status_code == 204

    answer = archive(client, export)
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "export_over")


def test_an_export_is_over_after_a_day(app, client, filled, settings):
    """Its plan may lie there longer: nobody sweeps by the second."""
    export = made(client)
    day = timedelta(hours=24)
    app.state.parts = replace(app.state.parts, now=lambda: clock() + day)

    assert archive(client, export).status_code == 410


def test_what_was_erased_ends_it(app, client, filled):
    """The archive would be another one, so there is none: it has to be asked for anew."""
    export, known = made(client), filled.done("secret.wav")
    later = made(client)
    wiring.erase(app.state.parts).ask(known.id, "somebody", filled.at)

    # The mark is there, nothing was deleted yet.
    assert archive(client, later).status_code == 410

    wiring.erase(app.state.parts).resume(filled.at)
    assert archive(client, export).status_code == 410
    with opened(archive(client, made(client)).content) as found:
        assert not any(known.id in name for name in found.namelist())


def test_a_download_that_breaks_off_anywhere_ends_in_the_same_file(settings):
    """The line is cut at random places; each time another gateway process could answer."""
    store = Filled(wiring.parts(settings))
    for n in range(20):
        store.done(f"{n}.wav", content=random.Random(n).randbytes(100_000))
    with gateway(settings) as url, httpx.Client(base_url=url) as line:
        token = {"X-Earwitness-Token": (settings.home / "keys" / "page.token").read_text().strip()}
        export = line.post("/v1/exports", json={"originals": True}, headers=token).json()
        address = f"/v1/exports/{export['id']}/archive"
        whole = line.get(address)

    dice, got = random.Random(SEED), b""
    while len(got) < export["size_bytes"]:
        with gateway(settings) as url, httpx.Client(base_url=url) as line:
            headers = {"Range": f"bytes={len(got)}-", "If-Range": whole.headers["etag"]}
            with line.stream("GET", address, headers=headers) as answer:
                assert answer.status_code == 206
                enough = len(got) + dice.randrange(1, 800_000)
                for block in answer.iter_raw(4096):
                    got += block
                    if len(got) >= enough:
                        break

    assert sha256(got).hexdigest() == sha256(whole.content).hexdigest()


def test_what_is_erased_in_the_middle_breaks_the_line_and_never_ends_it(settings):
    """A file cut short is never taken for whole: its length was promised."""
    parts = wiring.parts(settings)
    store = Filled(parts)
    victim = store.done("first.wav", content=bytes(64 << 20))
    with gateway(settings) as url, httpx.Client(base_url=url) as line:
        token = {"X-Earwitness-Token": (settings.home / "keys" / "page.token").read_text().strip()}
        export = line.post("/v1/exports", json={"originals": True}, headers=token).json()
        with line.stream("GET", f"/v1/exports/{export['id']}/archive") as answer:
            blocks = answer.iter_raw()
            next(blocks)
            wiring.erase(parts).ask(victim.id, "somebody", store.at)
            wiring.erase(parts).resume(store.at)
            with pytest.raises(httpx.RemoteProtocolError):
                list(blocks)


@pytest.mark.parametrize(("backend", "stated"), [("embedded", True), ("gcp", False)])
def test_a_length_is_stated_where_nobody_cuts_for_it(app, client, filled, backend, stated):
    """Cloud Run ends an HTTP/1 answer of a stated length at 32 MiB."""
    parts, export = app.state.parts, made(client)
    there = msgspec.structs.replace(parts.settings, backend=Backend(backend), keys_required=False)
    app.state.parts = replace(parts, settings=there)

    answer = archive(client, export, Range="bytes=10-")

    assert ("content-length" in answer.headers) == stated
    size = export["size_bytes"]
    assert answer.headers["content-range"] == f"bytes 10-{size - 1}/{size}"
    assert len(answer.content) == size - 10
