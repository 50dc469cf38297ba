"""Uploads: whole, once, byte for byte, whatever the line does."""

import io
import json
import os
import random
import threading
import time
import tracemalloc
from dataclasses import replace

import pytest

from earwitness.client import ConnectionLost, Patience, SourceChanged, UploadRefused
from shared.domain.names import recording_id
from shared.errors import AudioTooLarge, DiskFull, InvalidRequest, InvalidWish, UnknownTenant
from tests.client.line import Answers, Cut, Line, NoAnswer

MIB = 1 << 20


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """3 MiB in which every place looks different."""
    path = tmp_path_factory.mktemp("sounds") / "long talk.wav"
    path.write_bytes(random.Random(7).randbytes(3 * MIB))
    return path


@pytest.fixture
def name(request):
    return f"{request.node.name}.wav"


def kept(app, name) -> list[bytes]:
    """What has arrived under this name."""
    uploads = app.state.parts.uploads
    found = [p.event for p in uploads.events(10_000) if dict(p.event.metadata).get("name") == name]
    return [uploads.read(u.name, u.generation, 0, 1 << 30) for u in found]


def ranges(line) -> list[str]:
    """Content-Range of each request that had one."""
    lines = [one for head in line.heads for one in head.split("\r\n")]
    return [one.partition(": ")[2] for one in lines if one.lower().startswith("content-range")]


def test_upload_arrives_with_its_name_and_wishes(app, ears, sound):
    told = []

    done = ears.upload(sound, language="en", lane="bulk", on_progress=lambda *at: told.append(at))

    events = [p.event for p in app.state.parts.uploads.events(10_000)]
    (event,) = [e for e in events if recording_id(e.bucket, e.name, e.generation) == done.id]
    assert dict(event.metadata) == {"name": "long talk.wav", "language": "en", "lane": "bulk"}
    assert event.content_type.startswith("audio/")
    assert (done.name, done.size_bytes) == ("long talk.wav", 3 * MIB)
    assert event.name.endswith(f"/{done.object_name}")
    assert told == sorted(told)
    assert (len(told) > 3, told[-1]) == (True, (3 * MIB, 3 * MIB))


def test_upload_brings_its_questions(app, ears, sound, name):
    ears.upload(sound, name=name, questions=["Who calls?", "¿Por qué?"])

    events = [p.event for p in app.state.parts.uploads.events(10_000)]
    [metadata] = [dict(e.metadata) for e in events if ("name", name) in e.metadata]
    assert metadata == {"name": name, "questions": '["Who calls?", "¿Por qué?"]'}


def test_upload_that_broke_off_goes_on_where_it_stopped(app, line, ears, sound, name):
    line.faults = [Cut(MIB)]

    ears.upload(sound, name=name)

    assert kept(app, name) == [sound.read_bytes()]
    question, rest = ranges(line)
    assert question == f"bytes */{3 * MIB}"
    # How much of the first MiB arrived is the cut's doing; no more than the rest is sent again.
    kept_bytes = int(rest.removeprefix("bytes ").partition("-")[0])
    assert line.bytes_up < MIB + (3 * MIB - kept_bytes) + MIB // 16


def test_upload_outlasts_more_breaks_than_it_has_attempts(app, line, connect, clock, sound, name):
    """Every break leaves the upload further than the one before, so patience begins anew."""
    line.faults = [Cut(300_000) for _ in range(9)]
    before = answered(app)
    # A pause is no time here, so that the gateway would be asked before it has written anything.
    clock.meanwhile = [lambda: until(lambda: answered(app) - before == len(line.heads))] * 9
    ears = connect(patience=Patience(attempts=3))

    ears.upload(sound, name=name)

    assert kept(app, name) == [sound.read_bytes()]
    assert len(ranges(line)) == 2 * 9


def answered(app) -> float:
    """Requests that the gateway is done with."""
    families = app.state.metrics.registry.collect()
    samples = [sample for family in families for sample in family.samples]
    return sum(s.value for s in samples if s.name == "earwitness_gateway_requests_total")


def until(true) -> None:
    """Wait for something of another thread; only a failure takes long."""
    over = time.monotonic() + 30
    while not true():
        assert time.monotonic() < over
        time.sleep(0.005)


def test_upload_whose_answer_was_lost_is_not_made_twice(app, line, ears, sound, name):
    line.faults = [NoAnswer(after_answers=2)]

    ears.upload(sound, name=name)

    assert kept(app, name) == [sound.read_bytes()]
    assert line.asked()[-1].startswith("PUT")
    assert ranges(line) == [f"bytes */{3 * MIB}"]


def test_session_whose_beginning_was_lost_is_begun_again(app, line, ears, sound, name):
    line.faults = [NoAnswer(after_answers=1)]

    ears.upload(sound, name=name)

    assert kept(app, name) == [sound.read_bytes()]
    assert [one.partition(" ")[0] for one in line.asked()] == ["POST", "POST", "POST", "PUT"]


def test_small_upload_is_one_request_with_what_was_signed(app, line, ears, name):
    ears.upload(io.BytesIO(b"small"), name=name, metadata={"subject": "4711"})

    mint, put = line.heads
    sent = dict(one.split(": ", 1) for one in put.split("\r\n") if ": " in one)
    assert mint.startswith("POST /v1/uploads ")
    assert sent["x-goog-meta-subject"] == "4711"
    assert sent["x-goog-content-length-range"] == "5,5"
    assert sent["x-goog-if-generation-match"] == "0"
    assert kept(app, name) == [b"small"]


def test_small_upload_that_broke_off_is_sent_again(app, line, ears, name):
    content = random.Random(8).randbytes(MIB)
    line.faults = [Cut(MIB // 2)]

    done = ears.upload(io.BytesIO(content), name=name)

    assert kept(app, name) == [content]
    assert done.id == id_of(app, name)
    assert ranges(line) == []


def test_small_upload_whose_answer_was_lost_is_known_and_not_made_twice(app, line, ears, name):
    """The second request is told that something lies there: what the first one brought."""
    line.faults = [NoAnswer(after_answers=1)]

    done = ears.upload(io.BytesIO(b"small"), name=name)

    assert kept(app, name) == [b"small"]
    assert done.id == id_of(app, name)
    assert line.asked()[-1].startswith("GET /v1/uploads/demo/")


def id_of(app, name) -> str:
    events = [p.event for p in app.state.parts.uploads.events(10_000)]
    [known] = [e for e in events if ("name", name) in e.metadata]
    return recording_id(known.bucket, known.name, known.generation)


def test_line_that_lets_nothing_through_is_given_up(app, line, connect, clock, sound, name):
    ears = connect(patience=Patience(attempts=4))
    line.faults = [NoAnswer(after_answers=2), *[Cut(0)] * 99]
    app.state.parts = replace(app.state.parts, inlet=(whole := Never(app.state.parts.inlet)))

    try:
        with pytest.raises(ConnectionLost):
            ears.upload(sound, name=name)
    finally:
        app.state.parts = replace(app.state.parts, inlet=whole.inlet)

    assert (kept(app, name), len(clock.pauses)) == ([], 3)


class Never:
    """A disk that stays full."""

    def __init__(self, inlet) -> None:
        self.inlet = inlet

    def put(self, *_, **__):
        raise DiskFull


class FullOnce(Never):
    full = True

    def put(self, *given, **named):
        if self.full:
            self.full = False
            raise DiskFull
        return self.inlet.put(*given, **named)


def test_full_disk_is_waited_for_without_sending_again(app, line, ears, clock, sound, name):
    app.state.parts = replace(app.state.parts, inlet=(inlet := FullOnce(app.state.parts.inlet)))

    ears.upload(sound, name=name)

    app.state.parts = replace(app.state.parts, inlet=inlet.inlet)
    assert kept(app, name) == [sound.read_bytes()]
    assert clock.pauses[0] >= 5  # the gateway's Retry-After
    assert line.bytes_up < 3 * MIB + MIB // 2


@pytest.mark.parametrize("size", [0, 1, 256 << 10, (256 << 10) + 1])
def test_sizes_around_a_block_arrive_whole(app, ears, name, size):
    content = random.Random(size).randbytes(size)

    ears.upload(io.BytesIO(content), name=name)

    assert kept(app, name) == [content]


def test_empty_upload_whose_answer_was_lost_is_one_upload(app, line, ears, name):
    line.faults = [NoAnswer(after_answers=1)]

    ears.upload(io.BytesIO(b""), name=name)

    assert kept(app, name) == [b""]


def test_open_file_is_sent_from_where_it_stands(app, line, ears, sound, name):
    line.faults = [Cut(MIB)]

    with sound.open("rb") as file:
        file.seek(1_000)
        ears.upload(file, name=name)

    assert kept(app, name) == [sound.read_bytes()[1_000:]]


def test_pipe_is_copied_so_that_it_can_go_on(app, line, ears, sound, name):
    line.faults = [Cut(MIB)]
    reading, writing = os.pipe()

    def fill():
        with os.fdopen(writing, "wb") as out:
            out.write(sound.read_bytes())

    threading.Thread(target=fill).start()
    with os.fdopen(reading, "rb") as file:
        ears.upload(file, name=name)

    assert kept(app, name) == [sound.read_bytes()]


def test_file_that_changes_meanwhile_is_not_taken(app, ears, tmp_path, name):
    growing = tmp_path / "growing.wav"
    growing.write_bytes(b"x" * MIB)

    def grow(sent, size):
        with growing.open("ab") as out:
            out.write(b"y")

    with pytest.raises(SourceChanged):
        ears.upload(growing, name=name, on_progress=grow)

    assert kept(app, name) == []


def test_nameless_file_needs_a_name(ears):
    with pytest.raises(InvalidRequest, match="name"):
        ears.upload(io.BytesIO(b"x"))


def test_file_that_is_not_there_is_the_systems_to_say(ears, tmp_path):
    with pytest.raises(FileNotFoundError):
        ears.upload(tmp_path / "gone.wav")


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"tenant": "nobody-here"}, UnknownTenant),
        ({"language": "english!"}, InvalidWish),
        ({"tenant": "NO"}, InvalidRequest),
        ({"metadata": {"name": "x"}}, InvalidRequest),
    ],
    ids=["tenant", "wish", "tenant's form", "metadata"],
)
def test_refused_upload_sends_no_byte_of_the_file(line, ears, sound, asked, error):
    with pytest.raises(error):
        ears.upload(sound, **asked)

    assert not [asked for asked in line.asked() if asked.startswith("PUT")]


def test_file_above_the_tenants_size_is_refused(store, ears, tmp_path):
    store.received(tenant="small-one")
    limit = store.parts.tenants.get("small-one").limits.max_bytes
    large = tmp_path / "large.wav"
    with large.open("wb") as file:
        file.truncate(limit + 1)  # a hole: it takes no disk

    with pytest.raises(AudioTooLarge):
        ears.upload(large, tenant="small-one")


def test_bucket_that_knows_no_recordings_is_asked_about_at_the_gateway(line, port, connect):
    """Cloud Storage answers with nothing; the gateway finds the object."""
    with Line(port).up() as bucket:
        bucket.faults = [Answers("200 OK", b"", "x-goog-generation: 1760000000000000\r\n")]
        minted = {
            "recording_hint": "a guess",
            "method": "PUT",
            "headers": {"x-goog-meta-name": "=?utf-8?B?w7w=?="},
            "url": f"{bucket.url}/bucket/uploads/demo/KEY?X-Goog-Signature=0",
            "expires_at": "2030-01-01T00:00:00Z",
            "status_url": f"{line.url}/v1/uploads/demo/KEY",
        }
        line.faults = [
            Answers("201 Created", json.dumps(minted).encode()),
            Answers("200 OK", b'{"recording_hint": "the id"}'),
        ]

        done = connect().upload(io.BytesIO(b"x"), name="\u00fc")

    assert (done.id, done.object_name) == ("the id", "KEY")
    assert "x-goog-meta-name: =?utf-8?B?w7w=?=" in bucket.heads[0]
    assert line.asked() == ["POST /v1/uploads", "GET /v1/uploads/demo/KEY"]


REFUSED = b"<?xml version='1.0'?><Error><Code>ExpiredToken</Code></Error>"


def test_what_a_bucket_refuses_is_not_tried_again(line, port, connect, clock):
    with Line(port).up() as bucket:
        bucket.faults = [Answers("400 Bad Request", REFUSED)]
        minted = {
            "recording_hint": "x",
            "method": "PUT",
            "headers": {},
            "url": f"{bucket.url}/o",
            "expires_at": "2030-01-01T00:00:00Z",
        }
        line.faults = [Answers("201 Created", json.dumps(minted).encode())]

        with pytest.raises(UploadRefused) as refused:
            connect().upload(io.BytesIO(b"x"), name="x")

    assert refused.value.context["status"] == 400
    assert "ExpiredToken" in str(refused.value)
    assert (len(bucket.heads), clock.pauses) == (1, [])


def test_secrets_are_told_to_the_gateway_alone(line, port, connect, sound):
    """An address of Cloud Storage comes with its own signature; our key is none of its business."""
    with Line(port).up() as elsewhere:
        elsewhere.faults = [Answers("200 OK", b"{}")]
        minted = json.dumps(
            {
                "recording_hint": "x",
                "method": "PUT",
                "headers": {},
                "url": f"{elsewhere.url}/o",
                "expires_at": "2030-01-01T00:00:00Z",
            }
        )
        line.faults = [Answers("201 Created", minted.encode())]

        connect(key="ew_secret").upload(io.BytesIO(b"x"), name="x")

    assert "Authorization: Bearer ew_secret" in line.heads[0]
    assert elsewhere.heads
    assert not any("ew_secret" in h or "Earwitness-Token" in h for h in elsewhere.heads)


def test_large_file_is_held_in_memory_on_neither_side(app, ears, tmp_path, name):
    """Both sides run in this process; the gateway takes blocks of 1 MiB, the client of 256 KiB."""
    large = tmp_path / "large.wav"
    with large.open("wb") as file:
        file.truncate(64 * MIB)  # a hole: it takes no disk here

    tracemalloc.start()
    try:
        ears.upload(large, name=name)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert [len(content) for content in kept(app, name)] == [64 * MIB]
    assert peak_bytes < 16 * MIB
