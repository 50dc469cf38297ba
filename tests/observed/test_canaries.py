"""S6: what is a user's, or secret, stands in no log line, span, metric or error answer."""

import io
import json
import logging
import os
import struct
from dataclasses import replace

import pytest

from local.child_log import LineFormatter
from shared.domain.states import State
from shared.logs import Json
from tests.sounds import speech, tone_wav
from tests.spans import collected

#: One word for each kind of thing that must not be seen.
NAME, TITLE, FOLDER, WISH = "canaryname", "canarytitle", "canaryfolder", "canarywish"
KEY, EMAIL = "sk-canarykey", "canary.mail@example.com"
OBJECT = f"uploads/demo/{FOLDER}/{NAME}.wav"


class Watch:
    """Everything said at DEBUG, in both forms, and every span."""

    def __init__(self, spans):
        self._text, self._json, self.spans = io.StringIO(), io.StringIO(), spans
        self.handlers = []
        for stream, form in ((self._text, LineFormatter()), (self._json, Json("project"))):
            handler = logging.StreamHandler(stream)
            handler.setFormatter(form)
            self.handlers.append(handler)

    def lines(self):
        return self._text.getvalue() + self._json.getvalue()

    def all(self, *more):
        measured = [span.to_json() for span in self.spans.all()]
        return "\n".join([self.lines(), *measured, *more]).lower()


@pytest.fixture
def watch():
    root, ours = logging.getLogger(), logging.getLogger("earwitness")
    with collected() as spans:
        found, before = Watch(spans), (root.level, ours.level)
        for handler in found.handlers:
            root.addHandler(handler)
        root.setLevel(logging.INFO)
        ours.setLevel(logging.DEBUG)
        yield found
        for handler in found.handlers:
            root.removeHandler(handler)
        root.setLevel(before[0])
        ours.setLevel(before[1])


@pytest.fixture
async def watched(watch, monkeypatch, world):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return world


def canaries(world, transcript=()):
    token = world.keys.authorization().removeprefix("Bearer ")
    page = [p for p in (world.parts.settings.home / "keys").glob("*") if p.is_file()]
    secrets = [token, token.split(".")[2], *(p.read_text(errors="ignore")[40:80] for p in page)]
    return [NAME, TITLE, FOLDER, WISH, KEY, EMAIL, *transcript, *secrets]


def seen(watch, world, *more, transcript=()):
    everything = watch.all(json.dumps(world.house.pushes), *more)
    return [c for c in canaries(world, transcript) if c.strip() and c.lower() in everything]


def words(world, known):
    """What the echo engine wrote down, as it stands in the result."""
    text = json.loads(world.parts.results.load(known.result, "result.json"))["transcript"]["text"]
    assert len(text) > 8
    return [text]


async def test_a_recording_that_is_heard_leaves_no_trace_of_its_words(watch, watched):
    upload = watched.upload(speech("Good morning."), OBJECT, name=f"{TITLE}.wav", note=EMAIL)

    known = await watched.hear(upload)

    assert known.state is State.DONE
    assert len(watch.spans.all()) > 10
    assert seen(watch, watched, transcript=words(watched, known)) == []


REFUSED = {
    "no audio": (f"{WISH} {EMAIL} ".encode() * 40, {}),
    "odd wish": (tone_wav(1.0), {"lane": WISH}),
    "wish for an engine": (tone_wav(1.0), {"engine": WISH}),
    "damaged": (tone_wav(1.0)[:20] + struct.pack("<I", 7), {}),
    "playlist": (f"#EXTM3U\nhttps://{EMAIL}/{WISH}\n".encode(), {}),
}


@pytest.mark.parametrize(("content", "metadata"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_refusal_quotes_nothing(watch, watched, content, metadata):
    watched.announce(watched.upload(content, OBJECT, name=f"{TITLE}.wav", **metadata))
    for _, message in watched.broker.messages:
        await watched.ring(message)

    assert watched.known()[0].state is State.REJECTED
    assert watch.lines() or watch.spans.all()
    assert seen(watch, watched) == []


async def test_a_name_outside_every_tenant_is_not_quoted(watch, watched):
    watched.announce(watched.upload(tone_wav(1.0), f"uploads/{FOLDER}/{NAME}.wav"))

    assert watched.known()[0].error.code == "unknown_tenant"
    assert seen(watch, watched) == []


async def test_a_file_that_is_gone_is_not_named(watch, watched):
    upload = watched.upload(tone_wav(1.0), OBJECT)
    watched.announce(upload)
    kept = [p for p in (watched.parts.settings.home / "uploads").rglob("*") if p.is_file()]
    for path in kept:
        path.unlink()

    [(_, message)] = watched.broker.messages
    status = await watched.ring(message)

    assert (bool(kept), status) == (True, 204)
    assert watched.known()[0].state is not State.DONE
    assert seen(watch, watched) == []


async def broken_push(world, message, kind):
    """The error that leaves the app is logged as its server does it."""
    with pytest.raises(kind) as caught:
        await world.ring(message)
    server = logging.getLogger("uvicorn.error")
    server.error("Exception in ASGI application", exc_info=caught.value)


class Odd(Exception):
    """A failure nobody foresaw, that quotes all it saw."""


class BrokenUploads:
    def fetch(self, name, generation):
        raise Odd(f"{name} {EMAIL} {os.environ['OPENAI_API_KEY']}")


async def test_a_failure_nobody_foresaw_is_logged_without_its_words(watch, watched):
    watched.house.work = replace(watched.house.work, uploads=BrokenUploads())
    upload = watched.upload(tone_wav(1.0), OBJECT, name=TITLE)
    watched.announce(upload)
    [(_, message)] = watched.broker.messages

    await broken_push(watched, message, Odd)

    assert "test_canaries.Odd" in watch.lines()
    assert seen(watch, watched) == []


async def test_a_forged_token_is_not_quoted(watch, watched):
    forged = watched.keys.authorization()[:-4] + NAME
    answer = await watched.client.post(
        "/pubsub/tickets", content=EMAIL.encode(), headers={"authorization": forged}
    )

    assert answer.status_code == 403
    assert "forged_ticket" in watch.lines()
    assert seen(watch, watched, answer.text) == []


async def test_what_is_no_ticket_or_event_is_not_quoted(watch, watched):
    odd = {"data": EMAIL, "attributes": {NAME: KEY}}

    status = await watched.ring(odd)
    settled = watched.announce(watched.upload(tone_wav(1.0), OBJECT), **{"ce-specversion": WISH})

    assert (status, settled) == (204, 204)
    assert "invalid_event" in watch.lines()
    assert seen(watch, watched) == []
