"""The upload as it came: whole, in part, and never as a document of ours."""

from dataclasses import replace
from io import BytesIO

import pytest

from gateway.audio import BLOCK, UNKNOWN, RangeNotSatisfiable, Span, span_of
from gateway.disposition import attachment, inline
from gpu_service.archiving.restoring import restore
from shared.errors import NotFound
from tests.archived import archived
from tests.builders import NOW
from tests.sounds import tone_wav

CONTENT = bytes(range(100))


@pytest.fixture
def audio(client, store):
    known = store.received(content=CONTENT)
    return f"/v1/recordings/{known.id}/audio"


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, None),
        ("bytes=0-", Span(0, 100)),
        ("bytes=0-0", Span(0, 1)),
        ("bytes=10-19", Span(10, 20)),
        ("bytes=99-99", Span(99, 100)),
        ("bytes=90-500", Span(90, 100)),
        ("bytes=-1", Span(99, 100)),
        ("bytes=-100", Span(0, 100)),
        ("bytes=-500", Span(0, 100)),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=0-1,5-6", None),
        ("seconds=0-1", None),
        ("bytes=a-b", None),
        ("bytes=--1", None),
        (f"bytes=0-{'9' * 16}", None),
    ],
)
def test_ranges_are_read_as_rfc_9110_says(wanted, expected):
    assert span_of(wanted, 100) == expected


@pytest.mark.parametrize("wanted", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_range_behind_the_end_cannot_be_satisfied(wanted):
    with pytest.raises(RangeNotSatisfiable):
        span_of(wanted, 100)


def test_whole_upload_is_served(client, audio):
    answer = client.get(audio)

    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-length"] == "100"


def test_part_is_served(client, audio):
    answer = client.get(audio, headers={"Range": "bytes=10-19"})

    assert (answer.status_code, answer.content) == (206, CONTENT[10:20])
    assert answer.headers["content-range"] == "bytes 10-19/100"
    assert answer.headers["content-length"] == "10"


def test_part_behind_the_end_is_416(client, audio):
    answer = client.get(audio, headers={"Range": "bytes=100-"})

    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */100")


@pytest.mark.parametrize(("matches", "status"), [(True, 206), (False, 200)])
def test_part_of_another_version_is_the_whole(client, audio, matches, status):
    etag = client.get(audio).headers["etag"] if matches else '"other"'

    answer = client.get(audio, headers={"Range": "bytes=0-4", "If-Range": etag})

    assert answer.status_code == status


@pytest.mark.parametrize("size", [BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_long_uploads_come_in_blocks(client, store, size):
    content = bytes(size // 2) + b"\1" * (size - size // 2)
    known = store.received(content=content)

    assert client.get(f"/v1/recordings/{known.id}/audio").content == content


def test_empty_upload_is_an_empty_answer(client, store):
    known = store.received(content=b"")

    assert client.get(f"/v1/recordings/{known.id}/audio").content == b""
    range_of_nothing = client.get(f"/v1/recordings/{known.id}/audio", headers={"Range": "bytes=0-"})
    assert range_of_nothing.status_code == 416


@pytest.mark.parametrize(
    ("kind", "served", "disposition"),
    [
        ("audio/wav", "audio/wav", "inline"),
        ("AUDIO/MPEG; x=1", "audio/mpeg", "inline"),
        ("video/mp4", "video/mp4", "inline"),
        ("text/html", UNKNOWN, "attachment"),
        ("image/svg+xml", UNKNOWN, "attachment"),
        ("application/javascript", UNKNOWN, "attachment"),
        ("audio/x-mpegurl", UNKNOWN, "attachment"),
        ("", UNKNOWN, "attachment"),
    ],
)
def test_upload_is_never_a_document(client, store, kind, served, disposition):
    known = store.received("evil.html", content=b"<script>alert(1)</script>", content_type=kind)

    headers = client.get(f"/v1/recordings/{known.id}/audio").headers

    assert headers["content-type"] == served
    assert headers["content-disposition"].startswith(f"{disposition};")
    assert headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in headers["content-security-policy"]


class Gone:
    def read(self, *_: object) -> bytes:
        raise NotFound("The upload is gone.")


def test_upload_that_is_gone_is_a_404(app, client, audio):
    app.state.parts = replace(app.state.parts, uploads=Gone())

    assert client.get(audio).status_code == 404


@pytest.mark.parametrize(
    ("path", "plain", "starred"),
    [
        ("talk.wav", "talk.wav", "talk.wav"),
        ("a/b/talk.wav", "talk.wav", "talk.wav"),
        ('"; filename="x.exe', "__ filename__x.exe", None),
        ("a\r\nSet-Cookie: x", "a_r_nSet-Cookie_ x", None),
        ("\u202egpj.exe", "_u202egpj.exe", None),
        ("..", "recording", "recording"),
        ("a\\..\\b", None, None),
        ("größe.wav", "gr__e.wav", "gr%C3%B6%C3%9Fe.wav"),
        ("x" * 300 + ".wav", "x" * 56 + ".wav", None),
        ("\udcff.wav", "_udcff.wav", None),
    ],
)
def test_file_names_are_safe(path, plain, starred):
    header = attachment(path)

    kind, name, utf8 = header.split("; ")
    assert header.isascii()
    assert header.isprintable()
    assert kind == "attachment"
    assert name.count('"') == 2
    assert "/" not in name
    assert "\\" not in name
    assert plain is None or name == f'filename="{plain}"'
    assert starred is None or utf8 == f"filename*=UTF-8''{starred}"
    assert inline(path).startswith("inline; ")


def test_who_plays_what_was_uploaded_comes_to_an_end_while_it_is_there(app, client, store):
    known, content = store.done("talk.wav", content=tone_wav(1.0)), tone_wav(1.0)
    at = f"/v1/recordings/{known.id}/audio"
    etag = client.get(at).headers["etag"]
    archived(app.state.parts, known.id, NOW, cleared=False)

    goes_on = client.get(at, headers={"Range": "bytes=8-11", "If-Range": etag})
    begins = client.get(at)

    assert (goes_on.status_code, goes_on.content) == (206, content[8:12])
    assert goes_on.headers["content-range"] == f"bytes 8-11/{len(content)}"
    assert begins.headers["content-type"] == "audio/flac"


def test_an_archived_original_is_served_as_the_flac_it_is(app, client, store):
    known = store.done("talk.wav", content=tone_wav(1.0))
    at, parts = f"/v1/recordings/{known.id}/audio", app.state.parts
    before = client.get(at)
    kept = archived(parts, known.id, NOW).archived

    whole = client.get(at)
    part = client.get(at, headers={"Range": "bytes=0-3"})
    behind = client.get(at, headers={"Range": f"bytes={kept.size_bytes}-"})
    stale = client.get(at, headers={"Range": "bytes=0-3", "If-Range": before.headers["etag"]})

    assert (whole.status_code, whole.headers["content-type"]) == (200, "audio/flac")
    assert whole.headers["content-length"] == str(kept.size_bytes) == str(len(whole.content))
    assert "talk.wav.flac" in whole.headers["content-disposition"]
    assert whole.headers["etag"] != before.headers["etag"]
    assert (part.status_code, part.content) == (206, b"fLaC")
    assert part.headers["content-range"] == f"bytes 0-3/{kept.size_bytes}"
    assert (behind.status_code, stale.status_code) == (416, 200)
    restored = BytesIO()
    restore(BytesIO(whole.content), restored)
    assert restored.getvalue() == before.content
