"""The list, its pages, one result, its transcripts, its history."""

import json
from dataclasses import replace

import jsonschema
import pytest

from gateway.cursors import cursor_after, position
from shared.domain.result import schema_document
from shared.errors import InvalidRequest
from tests.gateway.testimony import TEXT


def ids(answer):
    return [r["recording"]["id"] for r in answer.json()["recordings"]]


def test_what_each_engine_said_is_told(client, store):
    known, waiting = store.done(), store.received("waiting.wav")

    told = client.get(f"/v1/recordings/{known.id}/decisions.json").json()

    assert told["schema"] == "earwitness.decisions/v1"
    [said, *_] = told["segments"]
    assert (said["engine"], said["text"], said["steps"][0]["verdict"]) == (
        "whisper",
        TEXT,
        "accept",
    )
    assert client.get(f"/v1/recordings/{waiting.id}/decisions.json").status_code == 404


def test_empty_store_is_an_empty_list(client):
    assert client.get("/v1/recordings").json() == {"recordings": [], "next": None}


def test_list_is_newest_first(client, store):
    made = [store.received(f"{n}.wav").id for n in range(3)]

    assert ids(client.get("/v1/recordings")) == made[::-1]


def test_pages_show_every_recording_once(client, store):
    made = [store.received(f"{n}.wav").id for n in range(7)]

    seen, following, pages = [], "", 0
    while following is not None:
        query = {"limit": 3} | ({"before": following} if following else {})
        answer = client.get("/v1/recordings", params=query)
        seen += ids(answer)
        following, pages = answer.json()["next"], pages + 1

    assert (seen, pages) == (made[::-1], 3)


@pytest.mark.parametrize(("number", "more"), [(2, False), (3, True)])
def test_next_is_null_on_the_last_page(client, store, number, more):
    for n in range(number):
        store.received(f"{n}.wav")

    assert (client.get("/v1/recordings?limit=2").json()["next"] is not None) is more


def test_new_recordings_do_not_shift_the_pages(client, store):
    made = [store.received(f"{n}.wav").id for n in range(4)]
    first = client.get("/v1/recordings?limit=2")
    store.received("new.wav")

    second = client.get("/v1/recordings", params={"limit": 2, "before": first.json()["next"]})

    assert ids(first) + ids(second) == made[::-1]


def test_cursor_leads_back_to_its_row(store):
    known = store.received()

    assert position(cursor_after(known)) == (known.received_at, known.id)


@pytest.mark.parametrize("cursor", ["x", "AAAA", "é", "MjAyNi0wMS0wMVQwMDowMCBpZA", "====", "a b"])
def test_foreign_cursor_is_refused(cursor):
    """The fourth is a well-formed time without a zone."""
    with pytest.raises(InvalidRequest):
        position(cursor)


def test_filters_by_state_and_tenant(client, store):
    theirs = store.received("a.wav", tenant="acme").id
    store.received("b.wav")
    refused = store.rejected().id

    assert ids(client.get("/v1/recordings?tenant=acme")) == [theirs]
    assert ids(client.get("/v1/recordings?state=rejected")) == [refused]
    assert len(ids(client.get("/v1/recordings?state=rejected&state=received"))) == 3
    assert ids(client.get("/v1/recordings?tenant=nobody")) == []


def test_row_says_what_is_known(client, store):
    store.processing("talk.wav", progress=0.43)

    (row,) = client.get("/v1/recordings").json()["recordings"]

    assert (row["status"], row["progress"], row["attempts"]) == ("processing", 0.43, 1)
    assert row["recording"]["name"] == "talk.wav"


def test_rejected_row_says_why(client, store):
    store.rejected()

    (row,) = client.get("/v1/recordings").json()["recordings"]

    assert row["error"] == {"code": "not_audio", "message": "The file holds no audio."}


def test_done_recording_is_its_result(client, store):
    done = store.done()

    document = client.get(f"/v1/recordings/{done.id}").json()

    assert document["transcript"]["text"] == TEXT
    assert document["status"] == "done"
    jsonschema.validate(document, schema_document())


@pytest.mark.parametrize("state", ["received", "processing", "deferred", "rejected", "dead"])
def test_unfinished_recording_has_the_same_shape(client, store, state):
    known = getattr(store, state)()

    document = client.get(f"/v1/recordings/{known.id}").json()

    assert (document["status"], document["transcript"]) == (state, None)
    jsonschema.validate(document, schema_document())


@pytest.mark.parametrize(
    ("suffix", "kind", "begins"),
    [
        ("json", "application/json", "{"),
        ("srt", "application/x-subrip; charset=utf-8", "1\n00:00:01,000 --> "),
        ("vtt", "text/vtt; charset=utf-8", "WEBVTT"),
        ("txt", "text/plain; charset=utf-8", "the witness"),
    ],
)
def test_transcript_in_each_format(client, store, suffix, kind, begins):
    done = store.done("sub/tälk.wav")

    answer = client.get(f"/v1/recordings/{done.id}/transcript.{suffix}")

    assert answer.text.replace("\r\n", "\n").startswith(begins)
    assert answer.headers["content-type"] == kind
    assert answer.headers["content-disposition"] == (
        f"attachment; filename=\"t_lk.wav.{suffix}\"; filename*=UTF-8''t%C3%A4lk.wav.{suffix}"
    )


def test_transcript_json_has_every_word(client, store):
    done = store.done()

    transcript = client.get(f"/v1/recordings/{done.id}/transcript.json").json()

    spoken = [word["text"] for s in transcript["segments"] for word in s["words"]]
    assert spoken == TEXT.split()


def test_unfinished_recording_has_no_transcript(client, store):
    known = store.received()

    answer = client.get(f"/v1/recordings/{known.id}/transcript.txt")

    assert answer.status_code == 404
    assert "received" in answer.json()["error"]["message"]


def test_unknown_format_is_refused(client, store):
    assert client.get(f"/v1/recordings/{store.done().id}/transcript.doc").status_code == 422


def test_history_is_told_in_order(client, store):
    dead = store.dead()

    lines = client.get(f"/v1/recordings/{dead.id}/history").json()["history"]

    assert [line["state"] for line in lines] == ["received", "processing", "dead"]
    assert lines[-1]["reason"] == "decoder_died"


def test_search_finds_the_moment(client, store):
    done = store.done(spoken=[(1.0, "nothing of note"), (7.5, "a dog barked")])

    (hit,) = client.get("/v1/search?q=dog").json()["hits"]

    assert (hit["recording"]["recording"]["id"], hit["start_s"]) == (done.id, 7.5)
    assert hit["snippet"] == "a \x02dog\x03 barked"


@pytest.mark.parametrize("q", ["", '"', "*", "dog\x00bark", "NEAR(", "a OR", "\x02", "{}^-:"])
def test_nothing_in_a_search_is_an_operator(client, store, q):
    store.done(spoken=[(0.0, "dog bark")])

    assert client.get("/v1/search", params={"q": q}).status_code == 200


def test_search_stays_inside_the_tenant_asked_for(client, store):
    store.done("a.wav", tenant="acme", spoken=[(0.0, "a dog")])
    store.done("b.wav", spoken=[(0.0, "a dog")])

    assert len(client.get("/v1/search?q=dog").json()["hits"]) == 2
    assert len(client.get("/v1/search?q=dog&tenant=acme").json()["hits"]) == 1
    assert len(client.get("/v1/search?q=dog&limit=1").json()["hits"]) == 1


def test_dead_letters_are_listed_with_their_cause(client, store):
    store.done("fine.wav")
    dead = store.dead(message="The decoder died.")

    (row,) = client.get("/v1/dead-letters").json()["recordings"]

    assert row["recording"]["id"] == dead.id
    assert row["error"]["message"] == "The decoder died."
    assert client.get("/v1/dead-letters?tenant=acme").json() == {"recordings": []}


def test_replay_queues_a_dead_job_again(client, store):
    dead = store.dead()

    answer = client.post(f"/v1/dead-letters/{dead.id}/replay")

    assert (answer.status_code, answer.json()["status"]) == (200, "queued")
    assert answer.json()["lane"] == "low"
    assert client.get("/v1/dead-letters").json() == {"recordings": []}
    assert client.post(f"/v1/dead-letters/{dead.id}/replay").status_code == 409


def test_discard_takes_a_dead_job_off_the_list_for_good(client, store):
    dead = store.dead()

    first = client.post(f"/v1/dead-letters/{dead.id}/discard", json={"why": "a test tone"})
    second = client.post(f"/v1/dead-letters/{dead.id}/discard", json={"why": "a test tone"})

    assert (first.status_code, second.status_code) == (200, 200)
    assert client.get("/v1/dead-letters").json() == {"recordings": []}
    assert store.known(dead.id).state == "dead"


@pytest.mark.parametrize("verb", ["replay", "discard"])
def test_only_dead_jobs_are_replayed_or_discarded(client, store, verb):
    done = store.done()

    said = {"why": "a test tone"}

    assert client.post(f"/v1/dead-letters/{done.id}/{verb}", json=said).status_code == 409
    assert client.post(f"/v1/dead-letters/none/{verb}", json=said).status_code == 404


@pytest.mark.parametrize(
    "said",
    [
        pytest.param({"content": b""}, id="nothing"),
        pytest.param({"json": {}}, id="no why"),
        pytest.param({"json": {"why": "  "}}, id="blank"),
        pytest.param({"json": {"why": "x" * 501}}, id="long"),
        pytest.param({"json": ["why"]}, id="list"),
        pytest.param({"content": b"{"}, id="no json"),
    ],
)
def test_a_discard_without_a_reason_changes_nothing(client, store, said):
    dead = store.dead()

    answer = client.post(f"/v1/dead-letters/{dead.id}/discard", **said)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")
    assert store.known(dead.id) == dead
    assert len(client.get("/v1/dead-letters").json()["recordings"]) == 1


def test_a_letter_is_shown_with_each_attempt_and_who_discarded_it(client, store):
    dead = store.dead(message="It died.", engine="whisper")

    before = client.get(f"/v1/dead-letters/{dead.id}").json()
    client.post(f"/v1/dead-letters/{dead.id}/discard", json={"why": "a test tone"})
    after = client.get(f"/v1/dead-letters/{dead.id}").json()

    assert before["recording"]["error"] == {"code": "decoder_died", "message": "It died."}
    [attempt] = before["attempts"]
    assert (attempt["number"], attempt["worker"], attempt["engine"]) == (1, "worker-1", "whisper")
    assert attempt["error"] == {"code": "decoder_died", "message": "It died."}
    assert attempt["began_at"] <= attempt["ended_at"]
    assert before["discarded"] is None
    assert after["attempts"] == before["attempts"]
    assert (after["discarded"]["actor"], after["discarded"]["reason"]) == (
        *("api", "discarded: a test tone"),
    )


def test_no_letter_no_attempts(client, store):
    waiting = store.received()

    assert client.get("/v1/dead-letters/none").status_code == 404
    assert client.get(f"/v1/dead-letters/{waiting.id}").json()["attempts"] == []


def test_causes_are_counted_over_the_days_asked_for(client, store):
    first = store.dead()
    store.at = store.parts.now()
    store.dead("second.wav")
    store.dead("third.wav")
    client.post(f"/v1/dead-letters/{first.id}/discard", json={"why": "a test tone"})

    told = client.get("/v1/dead-letters/causes?days=2").json()["causes"]

    assert sum(cause["count"] for cause in told) == 2
    assert {cause["code"] for cause in told} == {"decoder_died"}
    assert client.get("/v1/dead-letters/causes?days=0").status_code in (400, 422)
    assert client.get("/v1/dead-letters/causes?days=367").status_code in (400, 422)


class Told:
    """A broker that takes every message."""

    def __init__(self) -> None:
        self.messages: list[object] = []

    def publish(self, messages) -> None:
        self.messages += messages


def test_replay_rings_at_once(app, client, store):
    dead, told = store.dead(), Told()
    app.state.parts = replace(app.state.parts, publisher=told)

    client.post(f"/v1/dead-letters/{dead.id}/replay")

    assert json.loads(json.dumps([m.body for m in told.messages if m.topic == "lane-low"])) == [
        {"v": 1, "lane": "low"}
    ]
