"""Transcripts in every form that people have them in."""

import json

import pytest

from local.calibration.references import pairs, text_of
from shared.errors import InvalidReference

SRT = """1
00:00:00,000 --> 00:00:01,000
Good <i>morning</i>,

2
00:00:01,000 --> 00:00:02,500
everybody.
"""
VTT = """WEBVTT

NOTE typed

00:00.000 --> 00:01.000
<v Ann>Good morning,

00:01.000 --> 00:02.500
everybody.
"""


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "\ufeffGood morning, everybody."),
        ("a.json", json.dumps({"transcript": {"text": "Good morning, everybody."}})),
        ("b.json", json.dumps({"text": "Good morning, everybody.", "confidence": None})),
        ("a.srt", SRT),
        ("a.vtt", VTT),
    ],
)
def test_what_was_said_is_read_from(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")

    found = text_of(tmp_path / name)

    assert "".join(c for c in found if c.isalpha() or c == " ").split()[-1] == "everybody"
    assert "-->" not in found


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", b"\xff\xfe\x00bad"),
        ("a.json", b"[1, 2]"),
        ("b.json", b'{"transcript": null}'),
        ("c.json", b"{"),
        ("a.vtt", b"no header"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(InvalidReference, match=f"{name[0]}.{name[2:]} is no {name[2:]} transcript"):
        text_of(tmp_path / name)


def test_a_recording_is_paired_with_the_transcript_of_its_name(tmp_path):
    (tmp_path / "calls").mkdir()
    for name in ("calls/a.wav", "calls/a.txt", "calls/a.srt", "b.mp3", "b.vtt", "c.wav", "d.txt"):
        (tmp_path / name).write_bytes(b"")

    found = [(p.sound.name, p.transcript.name) for p in pairs(tmp_path)]

    assert sorted(found) == [("a.wav", "a.txt"), ("b.mp3", "b.vtt")]
