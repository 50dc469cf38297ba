"""Corrections by API and by form: who, when and the original are kept; the machine's stays."""

import dataclasses

import pytest

from gateway.security import MAX_CORRECTION
from shared.domain.api_keys import ENTROPY_BYTES, WRITER, minted
from shared.domain.corrections import MAX_STRETCHES, MAX_TEXT, MAX_WHOLE
from tests.builders import NOW
from tests.gateway.testimony import TEXT

SPOKEN = [(1.0, "the witness herd a dog"), (4.0, "it barked twice")]
FIRST = {"start_s": 1.0, "end_s": 3.4, "text": "the witness heard a dog"}
SECOND = {"start_s": 4.0, "end_s": 5.4, "text": "it barked thrice"}


@pytest.fixture
def known(store):
    return store.done(spoken=SPOKEN)


def send(client, known, base=0, *segments, **more):
    body = {"base": base, **({"segments": list(segments)} if segments else {}), **more}
    return client.post(f"/v1/recordings/{known.id}/corrections", json=body)


def listed(client, known):
    return client.get(f"/v1/recordings/{known.id}/corrections").json()


def error(answer):
    return answer.status_code, answer.json()["error"]["code"]


def test_nobody_has_corrected_anything(client, known):
    assert listed(client, known) == {"version": 0, "corrections": []}


def test_a_correction_tells_who_when_and_what_was_heard(client, app, known):
    app.state.parts = dataclasses.replace(app.state.parts, now=lambda: NOW)

    answer = send(client, known, 0, FIRST)

    made = answer.json()
    assert answer.status_code == 201
    assert made["version"] == 1
    assert made["at"] == "2026-03-01T12:00:00Z"
    assert made["by"]["key"] is None
    assert made["by"]["name"]
    [one] = made["segments"]
    assert (one["text"], one["original"]) == (FIRST["text"], SPOKEN[0][1])
    assert listed(client, known) == {"version": 1, "corrections": [made]}


def test_a_keys_name_and_id_are_who(client, app, known):
    text, key = minted("demo", WRITER, "call centre", NOW, b"\x01\x02" * (ENTROPY_BYTES // 2))
    app.state.parts.api_keys.add(key)
    client.headers["Authorization"] = f"Bearer {text}"

    assert send(client, known, 0, FIRST).json()["by"] == {"name": "call centre", "key": key.id}


def test_the_machines_testimony_stays_and_the_corrected_one_is_asked_for(client, known):
    before = client.get(f"/v1/recordings/{known.id}").content
    send(client, known, 0, FIRST)
    send(client, known, 1, SECOND)

    def said(form, query=""):
        return client.get(f"/v1/recordings/{known.id}/transcript.{form}{query}").text

    assert client.get(f"/v1/recordings/{known.id}").content == before
    assert "herd" in said("txt")
    for form in ("txt", "srt", "vtt", "json"):
        assert "thrice" not in said(form)
        assert "thrice" in said(form, "?corrected=true")
    assert "herd" not in said("txt", "?corrected=true")


def test_uncorrected_it_is_the_machines_either_way(client, known):
    path = f"/v1/recordings/{known.id}/transcript.json"

    assert client.get(f"{path}?corrected=true").content == client.get(path).content


def test_a_corrected_stretch_has_neither_words_nor_confidence(client, known):
    send(client, known, 0, FIRST)

    path = f"/v1/recordings/{known.id}/transcript.json?corrected=true"
    first, second = client.get(path).json()["segments"]

    assert (first["text"], first["words"], first["confidence"]) == (FIRST["text"], [], None)
    assert second["words"]


def test_who_corrects_what_somebody_corrected_meanwhile_is_told(client, known):
    send(client, known, 0, FIRST)

    assert error(send(client, known, 0, SECOND)) == (409, "correction_outdated")
    assert error(send(client, known, 2, SECOND)) == (409, "correction_outdated")
    assert listed(client, known)["version"] == 1


def test_the_whole_text_may_be_corrected(client, known):
    made = send(client, known, 0, text=" All\nof it. ").json()

    assert (made["text"], made["original"]) == ("All\nof it.", f"{SPOKEN[0][1]} {SPOKEN[1][1]}")
    path = f"/v1/recordings/{known.id}/transcript.txt?corrected=true"
    assert "All" in client.get(path).text


def test_across_what_stands_there_nothing_is_corrected(client, known):
    across = {"start_s": 2.0, "end_s": 4.5, "text": "x"}

    assert error(send(client, known, 0, across)) == (422, "unplaced_correction")
    assert listed(client, known)["version"] == 0


@pytest.mark.parametrize("state", ["dead", "received", "rejected"])
def test_what_has_no_transcript_is_not_corrected(client, store, state):
    known = getattr(store, state)()

    assert error(send(client, known, 0, text="x")) == (409, "wrong_state")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"base": 0}, id="neither"),
        pytest.param({"base": 0, "text": "x", "segments": [FIRST]}, id="both"),
        pytest.param({"base": -1, "text": "x"}, id="base below 0"),
        pytest.param({"text": "x"}, id="no base"),
        pytest.param({"base": 0, "segments": []}, id="no stretch"),
        pytest.param({"base": 0, "segments": [FIRST] * (MAX_STRETCHES + 1)}, id="too many"),
        pytest.param({"base": 0, "segments": [FIRST | {"end_s": 1.0}]}, id="backwards"),
        pytest.param({"base": 0, "segments": [FIRST | {"who": "me"}]}, id="unknown key"),
        pytest.param({"base": 0, "segments": [FIRST | {"text": "x" * (MAX_TEXT + 1)}]}, id="long"),
        pytest.param({"base": 0, "text": "bell \x07"}, id="control character"),
        pytest.param({"base": 0, "segments": [FIRST | {"channel": -1}]}, id="channel"),
    ],
)
def test_what_is_not_understood_is_refused(client, known, body):
    answer = client.post(f"/v1/recordings/{known.id}/corrections", json=body)

    assert answer.status_code in (413, 422)
    assert listed(client, known)["version"] == 0


def test_the_limit_itself_is_fine(client, known):
    assert send(client, known, 0, FIRST | {"text": "x" * MAX_TEXT}).status_code == 201


def test_the_whole_text_of_four_hours_is_taken_at_once(client, known):
    said = "é" * MAX_WHOLE

    assert send(client, known, 0, text=said).status_code == 201
    assert error(send(client, known, 1, text=said + "é"))[0] == 422
    assert error(send(client, known, 1, text="x" * MAX_CORRECTION)) == (413, "too_large")


def test_three_hours_are_confirmed_at_once(client, store):
    known = store.done("long.wav", spoken=[(n * 3.0, "so it is") for n in range(MAX_STRETCHES + 9)])
    token = client.headers["X-Earwitness-Token"]

    client.post(f"/recordings/{known.id}/confirmation", data={"token": token, "base": 0})

    first, second = listed(client, known)["corrections"]
    assert (len(first["segments"]), len(second["segments"])) == (MAX_STRETCHES, 9)


def test_without_the_pages_token_nothing_is_corrected(client, known):
    del client.headers["X-Earwitness-Token"]

    assert error(send(client, known, 0, FIRST)) == (403, "forbidden")
    form = client.post(f"/recordings/{known.id}/corrections", data={"base": 0, **FIRST})
    assert form.status_code == 403
    assert listed(client, known)["version"] == 0


class TestTheForm:
    def post(self, client, known, **fields):
        sent = {"token": client.headers["X-Earwitness-Token"], "base": 0, **FIRST, **fields}
        headers = {"Accept": "text/html"}
        path = f"/recordings/{known.id}/corrections"
        return client.post(path, data=sent, headers=headers, follow_redirects=False)

    def test_it_leads_back_to_the_stretch(self, client, known):
        answer = self.post(client, known, channel="")

        assert answer.status_code == 303
        assert answer.headers["location"] == f"/recordings/{known.id}#t=1.00"
        assert listed(client, known)["corrections"][0]["segments"][0]["text"] == FIRST["text"]

    def test_emptied_it_says_that_nothing_is_said_there(self, client, known):
        self.post(client, known, text="")

        assert listed(client, known)["corrections"][0]["segments"][0]["text"] == ""

    def test_somebody_was_faster(self, client, known):
        send(client, known, 0, SECOND)

        answer = self.post(client, known)

        assert answer.status_code == 409
        assert "Somebody corrected this meanwhile" in answer.text

    def test_nonsense_is_refused_kindly(self, client, known):
        answer = self.post(client, known, start_s="soon")

        assert answer.status_code == 400
        assert "Load the page again" in answer.text


def test_the_original_stays_findable(client, known):
    """Search finds the machine's testimony."""
    send(client, known, 0, FIRST)

    hits = client.get("/v1/search?q=herd").json()["hits"]

    assert [hit["recording"]["recording"]["id"] for hit in hits] == [known.id]
    assert TEXT not in str(hits)
