"""Calls and their failures: what comes back, what is tried again, what is not."""

import inspect
import json
import socket
from datetime import timedelta

import httpx
import pytest

from docs import openapi
from earwitness.client import (
    AsyncEarwitness,
    Breaker,
    CircuitOpen,
    ConnectionLost,
    CorrectedStretch,
    Earwitness,
    EarwitnessError,
    NotUnderstood,
    Patience,
    Refused,
    RequestTooLarge,
    ServerFailed,
    State,
    TimedOut,
    TooManyRequests,
    Unreachable,
    WaitedTooLong,
    WrongMethod,
)
from shared import errors
from shared.domain.answers import Task
from shared.domain.api_keys import Role, Scope, id_of
from shared.domain.recording import Failure
from shared.domain.tenants import Tenant, Tier
from shared.domain.webhooks import Delivered, delivery
from shared.errors import (
    CorrectionOutdated,
    Forbidden,
    InvalidRequest,
    NotFound,
    StoreUnavailable,
    WrongState,
)
from tests.builders import NOW, happening
from tests.client.line import Answers, Cut, NoAnswer

BUSY = '{"error": {"message": "Busy.", "type": "t", "param": null, "code": "store_unavailable"}}'


def busy(retry_after: str = "") -> Answers:
    headers = f"Retry-After: {retry_after}\r\n" if retry_after else ""
    return Answers("503 Service Unavailable", BUSY.encode(), headers)


def said(code: str, status: str = "400 Bad Request") -> Answers:
    detail = {"message": f"It was {code}.", "type": "t", "param": "p", "code": code}
    return Answers(status, json.dumps({"error": detail}).encode())


def test_recording_is_read_with_its_transcript_and_history(store, ears):
    known = store.done("told.wav", [(1.0, "somebody laughed")])

    result = ears.recording(known.id)

    assert (result.status, result.recording.name) == (State.DONE, "told.wav")
    assert result.transcript.text == "somebody laughed"
    assert ears.transcript(known.id) == "somebody laughed\n"
    assert ears.transcript(known.id, "srt").startswith("1\n00:00:01,000 --> ")
    assert [line.state for line in ears.history(known.id)][-1] is State.DONE
    told = [s for s in ears.deliberations(known.id).segments if s.task is Task.TRANSCRIBE]
    assert [(s.text, [o.text for o in s.steps]) for s in told] == [
        ("somebody laughed", ["somebody laughed"])
    ]


def test_recordings_come_page_by_page_newest_first(store, line, ears):
    made = [store.received(f"{n}.wav", tenant="pages").id for n in range(5)]

    found = [r.recording.id for r in ears.recordings(tenant="pages", page_size=2)]

    assert found[:5] == made[::-1]
    assert len([a for a in line.asked() if a == "GET /v1/recordings"]) >= 3


def test_only_some_states_are_listed(store, ears):
    store.rejected("no.txt")
    store.done("yes.wav")

    found = {r.status for r in ears.recordings(states=[State.REJECTED])}

    assert found == {State.REJECTED}


def test_search_finds_the_passage(store, ears):
    store.done("door.wav", [(0.0, "it began"), (4.0, "the green door closed")])

    hit = ears.search('"green door"', limit=1)[0]

    assert (hit.recording.recording.name, hit.start_s) == ("door.wav", 4.0)


def test_dead_letter_is_listed_replayed_and_discarded(store, ears):
    one, other = store.dead("one.wav"), store.dead("other.wav")
    assert {one.id, other.id} <= {d.recording.id for d in ears.dead_letters()}

    assert ears.replay(one.id).status is State.QUEUED
    ears.discard(other.id, "not needed any more")

    left = {d.recording.id for d in ears.dead_letters()}
    assert not {one.id, other.id} & left
    assert any("not needed" in line.reason for line in ears.history(other.id))
    with pytest.raises(WrongState):
        ears.replay(one.id)


def test_dead_letter_says_what_it_died_of(store, ears):
    dead = store.dead("cause.wav")

    letter = ears.dead_letter(dead.id)

    assert letter.recording.error.code == "decoder_died"
    assert len(letter.attempts) == 1
    (day,) = {cause.day for cause in ears.causes_of_death(days=366) if cause.code == "decoder_died"}
    assert day == store.at.date()


def test_actions_are_told_a_page_at_a_time(ears, store):
    recording = store.done("asked.wav").id
    for _ in range(3):
        ears.recording(recording)

    first = ears.audit(tenant="demo", page_size=2)
    second = ears.audit(tenant="demo", before=first.next, page_size=2)

    told = [(a.route, a.status) for a in first.actions if a.recording_id == recording]
    assert told == [("/v1/recordings/{recording_id}", 200)] * 2
    assert second.actions[0].recording_id == recording
    assert first.seal is None


def test_key_is_made_told_once_and_revoked(ears):
    made = ears.make_key(scopes=[Scope.READ], name="for a look")

    [listed] = [k for k in ears.keys(tenant="demo") if k.id == made.id]
    ended = ears.revoke_key(made.id)

    assert id_of(made.key) == made.id
    assert (listed.role, listed.name, listed.revoked_at) == (Role.READER, "for a look", None)
    assert ended.revoked_at is not None
    assert ears.revoke_key(made.id) == ended
    with pytest.raises(NotFound):
        ears.revoke_key("none")


def test_usage_is_told_with_its_limits(store, ears):
    store.parts.tenants.put(Tenant("metered", Tier.FREE, store.at, (("files_a_day", 3),)))

    told = ears.usage(tenant="metered")

    assert (told.tenant, told.files.used, told.files.limit) == ("metered", 0, 3)
    assert (told.seconds.limit, told.usd.agreed) == (18_000.0, False)
    assert told.next_day_at > store.parts.now()
    with pytest.raises(NotFound):
        ears.usage(tenant="nobody-here")


def test_key_is_rotated_once_and_both_are_listed(ears):
    old = ears.make_key(role=Role.OWNER, name="nightly", expires_in_days=30)

    new = ears.rotate_key(old.id, overlap_hours=1)

    assert id_of(new.key) == new.id != old.id
    assert (new.role, new.name) == (Role.OWNER, "nightly")
    assert new.replaced.rotated_to == new.id
    assert new.replaced.expires_at - new.made_at == timedelta(hours=1)
    assert {old.id, new.id} <= {k.id for k in ears.keys(tenant="demo")}
    with pytest.raises(WrongState, match=new.id):
        ears.rotate_key(old.id)


def test_transcript_is_corrected_and_told_with_who_and_what_was_heard(store, ears):
    known = store.done("herd.wav", [(1.0, "somebody laughed"), (4.0, "the dog barked")])
    [_, second] = ears.recording(known.id).transcript.segments
    stretch = CorrectedStretch(start_s=second.start_s, end_s=second.end_s, text="the dog parked")

    made = ears.correct(known.id, base=0, segments=[stretch])
    whole = ears.correct(known.id, base=1, text="Somebody laughed. The dog parked.")

    assert (made.segments[0].original, whole.version) == ("the dog barked", 2)
    assert ears.corrections(known.id).corrections == [made, whole]
    assert "barked" in ears.transcript(known.id)
    assert "parked" in ears.transcript(known.id, "srt", corrected=True)
    with pytest.raises(CorrectionOutdated):
        ears.correct(known.id, base=1, text="So?")


def test_what_is_not_there_is_not_found(ears):
    with pytest.raises(NotFound) as refused:
        ears.recording("../../etc/passwd")

    assert refused.value.context["status"] == 404


def test_call_without_the_token_is_forbidden(connect, store):
    with pytest.raises(Forbidden, match="token"):
        connect(token=None).replay(store.dead("forbidden.wav").id)


def test_wrong_parameter_is_named(ears):
    with pytest.raises(InvalidRequest) as refused:
        ears.search("x", limit=0)

    assert refused.value.context["param"] == "limit"


# failures as types


@pytest.mark.parametrize("leaf", [e for e in errors.leaves() if e.__module__ == errors.__name__])
def test_every_code_of_the_house_is_raised_as_its_class(line, connect, leaf):
    line.faults = [said(leaf.code)]

    with pytest.raises(leaf, match=f"It was {leaf.code}.") as refused:
        connect(patience=Patience(attempts=1)).recording("x")

    assert type(refused.value) is leaf


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (said("too_large", "413 Too Large"), RequestTooLarge),
        (said("method_not_allowed", "405 No"), WrongMethod),
        (said("internal_error", "500 Oh"), ServerFailed),
        (said("of_tomorrow"), Refused),
        (said("of_tomorrow", "503 Later"), ServerFailed),
        (said("of_tomorrow", "429 Slower"), TooManyRequests),
        (Answers("502 Bad Gateway", b"<html>"), ServerFailed),
        (Answers("429 Slower"), TooManyRequests),
        (Answers("404 Not Found", b"<html>"), NotUnderstood),
        (Answers("302 Found", b"", "Location: /login\r\n"), NotUnderstood),
        (Answers("200 OK", b"<html>"), NotUnderstood),
        (Answers("200 OK", b'{"recording": 1}'), NotUnderstood),
        (Cut(0), ConnectionLost),
        (NoAnswer(), ConnectionLost),
    ],
    ids=str,
)
def test_other_failures_have_their_class_too(line, connect, answer, error):
    line.faults = [answer]

    with pytest.raises(error) as refused:
        connect(patience=Patience(attempts=1)).recording("x")

    assert type(refused.value) is error
    assert str(refused.value)


def test_code_of_tomorrow_is_told(line, connect):
    line.faults = [said("of_tomorrow")]

    with pytest.raises(Refused) as refused:
        connect().recording("x")

    assert refused.value.context == {"status": 400, "code": "of_tomorrow", "param": "p"}


def test_nobody_there_is_unreachable(connect, clock):
    ears = connect("http://127.0.0.1:1", patience=Patience(attempts=3))

    with pytest.raises(Unreachable):
        ears.recording("x")

    assert len(clock.pauses) == 2


def test_webhook_is_made_given_a_new_secret_and_removed(store, ears):
    made = ears.make_webhook("https://example.com/h", types=["recording.done"], tenant="demo")
    turned = ears.rotate_webhook(made.id, overlap_hours=1)

    [listed] = [w for w in ears.webhooks(tenant="demo") if w.id == made.id]
    removed = ears.remove_webhook(made.id)

    assert made.secret.startswith("whsec_")
    assert turned.secret not in ("", made.secret)
    assert listed == removed
    assert not hasattr(listed, "secret")
    with pytest.raises(NotFound):
        ears.remove_webhook(made.id)
    with pytest.raises(InvalidRequest):
        ears.make_webhook("http://127.0.0.1/")


def test_deliveries_come_page_by_page_and_are_replayed(store, ears):
    hook = ears.make_webhook("https://example.com/h", tenant="demo")
    kept = store.parts.webhooks.get(hook.id)
    for n in range(5):
        store.parts.deliveries.enqueue(delivery(kept, happening(n), NOW, 0.0))

    found = list(ears.deliveries(hook.id, page_size=2))
    none = list(ears.deliveries(hook.id, state=Delivered.FAILED))
    again = ears.replay_delivery(hook.id, found[0].event_id)

    assert [d.event_id for d in found] == [happening(n).event_id for n in (4, 3, 2, 1, 0)]
    assert none == []
    assert (again.event_id, again.state) == (found[0].event_id, Delivered.WAITING)
    with pytest.raises(NotFound):
        ears.replay_delivery(hook.id, "nothing")


def test_keys_of_tomorrow_are_ignored(store, line, connect):
    known = store.done("tomorrow.wav")
    document = json.loads(store.parts.results.load(known.result, "result.json"))
    document["new"] = document["recording"]["new"] = 1
    line.faults = [Answers("200 OK", json.dumps(document).encode())]

    assert connect().recording("x").recording.id == known.id


# trying again


def test_busy_gateway_is_asked_again(store, line, ears, clock):
    known = store.done("busy.wav")
    line.faults = [busy(), busy()]

    assert ears.recording(known.id).recording.id == known.id

    assert len(line.heads) == 3
    assert len(clock.pauses) == 2
    assert clock.pauses[0] < clock.pauses[1] <= 2 * 0.2 + 0.2


@pytest.mark.parametrize(
    ("given", "least_s"),
    [
        ("7", 7),
        ("Fri, 31 Dec 1999 23:59:59 GMT\r\nDate: Fri, 31 Dec 1999 23:59:50 GMT", 9),
        ("soon", 0),
    ],
    ids=["seconds", "date", "nonsense"],
)
def test_gateway_says_when_to_come_back(store, line, ears, clock, given, least_s):
    known = store.done("back.wav")
    line.faults = [busy(given)]

    ears.recording(known.id)

    assert least_s <= clock.pauses[0] <= max(least_s, 0.4)


def test_total_time_is_bounded(line, connect, clock):
    ears = connect(patience=Patience(total_s=20))
    line.faults = [busy("6")] * 99

    with pytest.raises(StoreUnavailable):
        ears.recording("x")

    assert (len(line.heads), clock.pauses) == (4, [6, 6, 6])


def test_attempts_are_bounded(line, connect, clock):
    ears = connect(patience=Patience(attempts=3))
    line.faults = [busy()] * 99

    with pytest.raises(StoreUnavailable):
        ears.recording("x")

    assert (len(line.heads), len(clock.pauses)) == (3, 2)


def test_refusal_is_not_tried_again(line, ears, clock):
    line.faults = [said("forbidden", "403 No")]

    with pytest.raises(Forbidden):
        ears.recording("x")

    assert (len(line.heads), clock.pauses) == (1, [])


@pytest.mark.parametrize("fault", [busy(), NoAnswer(), Cut(10)], ids=["busy", "no answer", "cut"])
def test_what_may_have_been_done_is_not_done_twice(store, line, ears, clock, fault):
    dead = store.dead("once.wav")
    line.faults = [fault]

    with pytest.raises(EarwitnessError):
        ears.replay(dead.id)

    assert clock.pauses == []


def test_what_never_left_is_tried_again_whatever_it_is(connect, clock):
    with pytest.raises(Unreachable):
        connect("http://127.0.0.1:1", patience=Patience(attempts=3)).replay("x")

    assert len(clock.pauses) == 2


def test_silence_is_timed_out(app, connect):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        quick = httpx.Timeout(5.0, read=0.05)
        kind = httpx.Client if connect.colour == "blocking" else httpx.AsyncClient
        ears = connect(url, http=kind(timeout=quick), patience=Patience(attempts=1))

        with pytest.raises(TimedOut):
            ears.recording("x")


# the breaker


def test_gateway_that_fails_again_and_again_is_left_alone(store, line, connect, clock):
    known = store.done("left.wav")
    ears = connect(patience=Patience(attempts=1), breaker=Breaker(clock, failures=3, cool_s=10))
    line.faults = [busy()] * 3
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            ears.recording(known.id)

    with pytest.raises(CircuitOpen) as alone:
        ears.recording(known.id)

    assert len(line.heads) == 3
    assert alone.value.context["retry_after_s"] == 10
    clock.now_s += 10
    assert ears.recording(known.id).recording.id == known.id


def test_upload_waits_for_the_breaker(line, connect, clock, tmp_path):
    """A file that is half there is not given up because others were refused."""
    breaker = Breaker(clock, failures=2, cool_s=10)
    sound = tmp_path / "sound.wav"
    sound.write_bytes(b"x" * 300_000)
    line.faults = [Cut(100_000), Cut(0), Cut(0)]

    done = connect(breaker=breaker).upload(sound)

    assert done.size_bytes == 300_000
    assert sum(clock.pauses) > 10
    assert sum(head.startswith("PUT") for head in line.heads) <= 5, "it did not wait"


# waiting


def test_wait_ends_when_the_recording_is_settled(store, ears, clock):
    lease = store.leased("awaited.wav")
    clock.meanwhile = [lambda: None, lambda: store.finish(lease)]

    result = ears.wait(lease.recording.id)

    assert result.status is State.DONE
    assert len(clock.pauses) == 2
    assert clock.pauses == sorted(clock.pauses)


def test_wait_begins_before_the_upload_was_noticed(store, ears, clock):
    draft = store._draft("noticed.wav", "demo", None, "audio/wav")
    refused = Failure("not_audio", "The file holds no audio.")
    clock.meanwhile = [lambda: store.parts.recordings.refuse(draft, refused)]

    result = ears.wait(draft.id)

    assert (result.status, result.error.code) == (State.REJECTED, "not_audio")


def test_wait_ends_in_time(store, ears, clock):
    known = store.received("slow.wav")

    with pytest.raises(WaitedTooLong):
        ears.wait(known.id, timeout_s=30)

    assert clock.now_s <= 1_030


def test_what_never_arrives_is_not_found(ears, clock):
    with pytest.raises(NotFound):
        ears.wait("0" * 32)

    assert 1_100 < clock.now_s < 1_130


# complete

CALLED = {
    "get /v1/recordings": "recordings",
    "get /v1/recordings/{recording_id}": "recording",
    "get /v1/recordings/{recording_id}/history": "history",
    "get /v1/recordings/{recording_id}/decisions.json": "deliberations",
    "get /v1/recordings/{recording_id}/transcript.{format}": "transcript",
    "get /v1/recordings/{recording_id}/corrections": "corrections",
    "post /v1/recordings/{recording_id}/corrections": "correct",
    "post /v1/uploads": "upload",
    "get /v1/uploads/{tenant}/{key}": "upload",
    "post /v1/uploads/{tenant}/{key}": "upload",
    "put /v1/uploads/{tenant}/{key}": "upload",
    "get /v1/search": "search",
    "get /v1/dead-letters": "dead_letters",
    "get /v1/dead-letters/causes": "causes_of_death",
    "get /v1/dead-letters/{recording_id}": "dead_letter",
    "post /v1/dead-letters/{recording_id}/replay": "replay",
    "post /v1/dead-letters/{recording_id}/discard": "discard",
    "get /v1/audit": "audit",
    "get /v1/usage": "usage",
    "get /v1/keys": "keys",
    "post /v1/keys": "make_key",
    "post /v1/keys/{key_id}/rotation": "rotate_key",
    "delete /v1/keys/{key_id}": "revoke_key",
    "get /v1/recordings/{recording_id}/extension": "keeping",
    "post /v1/recordings/{recording_id}/extension": "extend",
    "put /v1/recordings/{recording_id}/hold": "hold",
    "delete /v1/recordings/{recording_id}/hold": "release",
    "delete /v1/recordings/{recording_id}": "erase",
    "get /v1/erasures/{erasure_id}": "erasure",
    "post /v1/exports": "make_export",
    "post /v1/exports/{export_id}/plan": "make_export",
    "get /v1/exports/{export_id}": "export",
    "get /v1/exports/{export_id}/archive": "fetch_export",
    "delete /v1/exports/{export_id}": "end_export",
    "get /v1/webhooks": "webhooks",
    "post /v1/webhooks": "make_webhook",
    "delete /v1/webhooks/{webhook_id}": "remove_webhook",
    "post /v1/webhooks/{webhook_id}/secret": "rotate_webhook",
    "get /v1/webhooks/{webhook_id}/deliveries": "deliveries",
    "post /v1/webhooks/{webhook_id}/deliveries/{event_id}/replay": "replay_delivery",
    "get /v1/events": "events",
}
#: The sound is for the page's player; health is for those who watch the gateway.
UNCALLED = {"get /v1/recordings/{recording_id}/audio", "get /healthz"}
#: OpenAI's own client calls these (tests/gateway/test_openai_client.py).
THEIRS = {
    "post /v1/audio/transcriptions",
    "post /v1/audio/translations",
    "get /v1/models",
    "get /v1/models/{model}",
}
#: Without a call so far: a form with files, and nothing is kept.
ANALYSES = {"post /v1/analyses"}


def test_every_operation_of_the_api_has_its_call():
    paths = json.loads(openapi.document())["paths"]
    operations = {f"{verb} {path}" for path, verbs in paths.items() for verb in verbs}

    assert operations == set(CALLED) | UNCALLED | THEIRS | ANALYSES
    assert [name for name in CALLED.values() if not callable(getattr(Earwitness, name, None))] == []


def test_both_clients_have_the_same_calls():
    def calls_of(client):
        public = {n: f for n, f in inspect.getmembers(client, callable) if n[0] != "_"}
        return {n: list(inspect.signature(f).parameters) for n, f in public.items()}

    assert calls_of(Earwitness) == calls_of(AsyncEarwitness)
