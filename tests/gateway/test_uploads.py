"""Uploads: what is minted, what is taken, and every forgery that is not."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlencode

import pytest

from gateway.sessions import KEPT, SWEPT, Session, Sessions
from gateway.uploads import RESUMABLE_FROM, VALID
from shared.adapters.embedded.home_permits import HomePermits
from shared.domain.api import MAX_METADATA_BYTES
from shared.domain.names import recording_id
from shared.domain.permits import Permit
from shared.domain.tenants import Tier
from shared.domain.wishes import wishes
from shared.errors import DiskFull, NotFound, WrongState
from tests.builders import NOW

CONTENT = b"RIFF, more or less"
#: As large as it takes for a session to be offered.
LONG = bytes(range(256)) * (RESUMABLE_FROM >> 8)


def mint(client, **changes):
    body = {"name": "talk.wav", "size": len(CONTENT), "content_type": "audio/wav", **changes}
    return client.post("/v1/uploads", json=body)


def put(client, minted, content=CONTENT, **headers):
    sent = {k: v for k, v in (minted["headers"] | headers).items() if v is not None}
    return client.put(minted["url"], content=content, headers=sent)


def taken(app):
    return [pending.event for pending in app.state.parts.uploads.events()]


def test_minted_address_takes_the_upload(app, client):
    minted = mint(client, metadata={"language": "en"}).json()

    answer = put(client, minted)

    (event,) = taken(app)
    assert (answer.status_code, answer.json()) == (
        200,
        {"recording_hint": minted["recording_hint"]},
    )
    assert answer.headers["x-goog-generation"] == "1"
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
    minted = mint(client, metadata={"subject": "4711"}).json()

    address, _, query = minted["url"].partition("?")
    said = dict(parse_qsl(query))
    assert address.startswith("http://127.0.0.1:8080/v1/uploads/demo/")
    assert minted["status_url"] == address
    assert minted["method"] == "PUT"
    assert minted["headers"] == {
        "Content-Type": "audio/wav",
        "x-goog-content-length-range": "18,18",
        "x-goog-if-generation-match": "0",
        "x-goog-meta-name": "talk.wav",
        "x-goog-meta-subject": "4711",
    }
    signed = {name.lower() for name in minted["headers"]} | {"host"}
    assert set(said["X-Goog-SignedHeaders"].split(";")) == signed
    begun = datetime.strptime(said["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert said["X-Goog-Expires"] == "900"
    assert datetime.fromisoformat(minted["expires_at"]) == begun + VALID


@pytest.mark.parametrize(
    ("size", "offered"), [(RESUMABLE_FROM - 1, False), (RESUMABLE_FROM, True)], ids=["1 less", "it"]
)
def test_session_is_offered_for_what_is_large(client, size, offered):
    minted = mint(client, size=size).json()

    assert (minted["resumable"] is not None) is offered
    if offered:
        begins = {**minted["headers"], "x-goog-resumable": "start"}
        assert (minted["resumable"]["method"], minted["resumable"]["headers"]) == ("POST", begins)


@pytest.mark.parametrize(
    "name", ["\u00fc \u202e.wav", "two  spaces", " ", "\r\nX-Evil: 1\x00", "=?utf-8?B?w7w=?="]
)
def test_name_arrives_as_it_was_whatever_it_is(app, client, name):
    minted = mint(client, name=name, metadata={"mine": name}).json()

    assert put(client, minted).status_code == 200
    assert dict(taken(app)[0].metadata) == {"name": name, "mine": name}
    assert all(value.isascii() and value.isprintable() for value in minted["headers"].values())


def test_upload_needs_no_token_but_its_own(client, app):
    minted = mint(client).json()
    del client.headers["X-Earwitness-Token"]

    assert put(client, minted).status_code == 200


def test_large_upload_arrives_whole_in_small_parts(app, client):
    content = bytes(range(256)) * 12_000
    minted = mint(client, size=len(content)).json()

    parts = iter([content[n : n + 70_001] for n in range(0, len(content), 70_001)] + [b""])
    answer = put(client, minted, content=parts)

    (event,) = taken(app)
    assert answer.status_code == 200
    assert app.state.parts.uploads.read(event.name, 1, 0, len(content) + 1) == content


def test_empty_upload_is_taken_so_that_its_refusal_can_be_seen(app, client):
    assert put(client, mint(client, size=0).json(), content=b"").status_code == 200
    assert taken(app)[0].size_bytes == 0


def test_address_works_once(app, client):
    minted = mint(client).json()
    put(client, minted)

    again = put(client, minted)

    assert (again.status_code, again.json()["error"]["code"]) == (412, "address_used")
    assert len(taken(app)) == 1


def test_address_works_once_across_a_restart(app, client):
    minted = mint(client).json()
    put(client, minted)
    app.state.sessions = Sessions(app.state.parts.settings.home / "tmp")

    assert put(client, minted).status_code == 412
    assert len(taken(app)) == 1


def test_address_can_be_used_again_after_a_failure(app, client):
    minted = mint(client).json()

    broken = put(client, minted, content=iter([CONTENT[:5]]))

    assert (broken.status_code, taken(app)) == (400, [])
    assert put(client, minted).status_code == 200


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


@pytest.mark.parametrize(
    "changed",
    [
        {"Content-Type": "text/html"},
        {"Content-Type": "AUDIO/WAV"},
        {"Content-Type": ""},
        {"x-goog-meta-name": "other.wav"},
        {"x-goog-meta-language": "de"},
        {"x-goog-content-length-range": "0,1000000000"},
        {"x-goog-if-generation-match": "1"},
        {"x-goog-if-generation-match": ""},
    ],
    ids=str,
)
def test_another_header_is_not_the_signed_one(app, client, changed):
    minted = mint(client, metadata={"language": "en"}).json()

    answer = put(client, minted, **changed)

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    assert taken(app) == []


@pytest.mark.parametrize(
    "name",
    [
        *("Content-Type", "x-goog-meta-language", "x-goog-meta-name"),
        *("x-goog-content-length-range", "x-goog-if-generation-match"),
    ],
)
def test_signed_header_must_be_there(app, client, name):
    answer = put(client, mint(client, metadata={"language": "en"}).json(), **{name: None})

    assert (answer.status_code, taken(app)) == (400, [])
    assert name.lower() in answer.json()["error"]["message"]


@pytest.mark.parametrize("name", ["x-goog-meta-lane", "x-goog-acl", "x-goog-resumable"])
def test_header_for_the_bucket_must_be_signed(app, client, name):
    answer = put(client, mint(client).json(), **{name: "bulk"})

    assert (answer.status_code, taken(app)) == (400, [])


def test_other_headers_are_the_senders_own(client):
    assert put(client, mint(client).json(), **{"X-Request-Id": "7"}).status_code == 200


def with_query(minted, **changes):
    """The address with parameters changed, or left out where None."""
    address, _, query = minted["url"].partition("?")
    said = {**dict(parse_qsl(query)), **{f"X-Goog-{k}": v for k, v in changes.items()}}
    return {
        **minted,
        "url": f"{address}?{urlencode({k: v for k, v in said.items() if v is not None})}",
    }


@pytest.mark.parametrize(
    "changed",
    [
        {"Expires": "86400"},
        {"Expires": "-1"},
        {"Expires": "soon"},
        {"Expires": "9" * 400},
        {"Date": "20300101T000000Z"},
        {"Date": "yesterday"},
        {"Algorithm": "none"},
        {"Credential": "earwitness/20300101/auto/storage/goog4_request"},
        {"SignedHeaders": "host"},
        {"Signature": "0" * 64},
        {"Signature": "\u00e9"},
        {"Signature": ""},
        {"Signature": None},
        {"Expires": None},
        {"More": "1"},
    ],
    ids=str,
)
def test_another_address_is_not_the_signed_one(app, client, changed):
    answer = put(client, with_query(mint(client).json(), **changed))

    assert answer.status_code in ((400, 403) if "SignedHeaders" in changed else (403,))
    assert taken(app) == []


def test_parameter_given_twice_is_refused(app, client):
    minted = mint(client).json()

    answer = put(client, {**minted, "url": minted["url"] + "&X-Goog-Expires=900"})

    assert (answer.status_code, taken(app)) == (403, [])


def test_address_signed_with_another_key_is_refused(app, client):
    minted = mint(client).json()
    name = "uploads/demo/" + minted["status_url"].rpartition("/")[2]
    permit = Permit(name, "audio/wav", len(CONTENT), {"name": "talk.wav"})
    foreign = HomePermits("another key", app.state.parts.now)

    forged = foreign.sign(permit, "http://127.0.0.1:8080", VALID)

    assert forged.headers == minted["headers"]
    assert put(client, {**minted, "url": forged.url}).status_code == 403


def test_address_of_one_name_or_tenant_does_not_open_another(app, client):
    minted, other = mint(client).json(), mint(client).json()
    query = minted["url"].partition("?")[2]
    places = [other["status_url"], minted["status_url"].replace("/demo/", "/acme/")]

    answers = [put(client, {**minted, "url": f"{place}?{query}"}) for place in places]

    assert [answer.status_code for answer in answers] == [403, 403]
    assert taken(app) == []


def test_address_opens_with_its_own_method_only(app, client):
    minted = mint(client, size=len(LONG)).json()
    begins = {**minted["headers"], "x-goog-resumable": "start"}

    posted = client.post(minted["url"], headers=minted["headers"])
    resumed = client.post(minted["url"], headers=begins)
    sent = client.put(minted["resumable"]["url"], content=LONG, headers=begins)

    assert [posted.status_code, resumed.status_code, sent.status_code] == [403, 400, 403]
    assert taken(app) == []


def test_address_found_under_another_host_is_refused(app, client):
    answer = put(client, mint(client).json(), Host="localhost:8080")

    assert (answer.status_code, taken(app)) == (403, [])


@pytest.mark.parametrize(("late", "status"), [(-1, 200), (0, 400)], ids=["in time", "expired"])
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
        ({"metadata": {"k": "v" * (MAX_METADATA_BYTES - 13)}}, 201, None),  # and name=talk.wav
        ({"metadata": {"k": "v" * (MAX_METADATA_BYTES - 12)}}, 422, "invalid_request"),
        ({"metadata": {"Kunde": "4711"}}, 422, "invalid_request"),
        ({"metadata": {"k\u00e9": "x"}}, 422, "invalid_request"),
        ({"metadata": {"": "x"}}, 422, "invalid_request"),
        ({"metadata": {"a:b": "x"}}, 422, "invalid_request"),
        ({"metadata": {"subject": "4711"}}, 201, None),
        ({"metadata": {"subject": ""}}, 422, "invalid_wish"),
        ({"metadata": {"subject": "two\nlines"}}, 422, "invalid_wish"),
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


PERMIT = Permit("uploads/demo/X", "audio/wav", 6, {})


@pytest.fixture
def long(client):
    """What is minted for a large file, begun: `minted` with its session."""
    return begun(client, mint(client, size=len(LONG)).json())


def begun(client, minted):
    asked = minted["resumable"]
    answer = client.post(asked["url"], headers=asked["headers"])
    assert answer.status_code == 201, answer.text
    return {**minted, "session": answer.headers["Location"]}


def ask(client, begun, size=len(LONG)):
    return client.put(begun["session"], headers={"Content-Range": f"bytes */{size}"})


def go_on(client, begun, start, end=len(LONG), **headers):
    span = {"Content-Range": f"bytes {start}-{end - 1}/{len(LONG)}"}
    return client.put(begun["session"], content=LONG[start:end], headers={**span, **headers})


def test_session_that_has_not_begun_holds_nothing(client, long):
    answer = ask(client, long)

    assert (answer.status_code, "Range" in answer.headers) == (308, False)


def test_session_takes_the_whole_at_once(app, client, long):
    answer = client.put(long["session"], content=LONG)

    (event,) = taken(app)
    assert (answer.status_code, answer.json()["recording_hint"]) == (200, long["recording_hint"])
    assert (event.content_type, dict(event.metadata)) == ("audio/wav", {"name": "talk.wav"})


def test_broken_upload_goes_on_where_it_stopped(app, client, long):
    assert client.put(long["session"], content=iter([LONG[:5]])).status_code == 400

    held = ask(client, long)
    answer = go_on(client, long, 5)

    (event,) = taken(app)
    assert (held.status_code, held.headers["Range"]) == (308, "bytes=0-4")
    assert (answer.status_code, answer.json()["recording_hint"]) == (200, long["recording_hint"])
    assert app.state.parts.uploads.read(event.name, 1, 0, len(LONG) + 1) == LONG


def test_of_an_upload_that_is_here_no_byte_lies_elsewhere(app, client, long):
    client.put(long["session"], content=LONG)
    put(client, mint(client).json())

    [note] = (app.state.parts.settings.home / "tmp").iterdir()
    assert note.name.endswith(".json")


def test_upload_in_pieces_says_how_much_is_held(app, client, long):
    first = go_on(client, long, 0, end=4)
    overlapping = go_on(client, long, 2, end=9)
    last = go_on(client, long, 9)

    assert (first.status_code, first.headers["Range"]) == (308, "bytes=0-3")
    assert (overlapping.status_code, overlapping.headers["Range"]) == (308, "bytes=0-8")
    assert last.status_code == 200
    assert app.state.parts.uploads.read(taken(app)[0].name, 1, 0, len(LONG) + 1) == LONG


def test_begun_upload_goes_on_after_a_restart(app, client, long):
    go_on(client, long, 0, end=4)
    app.state.sessions = Sessions(app.state.parts.settings.home / "tmp")

    assert ask(client, long).headers["Range"] == "bytes=0-3"
    assert go_on(client, long, 4).status_code == 200


def test_lost_answer_can_be_asked_for(app, client, long):
    """The upload was whole, its answer never came: asking, or going on, makes no second one."""
    go_on(client, long, 0)

    assert ask(client, long).status_code == 200
    assert go_on(client, long, 9).status_code == 200
    assert len(taken(app)) == 1


def test_what_became_of_an_upload_can_be_asked_for(client):
    minted = mint(client).json()
    before = client.get(minted["status_url"])

    put(client, minted)

    after = client.get(minted["status_url"])
    assert (before.status_code, before.json()["error"]["code"]) == (404, "not_found")
    assert (after.status_code, after.json()) == (200, {"recording_hint": minted["recording_hint"]})


def test_second_session_of_an_upload_is_the_second(app, client, long):
    other = begun(client, long)
    client.put(long["session"], content=LONG)

    late = client.put(other["session"], content=LONG)
    later = client.post(long["resumable"]["url"], headers=long["resumable"]["headers"])
    whole = put(client, long, content=LONG)

    assert [late.status_code, later.status_code, whole.status_code] == [412, 412, 412]
    assert len(taken(app)) == 1


def test_of_uploads_at_once_one_is_the_first(app, client):
    minted = mint(client).json()

    with ThreadPoolExecutor(8) as threads:
        answers = [threads.submit(put, client, minted) for _ in range(8)]

    assert sorted(one.result().status_code for one in answers) == [200] + [412] * 7
    assert len(taken(app)) == 1


@pytest.mark.parametrize(
    "span",
    [
        *(f"bytes 0-4/{len(LONG) + 1}", f"bytes 4-0/{len(LONG)}"),
        *(f"bytes 0-{len(LONG)}/{len(LONG)}", f"bytes 9-17/{len(LONG)}", "bytes", "pages 0-4/18"),
    ],
    ids=["another size", "backwards", "behind the end", "a gap", "nothing", "another unit"],
)
def test_wrong_range_is_refused(app, client, long, span):
    answer = client.put(long["session"], content=LONG, headers={"Content-Range": span})

    assert (answer.status_code, taken(app)) == (400, [])


def test_only_a_session_takes_parts(app, client):
    answer = put(client, mint(client).json(), **{"Content-Range": "bytes 0-17/18"})

    assert (answer.status_code, taken(app)) == (400, [])


@pytest.mark.parametrize("key", ["0" * 32, "x", ""])
def test_session_nobody_began_takes_nothing(app, client, long, key):
    address = long["session"].partition("=")[0]

    answer = client.put(f"{address}={key}", content=LONG)

    assert (answer.status_code, taken(app)) == (404 if len(key) == 32 else 422, [])


def test_session_of_one_name_does_not_open_another(app, client, long):
    key, other = long["session"].partition("?")[2], mint(client).json()["status_url"]

    answer = client.put(f"{other}?{key}", content=LONG)

    assert (answer.status_code, taken(app)) == (404, [])


@pytest.mark.parametrize(
    ("late", "status"),
    [(VALID, 200), (KEPT - timedelta(seconds=1), 200), (KEPT, 404)],
    ids=["the address expired", "a day less a second", "a day"],
)
def test_begun_upload_may_go_on_for_a_day(app, client, late, status):
    at = app.state.parts.now()
    app.state.parts = replace(app.state.parts, now=lambda: at)
    long = begun(client, mint(client, size=len(LONG)).json())
    go_on(client, long, 0, end=4)
    app.state.parts = replace(app.state.parts, now=lambda: at + late)

    assert go_on(client, long, 4).status_code == status


@pytest.mark.parametrize(("late", "status"), [(-1, 201), (0, 400)], ids=["in time", "expired"])
def test_session_may_not_begin_late(app, client, late, status):
    minted = mint(client, size=len(LONG)).json()
    expires = datetime.fromisoformat(minted["expires_at"])
    app.state.parts = replace(app.state.parts, now=lambda: expires + timedelta(seconds=late))

    asked = minted["resumable"]
    assert client.post(asked["url"], headers=asked["headers"]).status_code == status


class FullOnce:
    def __init__(self, inlet) -> None:
        self._inlet, self._full = inlet, True

    def put(self, *given, **named):
        if self._full:
            self._full = False
            raise DiskFull
        return self._inlet.put(*given, **named)


def test_upload_a_full_disk_refused_is_finished_by_asking(app, client, long):
    app.state.parts = replace(app.state.parts, inlet=FullOnce(app.state.parts.inlet))

    assert client.put(long["session"], content=LONG).status_code == 503
    assert ask(client, long).status_code == 200
    assert len(taken(app)) == 1


def test_of_two_requests_the_later_one_writes(tmp_path):
    """A connection that is dead and does not know it must not write behind the one that resumes."""
    session = Session(tmp_path / "resumable-KEY")
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
    old = sessions.begin(PERMIT, NOW)
    sessions.session(old).receive(0, 3, io.BufferedReader(io.BytesIO(b"old")))
    at = datetime.fromtimestamp((tmp_path / f"resumable-{old}").stat().st_mtime, NOW.tzinfo)

    sessions.begin(PERMIT, at + SWEPT - timedelta(seconds=1))
    kept = [path.name for path in tmp_path.iterdir() if old in path.name]
    sessions.begin(PERMIT, at + SWEPT + timedelta(seconds=1))

    assert sorted(kept) == [f"resumable-{old}", f"resumable-{old}.json"]
    assert not [path.name for path in tmp_path.iterdir() if old in path.name]


def test_what_a_session_may_bring_survives_a_restart(tmp_path):
    strange = replace(PERMIT, metadata={"name": '\u00e9"\\\u202e\x00/'})
    key = Sessions(tmp_path).begin(strange, NOW)

    assert Sessions(tmp_path).begun(key, NOW).permit == strange
    with pytest.raises(NotFound):
        Sessions(tmp_path).begun("0" * 32, NOW)


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
        "headers": [
            (b"host", b"127.0.0.1:8080"),
            *((k.lower().encode(), v.encode()) for k, v in minted["headers"].items()),
        ],
        "server": ("127.0.0.1", 8080),
        "scheme": "http",
        "http_version": "1.1",
    }
    await app(scope, receive, send)

    assert sent[0]["status"] == 400
    assert taken(app) == []
    assert put(client, minted).status_code == 200
