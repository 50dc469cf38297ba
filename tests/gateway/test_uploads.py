"""Uploads: what is minted, what is taken, and every forgery that is not."""

import base64
import hashlib
import hmac
import io
import json
import threading
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from gateway.sessions import KEPT, SWEPT, Sessions
from gateway.signatures import Permit, sign, verify
from shared.domain.api import MAX_METADATA_BYTES
from shared.domain.names import recording_id
from shared.domain.tenants import Tier
from shared.domain.wishes import wishes
from shared.errors import DiskFull, Forbidden, WrongState
from tests.builders import NOW

CONTENT = b"RIFF, more or less"


def mint(client, **changes):
    body = {"name": "talk.wav", "size": len(CONTENT), "content_type": "audio/wav", **changes}
    return client.post("/v1/uploads", json=body)


def put(client, minted, content=CONTENT, **headers):
    return client.put(minted["url"], content=content, headers={**minted["headers"], **headers})


def taken(app):
    return [pending.event for pending in app.state.parts.uploads.events()]


def test_minted_address_takes_the_upload(app, client):
    minted = mint(client, metadata={"language": "en"}).json()

    answer = put(client, minted)

    (event,) = taken(app)
    assert (answer.status_code, answer.json()) == (
        201,
        {"recording_hint": minted["recording_hint"]},
    )
    assert event.name.startswith("uploads/demo/")
    assert dict(event.metadata) == {"name": "talk.wav", "language": "en"}
    assert (event.size_bytes, event.content_type) == (len(CONTENT), "audio/wav")
    assert app.state.parts.uploads.read(event.name, 1, 0, 99) == CONTENT


def test_questions_come_with_the_object(app, client):
    put(client, mint(client, questions=["Who  calls?\r\n", "¿Por qué?"]).json())

    (event,) = taken(app)
    assert wishes(dict(event.metadata)).questions == ("Who calls?", "¿Por qué?")


def test_hint_is_the_id_intake_will_give(app, client):
    minted = mint(client).json()
    put(client, minted)

    (event,) = taken(app)
    assert recording_id(event.bucket, event.name, event.generation) == minted["recording_hint"]


def test_minted_address_is_ours_and_ends(client):
    minted = mint(client).json()

    assert minted["url"].startswith("http://127.0.0.1:8080/v1/uploads/")
    assert (minted["method"], minted["headers"]) == ("PUT", {"Content-Type": "audio/wav"})
    assert minted["expires_at"].endswith("Z")


def test_upload_needs_no_token_but_its_own(client, app):
    minted = mint(client).json()
    del client.headers["X-Earwitness-Token"]

    assert put(client, minted).status_code == 201


def test_large_upload_arrives_whole_in_small_parts(app, client):
    content = bytes(range(256)) * 12_000
    minted = mint(client, size=len(content)).json()

    parts = iter([content[n : n + 70_001] for n in range(0, len(content), 70_001)] + [b""])
    answer = put(client, minted, content=parts)

    (event,) = taken(app)
    assert answer.status_code == 201
    assert app.state.parts.uploads.read(event.name, 1, 0, len(content) + 1) == content


def test_empty_upload_is_taken_so_that_its_refusal_can_be_seen(app, client):
    assert put(client, mint(client, size=0).json(), content=b"").status_code == 201
    assert taken(app)[0].size_bytes == 0


def test_address_works_once(app, client):
    minted = mint(client).json()
    put(client, minted)

    again = put(client, minted)

    assert (again.status_code, again.json()["error"]["code"]) == (409, "wrong_state")
    assert len(taken(app)) == 1


def test_address_works_once_across_a_restart(app, client):
    minted = mint(client).json()
    put(client, minted)
    app.state.sessions = Sessions(app.state.parts.settings.home / "tmp")

    assert put(client, minted).status_code == 409
    assert len(taken(app)) == 1


def test_address_can_be_used_again_after_a_failure(app, client):
    minted = mint(client).json()

    broken = put(client, minted, content=iter([CONTENT[:5]]))

    assert (broken.status_code, taken(app)) == (400, [])
    assert put(client, minted).status_code == 201


@pytest.mark.parametrize(
    "content",
    [CONTENT[:-1], CONTENT + b"x", b"", CONTENT * 1000],
    ids=["one byte less", "one byte more", "nothing", "much more"],
)
@pytest.mark.parametrize("said", [True, False], ids=["length said", "length not said"])
def test_another_size_is_refused(app, client, content, said):
    minted = mint(client).json()

    answer = put(client, minted, content=content if said else iter([content]))

    assert answer.status_code in (400, 413)
    assert taken(app) == []


@pytest.mark.parametrize("kind", ["text/html", "audio/wav ;x", "AUDIO/WAV", ""])
def test_another_type_is_refused(app, client, kind):
    answer = put(client, mint(client).json(), **{"Content-Type": kind})

    assert (answer.status_code, taken(app)) == (400, [])


def forged(token: str, key: str, now, **changes) -> str:
    return sign(replace(verify(token, key, now), **changes), "another key")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"size_bytes": 10**12},
        {"tenant": "acme"},
        {"name": "uploads/acme/00000000000000000000000000"},
        {"content_type": "text/html"},
        {"expires_s": 1e12},
        {"method": "POST"},
        {"metadata": {"lane": "bulk"}},
    ],
    ids=str,
)
def test_permit_signed_by_another_key_is_refused(app, client, changes):
    url = mint(client).json()["url"]
    address, _, token = url.partition("?token=")
    bad = forged(token, app.state.upload_key, app.state.parts.now(), **changes)

    answer = client.put(f"{address}?token={bad}", content=CONTENT)

    assert (answer.status_code, taken(app)) == (403, [])


@pytest.mark.parametrize(
    "forge",
    [
        lambda p, s: f"{p}.",
        lambda p, s: f"{p}",
        lambda p, s: f".{s}",
        lambda p, s: ".",
        lambda p, s: f"{p}.{s[:-2]}",
        lambda p, s: f"{p}.{s[::-1]}",
        lambda p, s: f"{p}A.{s}",
        lambda p, s: f"{p}.{s}.{s}",
        lambda p, s: f"{altered(p)}.{s}",
        lambda p, s: "é.é",
        lambda p, s: "A.A",
    ],
    ids=[
        "no signature",
        "no dot",
        "no payload",
        "neither",
        "cut",
        "turned",
        "longer payload",
        "two signatures",
        "payload changed",
        "not ascii",
        "not base64",
    ],
)
def test_forged_token_is_refused(app, client, forge):
    minted = mint(client).json()
    address, _, token = minted["url"].partition("?token=")

    answer = client.put(
        address,
        params={"token": forge(*token.split("."))},
        content=CONTENT,
        headers=minted["headers"],
    )

    assert (answer.status_code, taken(app)) == (403, [])


def altered(payload: str) -> str:
    permit = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    permit["size_bytes"] += 1
    return base64.urlsafe_b64encode(json.dumps(permit).encode()).decode().rstrip("=")


def test_permit_of_one_name_does_not_open_another(app, client):
    minted, other = mint(client).json(), mint(client).json()
    token = minted["url"].partition("?token=")[2]
    address = other["url"].partition("?token=")[0]

    answer = client.put(f"{address}?token={token}", content=CONTENT, headers=minted["headers"])

    assert (answer.status_code, taken(app)) == (403, [])


@pytest.mark.parametrize(("late", "status"), [(-1, 201), (0, 403)], ids=["in time", "expired"])
def test_address_expires(app, client, late, status):
    minted = mint(client).json()
    expires = datetime.fromisoformat(minted["expires_at"])
    app.state.parts = replace(app.state.parts, now=lambda: expires + timedelta(seconds=late))

    assert put(client, minted).status_code == status


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"name": ""}, 422, "invalid_request"),
        ({"name": "é" * 512}, 201, None),
        ({"name": "é" * 513}, 422, "invalid_request"),
        ({"name": "x" * 1025}, 422, "invalid_request"),
        ({"name": "\x00\r\n\u202e"}, 201, None),
        ({"size": -1}, 422, "invalid_request"),
        ({"size": 10**30}, 422, "invalid_request"),
        ({"size": 5 * 10**9}, 201, None),
        ({"size": 5 * 10**9 + 1}, 413, "audio_too_large"),
        ({"content_type": "audio"}, 422, "invalid_request"),
        ({"content_type": "audio/webm;codecs=opus"}, 201, None),
        ({"content_type": "audio/wav\r\nX-Evil: 1"}, 422, "invalid_request"),
        ({"tenant": "nobody"}, 404, "unknown_tenant"),
        ({"tenant": "../demo"}, 422, "invalid_request"),
        ({"metadata": {"name": "other"}}, 422, "invalid_request"),
        ({"metadata": {"language": "english"}}, 422, "invalid_wish"),
        ({"metadata": {"language": "en", "mine": "x"}}, 201, None),
        ({"metadata": {"k": "v" * (MAX_METADATA_BYTES - 1)}}, 201, None),
        ({"metadata": {"k": "v" * MAX_METADATA_BYTES}}, 422, "invalid_request"),
        ({"metadata": {str(n): "" for n in range(33)}}, 422, "invalid_request"),
        ({"questions": ["Who calls?"] * 5}, 201, None),
        ({"questions": ["Who calls?"] * 6}, 422, "invalid_request"),
        ({"questions": [""]}, 422, "invalid_request"),
        ({"questions": ["?" * 301]}, 422, "invalid_request"),
        ({"questions": ["🎧" * 300] * 5}, 201, None),
        ({"questions": ["🎧" * 300] * 5, "metadata": {"k": "v" * 2_200}}, 422, "invalid_request"),
        ({"questions": ["Who?"], "metadata": {"question": "Why?"}}, 422, "invalid_request"),
        ({"metadata": {"questions": '["Who?"]'}}, 201, None),
        ({"metadata": {"questions": "Who?"}}, 422, "invalid_wish"),
        ({"owner": "me"}, 422, "invalid_request"),
    ],
)
def test_what_may_be_minted(client, changes, status, code):
    answer = mint(client, **changes)

    assert answer.status_code == status
    assert answer.json().get("error", {}).get("code") == code


def test_limit_is_the_tenants_own(app, client):
    app.state.parts.tenants.ensure("acme", Tier.FREE, NOW)

    sizes = (200 * 10**6, 200 * 10**6 + 1)

    statuses = [mint(client, tenant="acme", size=size).status_code for size in sizes]
    assert statuses == [201, 413]


class FullDisk:
    def put(self, *_: object, **__: object) -> None:
        raise DiskFull


def test_full_disk_says_come_back(app, client):
    minted = mint(client).json()
    app.state.parts = replace(app.state.parts, inlet=FullDisk())

    answer = put(client, minted)

    assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)


PERMIT = Permit("PUT", "uploads/demo/X", "demo", "audio/wav", 1, NOW.timestamp() + 900, {})


def ask(client, minted, size=len(CONTENT)):
    return client.put(minted["url"], headers={"Content-Range": f"bytes */{size}"})


def go_on(client, minted, start, content=CONTENT, end=None):
    end = len(content) if end is None else end
    span = {"Content-Range": f"bytes {start}-{end - 1}/{len(content)}"}
    return put(client, minted, content[start:end], **span)


def test_upload_that_has_not_begun_holds_nothing(client):
    answer = ask(client, mint(client).json())

    assert (answer.status_code, "Range" in answer.headers) == (308, False)


def test_broken_upload_goes_on_where_it_stopped(app, client):
    minted = mint(client).json()
    assert put(client, minted, content=iter([CONTENT[:5]])).status_code == 400

    held = ask(client, minted)
    answer = go_on(client, minted, 5)

    (event,) = taken(app)
    assert (held.status_code, held.headers["Range"]) == (308, "bytes=0-4")
    assert (answer.status_code, answer.json()["recording_hint"]) == (201, minted["recording_hint"])
    assert app.state.parts.uploads.read(event.name, 1, 0, 99) == CONTENT
    assert not list((app.state.parts.settings.home / "tmp").iterdir())


def test_upload_in_pieces_says_how_much_is_held(app, client):
    minted = mint(client).json()

    first = go_on(client, minted, 0, end=4)
    overlapping = go_on(client, minted, 2, end=9)
    last = go_on(client, minted, 9)

    assert (first.status_code, first.headers["Range"]) == (308, "bytes=0-3")
    assert (overlapping.status_code, overlapping.headers["Range"]) == (308, "bytes=0-8")
    assert last.status_code == 201
    assert app.state.parts.uploads.read(taken(app)[0].name, 1, 0, 99) == CONTENT


def test_begun_upload_goes_on_after_a_restart(app, client):
    minted = mint(client).json()
    go_on(client, minted, 0, end=4)
    app.state.sessions = Sessions(app.state.parts.settings.home / "tmp")

    assert ask(client, minted).headers["Range"] == "bytes=0-3"
    assert go_on(client, minted, 4).status_code == 201


def test_lost_answer_can_be_asked_for(app, client):
    """The upload was whole, its answer never came: asking, or going on, makes no second one."""
    minted = mint(client).json()
    put(client, minted)

    assert ask(client, minted).status_code == 201
    assert go_on(client, minted, 9).status_code == 201
    assert len(taken(app)) == 1


@pytest.mark.parametrize(
    "span",
    ["bytes 0-4/99", "bytes 4-0/18", "bytes 0-18/18", "bytes 9-17/18", "bytes", "pages 0-4/18"],
    ids=["another size", "backwards", "behind the end", "a gap", "nothing", "another unit"],
)
def test_wrong_range_is_refused(app, client, span):
    answer = put(client, mint(client).json(), **{"Content-Range": span})

    assert (answer.status_code, taken(app)) == (400, [])


@pytest.mark.parametrize(
    ("late", "status"),
    [(timedelta(0), 201), (KEPT - timedelta(seconds=1), 201), (KEPT, 403)],
    ids=["just expired", "a day less a second", "a day"],
)
def test_begun_upload_may_go_on_for_a_day(app, client, late, status):
    minted = mint(client).json()
    go_on(client, minted, 0, end=4)
    expires = datetime.fromisoformat(minted["expires_at"])
    app.state.parts = replace(app.state.parts, now=lambda: expires + late)

    assert go_on(client, minted, 4).status_code == status


def test_upload_may_not_begin_late_though_it_says_it_goes_on(app, client):
    minted = mint(client).json()
    expires = datetime.fromisoformat(minted["expires_at"])
    app.state.parts = replace(app.state.parts, now=lambda: expires)

    assert go_on(client, minted, 0).status_code == 403


class FullOnce:
    def __init__(self, inlet) -> None:
        self._inlet, self._full = inlet, True

    def put(self, *given, **named):
        if self._full:
            self._full = False
            raise DiskFull
        return self._inlet.put(*given, **named)


def test_upload_a_full_disk_refused_is_finished_by_asking(app, client):
    minted = mint(client).json()
    app.state.parts = replace(app.state.parts, inlet=FullOnce(app.state.parts.inlet))

    assert put(client, minted).status_code == 503
    assert ask(client, minted).status_code == 201
    assert len(taken(app)) == 1


def test_of_two_requests_the_later_one_writes(tmp_path):
    """A connection that is dead and does not know it must not write behind the one that resumes."""
    session = Sessions(tmp_path).session("KEY", NOW)
    older = Halting([b"old", b"OLD"])

    thread = threading.Thread(target=older.written_to, args=(session,))
    thread.start()
    older.inside.wait(10)
    writer = session.receive(3, 6, io.BufferedReader(io.BytesIO(b"new")))
    older.go_on.set()
    thread.join(10)
    kept = []
    session.finish(writer, lambda file: kept.append(file.read()))

    assert isinstance(older.refused, WrongState)
    assert kept == [b"oldnew"]


class Halting:
    """A request whose second chunk comes only when it is told to."""

    def __init__(self, chunks) -> None:
        self._chunks = chunks
        self.inside, self.go_on, self.refused = threading.Event(), threading.Event(), None

    def read1(self, _: int) -> bytes:
        if len(self._chunks) == 1:
            self.inside.set()
            self.go_on.wait(10)
        return self._chunks.pop(0)

    def written_to(self, session) -> None:
        try:
            session.receive(0, 6, self)
        except WrongState as error:
            self.refused = error


def test_what_nobody_goes_on_with_is_swept(tmp_path):
    sessions = Sessions(tmp_path)
    sessions.session("OLD", NOW).receive(0, 3, io.BufferedReader(io.BytesIO(b"old")))
    begun = datetime.fromtimestamp((tmp_path / "resumable-OLD").stat().st_mtime, NOW.tzinfo)

    sessions.session("NEW", begun + SWEPT - timedelta(seconds=1))
    kept = [path.name for path in tmp_path.iterdir()]
    sessions.session("NEWER", begun + SWEPT + timedelta(seconds=1))

    assert kept == ["resumable-OLD"]
    assert list(tmp_path.iterdir()) == []


def test_signature_of_another_purpose_is_no_permit():
    payload, _, _ = sign(PERMIT, "key").partition(".")
    content = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    plain = hmac.new(b"key", content, hashlib.sha256).digest()
    token = f"{payload}.{base64.urlsafe_b64encode(plain).decode().rstrip('=')}"

    with pytest.raises(Forbidden):
        verify(token, "key", NOW)


def test_permit_survives_signing():
    strange = replace(PERMIT, metadata={"name": 'é"\\\u202e\x00/'})

    assert verify(sign(strange, "key"), "key", NOW) == strange


async def test_sender_that_goes_away_leaves_nothing(app, client):
    """Half the bytes, then the connection is gone: never taken for a whole file."""
    minted = mint(client).json()
    path, _, query = minted["url"].removeprefix("http://127.0.0.1:8080").partition("?")
    told = iter(
        [
            {"type": "http.request", "body": CONTENT[:5], "more_body": True},
            {"type": "http.disconnect"},
        ]
    )
    sent = []

    async def receive():
        return next(told, {"type": "http.disconnect"})

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "PUT",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(b"host", b"127.0.0.1:8080"), (b"content-type", b"audio/wav")],
        "server": ("127.0.0.1", 8080),
        "scheme": "http",
        "http_version": "1.1",
    }
    await app(scope, receive, send)

    assert sent[0]["status"] == 400
    assert taken(app) == []
    assert put(client, minted).status_code == 201
