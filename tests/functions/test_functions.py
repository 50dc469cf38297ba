"""Each function through the real framework, on a store in a temporary HOME."""

import base64
import io
import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from functions_framework import create_app
from standardwebhooks import Webhook

import functions.main as source
from shared import wiring
from shared.domain.states import State
from shared.domain.tenants import Tier
from tests.broker import RecordingBroker
from tests.builders import NOW, webhook
from tests.endpoints import Endpoint, answers
from tests.laid_out import laid_out
from tests.sounds import silence_wav


@pytest.fixture
def broker():
    with RecordingBroker() as running:
        yield running


@pytest.fixture
def parts(tmp_path, monkeypatch, broker):
    monkeypatch.setenv("EARWITNESS_HOME", str(laid_out(tmp_path)))
    monkeypatch.setenv("EARWITNESS_BROKER_URL", broker.url)
    wiring.from_environment.cache_clear()
    yield wiring.from_environment()
    wiring.from_environment.cache_clear()


@pytest.fixture
def function(parts):
    """One entry point as the platform calls it."""

    def client(name):
        app = create_app(name, str(Path(source.__file__)), "cloudevent")
        app.testing = False
        return app.test_client()

    return client


def headers(kind, subject=""):
    return {
        "ce-id": "e1",
        "ce-source": "//storage.googleapis.com/projects/_/buckets/uploads",
        "ce-specversion": "1.0",
        "ce-type": kind,
        "ce-subject": subject,
        "content-type": "application/json",
    }


FINALIZED = "google.cloud.storage.object.v1.finalized"
PUBLISHED = "google.cloud.pubsub.topic.v1.messagePublished"


def stored(parts, content, name="uploads/acme/talk.wav", metadata=None):
    parts.tenants.ensure("acme", Tier.FREE, datetime.now(UTC))
    with (parts.settings.home / "in").open("wb+") as file:
        file.write(content)
        file.seek(0)
        return parts.inlet.put(
            name, file, content_type="audio/wav", metadata=metadata or {}, at=datetime.now(UTC)
        )


def finalized(upload, **changes):
    body = {
        "bucket": upload.bucket,
        "name": upload.name,
        "generation": str(upload.generation),
        "size": str(upload.size_bytes),
        "contentType": upload.content_type,
        "metadata": dict(upload.metadata),
        "timeCreated": upload.created_at.isoformat(),
    }
    kept = {k: v for k, v in (body | changes).items() if v is not None}
    return {"headers": headers(FINALIZED), "data": json.dumps(kept)}


def published(body, **attributes):
    data = base64.b64encode(json.dumps(body).encode()).decode()
    inner = {"data": data, "messageId": "1", "attributes": attributes}
    message = {"message": inner, "subscription": "s"}
    return {"headers": headers(PUBLISHED), "data": json.dumps(message)}


def complaints(caplog):
    """The codes of what was settled with a line in the log."""
    lines = [r for r in caplog.records if r.name == "earwitness.edge"]
    return [getattr(r, "code", r.getMessage().partition(":")[0]) for r in lines]


def test_an_upload_becomes_a_queued_recording_and_one_ticket(function, parts, broker):
    upload = stored(parts, silence_wav(2.0))

    answer = function("on_audio_uploaded").post("/", **finalized(upload))

    [known] = parts.recordings.page()
    assert answer.status_code == 200
    assert (known.state, known.tenant, known.path) == (State.QUEUED, "acme", "talk.wav")
    assert known.seconds == pytest.approx(2.0)
    assert broker.bodies("lane-low") == [{"v": 1, "lane": "low"}]


def test_an_event_that_comes_again_adds_nothing(function, parts, broker):
    upload = stored(parts, silence_wav(2.0))
    post = function("on_audio_uploaded").post

    codes = [post("/", **finalized(upload)).status_code for _ in range(3)]

    assert codes == [200] * 3
    assert len(parts.recordings.page()) == 1
    assert len(broker.bodies("lane-low")) == 1


def test_a_broken_broker_is_an_exception_and_the_redelivery_publishes(function, parts, broker):
    upload = stored(parts, silence_wav(2.0))
    post = function("on_audio_uploaded").post
    broker.status = 503

    first = post("/", **finalized(upload))
    broker.status = 200
    second = post("/", **finalized(upload))

    assert (first.status_code, second.status_code) == (500, 200)
    assert parts.recordings.page()[0].state is State.QUEUED


@pytest.mark.parametrize(
    ("content", "name", "metadata", "code"),
    [
        pytest.param(b"", "uploads/acme/a.wav", {}, "empty_audio", id="empty"),
        pytest.param(b"Hello, world. " * 9, "uploads/acme/a.wav", {}, "not_audio", id="text"),
        pytest.param(b"RIFF\x00", "uploads/acme/a.wav", {}, "damaged_audio", id="cut header"),
        pytest.param(b"#EXTM3U\n", "uploads/acme/a.mp3", {}, "references_elsewhere", id="hls"),
        pytest.param(silence_wav(1), "a.wav", {}, "outside_tenant_folder", id="no folder"),
        pytest.param(silence_wav(1), "uploads/stranger/a.wav", {}, "unknown_tenant", id="stranger"),
        pytest.param(
            silence_wav(1), "uploads/acme/a.wav", {"lane": "x"}, "invalid_wish", id="wish"
        ),
        pytest.param(
            silence_wav(3601, rate=4000), "uploads/acme/a.wav", {}, "audio_too_long", id="1 h 1 s"
        ),
    ],
)
def test_a_hopeless_upload_is_recorded_and_settled(
    function, parts, broker, content, name, metadata, code
):
    upload = stored(parts, content, name, metadata)

    answer = function("on_audio_uploaded").post("/", **finalized(upload))

    [known] = parts.recordings.page()
    assert answer.status_code == 200
    assert (known.state, known.error.code) == (State.REJECTED, code)
    assert broker.bodies("lane-low") == broker.bodies("lane-high") == []


@pytest.mark.parametrize(
    "changes",
    [
        {"generation": None},
        {"generation": str(2**63)},
        {"generation": "9" * 5000},
        {"size": "many"},
        {"size": "-1"},
        {"timeCreated": "yesterday"},
        {"timeCreated": "2026-01-01T00:00:00"},
        {"name": None},
        {"name": 5},
        {"name": "uploads/acme/\ud800.wav"},
        {"metadata": {"author": "\ud800"}},
        {"bucket": ["b"]},
        {"metadata": "bulk"},
        {"metadata": {"lane": 1}},
    ],
    ids=ascii,
)
def test_an_event_that_is_none_is_settled(function, parts, caplog, changes):
    upload = stored(parts, silence_wav(1.0))

    answer = function("on_audio_uploaded").post("/", **finalized(upload, **changes))

    assert answer.status_code == 200
    assert parts.recordings.page() == []
    assert complaints(caplog) == ["invalid_event"]


@pytest.mark.parametrize(
    ("attributes", "changes"),
    [
        pytest.param({"ce-knows": "tomorrow", "ce-traceparent": "odd"}, {}, id="envelope"),
        pytest.param({}, {"colour": "blue", "acl": [{}], "retention": {"x": []}}, id="object"),
        pytest.param({}, {"metadata": {"author": "Ann", "x-y": ""}}, id="metadata"),
    ],
)
def test_attributes_nobody_knows_change_nothing(function, parts, attributes, changes):
    event = finalized(stored(parts, silence_wav(1.0)), **changes)
    event["headers"] |= attributes

    answer = function("on_audio_uploaded").post("/", **event)

    [known] = parts.recordings.page()
    assert (answer.status_code, known.state) == (200, State.QUEUED)


def test_an_object_that_is_gone_is_settled(function, parts):
    upload = stored(parts, silence_wav(1.0))

    answer = function("on_audio_uploaded").post("/", **finalized(upload, generation="9"))

    assert answer.status_code == 200


def test_a_tick_rings_for_what_waits(function, parts, broker):
    upload = stored(parts, silence_wav(2.0))
    broker.status = 503
    function("on_audio_uploaded").post("/", **finalized(upload))
    broker.status, broker.taken[:] = 200, []

    answer = function("reconcile").post("/", **published({}))

    assert answer.status_code == 200
    assert parts.outbox.pending() == []
    assert len(broker.bodies("lane-low")) >= 1


def test_a_tick_hears_an_upload_whose_event_was_lost_and_says_so(function, parts, caplog):
    caplog.set_level("INFO", "earwitness.reconcile")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    parts.inlet.put(
        "uploads/demo/talk.wav",
        io.BytesIO(silence_wav(1.0)),
        content_type="audio/wav",
        metadata={},
        at=yesterday,
    )
    tick = function("reconcile")

    answers = [tick.post("/", **published({})).status_code for _ in range(2)]

    assert answers == [200, 200]
    assert [r.path for r in parts.recordings.page()] == ["talk.wav"]
    said = [r.getMessage() for r in caplog.records if r.levelname == "INFO"]
    assert said == ["reconciled: uploads_unrecorded 1"]


def test_a_tick_makes_the_tenants_that_were_declared(monkeypatch, function, parts):
    monkeypatch.setenv("EARWITNESS_TENANTS", '{"newer": "pro"}')
    for made_once in (wiring.from_environment, wiring.welcome_from_environment):
        made_once.cache_clear()

    answer = function("reconcile").post("/", **published({}))
    wiring.welcome_from_environment.cache_clear()

    assert answer.status_code == 200
    assert parts.tenants.get("newer").tier is Tier.PRO


def test_a_tick_of_another_functions_clock_is_settled_and_does_nothing(function, parts, broker):
    upload = stored(parts, silence_wav(2.0))
    broker.status = 503
    function("on_audio_uploaded").post("/", **finalized(upload))
    broker.status = 200

    other = function("reconcile").post("/", **published({}, function="another"))
    waiting = len(parts.outbox.pending())
    own = function("reconcile").post("/", **published({}, function="reconcile"))

    assert (other.status_code, own.status_code) == (200, 200)
    assert (waiting, parts.outbox.pending()) == (1, [])


def test_a_tick_puts_what_was_written_under_a_seal(function, parts):
    upload = stored(parts, silence_wav(2.0))
    function("on_audio_uploaded").post("/", **finalized(upload))

    other = function("seal").post("/", **published({}, function="another"))
    before = parts.seals.numbers("acme")
    own = function("seal").post("/", **published({}, function="seal"))

    assert (other.status_code, own.status_code) == (200, 200)
    assert (before, parts.seals.numbers("acme")) == ([], [1])
    assert parts.chains.tenants() == []
    assert wiring.verify(parts)("acme").findings == ()


def test_a_dead_letter_is_one_error_in_the_log(function, parts, caplog):
    letter = {"recording_id": "r1", "tenant": "acme", "code": "engine_died", "message": "It died."}

    answer = function("on_job_dead").post("/", **published(letter))

    assert answer.status_code == 200
    [record] = [r for r in caplog.records if r.name == "earwitness.dead"]
    assert (record.levelname, record.recording_id) == ("ERROR", "r1")


def announced(n=1, **changes):
    body = {
        "v": 1,
        "event_id": f"{n:032x}",
        "type": "recording.done",
        "recording_id": f"rec{n:05d}",
        "tenant": "acme",
        "at": NOW.isoformat(),
        "seq": 3,
        "path": "a name that is nobody's business",
    }
    return published(body | changes)


def told_to(parts, endpoint):
    hook = webhook(url=endpoint.url())
    parts.webhooks.add(hook)
    return hook


@pytest.fixture
def house(parts, monkeypatch):
    """Endpoints on this machine may be told."""
    monkeypatch.setenv("EARWITNESS_WEBHOOKS_PRIVATE", "true")
    wiring.from_environment.cache_clear()


def test_what_is_announced_arrives_signed_and_once(function, parts, house):
    with Endpoint() as endpoint:
        hook = told_to(parts, endpoint)
        post = function("on_announcement").post

        codes = [post("/", **announced()).status_code for _ in range(3)]

        _, headers, body = endpoint.take()
        assert endpoint.requests.empty()
    told = Webhook(hook.secret).verify(body, headers)
    assert codes == [200] * 3
    assert told["data"]["recording_id"] == "rec00001"
    assert b"nobody's business" not in body


def test_what_did_not_arrive_arrives_by_a_tick(function, parts, house):
    with Endpoint(said=[answers(500)]) as endpoint:
        hook = told_to(parts, endpoint)
        told = function("on_announcement").post("/", **announced())
        parts.deliveries.replay(hook.id, f"{1:032x}", parts.now())  # it is due now

        other = function("deliver").post("/", **published({}, function="reconcile"))
        tick = function("deliver").post("/", **published({}, function="deliver"))

        ids = {endpoint.take()[1]["webhook-id"] for _ in range(2)}
    [kept] = parts.deliveries.page(tenant="acme")
    assert [a.status_code for a in (told, other, tick)] == [200] * 3
    assert (ids, [a.status for a in kept.attempts]) == ({f"{1:032x}"}, [500, 204])


def test_nobody_inside_is_told_unless_it_is_wished(function, parts):
    with Endpoint() as endpoint:
        hook = told_to(parts, endpoint)

        answer = function("on_announcement").post("/", **announced())

        assert endpoint.requests.empty()
    [attempt] = parts.deliveries.get(hook.id, f"{1:032x}").attempts
    assert (answer.status_code, attempt.fault) == (200, "address_refused")


@pytest.mark.parametrize(
    "changes",
    [
        {"event_id": "a.b"},
        {"event_id": ""},
        {"event_id": 5},
        {"type": "recording."},
        {"type": "other.done"},
        {"tenant": "a/b"},
        {"recording_id": None},
        {"at": "2026-03-01T12:00:00"},
        {"seq": -1},
        {"seq": "3"},
    ],
    ids=ascii,
)
def test_an_announcement_that_is_none_is_settled(function, parts, caplog, changes):
    answer = function("on_announcement").post("/", **announced(**changes))

    assert answer.status_code == 200
    assert complaints(caplog) == ["invalid_event"]


def coded(text):
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"message": {"data": coded("no json")}}, id="no json"),
        pytest.param({"message": {"data": coded("[]")}}, id="a list"),
        pytest.param({"message": {"data": coded("1")}}, id="a number"),
        pytest.param({"message": {"data": coded("[" * 100_000)}}, id="a deep nest"),
        pytest.param({"message": {"data": "\u00e9"}}, id="no base64"),
        pytest.param({"message": {"data": "e30"}}, id="base64 cut short"),
        pytest.param({"message": {"data": "/w=="}}, id="no UTF-8"),
        pytest.param({"message": {"data": 5}}, id="data is a number"),
        pytest.param({"message": "hello"}, id="message is a text"),
        pytest.param({"message": None}, id="no message"),
        pytest.param({}, id="nothing"),
        pytest.param([], id="a list for a body"),
    ],
)
def test_a_message_that_is_none_is_settled(function, parts, caplog, body):
    answer = function("on_job_dead").post("/", headers=headers(PUBLISHED), data=json.dumps(body))

    assert answer.status_code == 200
    assert complaints(caplog) == ["invalid_event"]


ENTRY_POINTS = sorted(json.loads(Path(source.__file__).with_name("functions.json").read_text()))
STRUCTURED = {"content-type": "application/cloudevents+json"}


@pytest.mark.parametrize("name", ENTRY_POINTS)
@pytest.mark.parametrize(
    ("head", "body"),
    [
        pytest.param({}, b"", id="nothing"),
        pytest.param({"content-type": "application/json"}, b"{}", id="no event"),
        pytest.param({"content-type": "application/json"}, b"[1]", id="a list"),
        pytest.param({"content-type": "application/json"}, b"[" * 100_000, id="a deep nest"),
        pytest.param(STRUCTURED, b'{"specversion": "1.0", "id"', id="cut"),
        pytest.param(STRUCTURED, b'{"specversion": "1.0"}', id="attributes missing"),
        pytest.param(STRUCTURED, b"\xff\xfe", id="no UTF-8"),
        pytest.param(headers(PUBLISHED) | {"ce-specversion": "9"}, b"{}", id="of another version"),
        pytest.param({"ce-id": "e1"}, b"{}", id="an id alone"),
        pytest.param(
            {"content-type": "application/json"}, b'{"context": 1, "data": 2}', id="old style"
        ),
    ],
)
def test_a_request_that_is_no_event_is_settled_and_logged(
    function, parts, caplog, name, head, body
):
    """The framework answers 400, 415 or 500, which Eventarc repeats for a day."""
    answer = function(name).post("/", headers=head, data=body)

    assert answer.status_code == 204
    assert complaints(caplog) == ["invalid_event"]
    assert parts.recordings.page() == []


@pytest.mark.parametrize("name", ["on_audio_uploaded", "on_job_dead"])
@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"null", b'"text"'])
def test_an_event_without_a_body_we_can_read_is_settled(function, parts, caplog, name, body):
    answer = function(name).post("/", headers=headers(FINALIZED), data=body)

    assert answer.status_code == 200
    assert complaints(caplog) == ["invalid_event"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"null", b'"text"'])
def test_a_tick_is_a_tick_whatever_it_carries(function, parts, broker, body):
    broker.status = 503
    function("on_audio_uploaded").post("/", **finalized(stored(parts, silence_wav(1.0))))
    broker.status = 200

    answer = function("reconcile").post("/", headers=headers(PUBLISHED), data=body)

    assert answer.status_code == 200
    assert parts.outbox.pending() == []


def test_what_we_do_not_understand_asks_for_a_redelivery(function, parts):
    """Only envelopes are settled unseen; a fault of our own code stays a 500."""
    upload = stored(parts, silence_wav(1.0))
    with sqlite3.connect(parts.settings.home / wiring.STORE) as db:
        db.execute("DROP TABLE recordings")

    answer = function("on_audio_uploaded").post("/", **finalized(upload))

    assert answer.status_code == 500


def test_a_path_or_a_method_nobody_serves_is_refused_as_ever(function, parts):
    assert function("reconcile").get("/").status_code == 405
