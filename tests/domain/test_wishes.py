import json
from dataclasses import asdict

import pytest

from shared.domain.wishes import Wishes, read, subject, wishes
from shared.errors import InvalidWish


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({}, Wishes()),
        ({"language": "de"}, Wishes(language="de")),
        ({"channels": "separate"}, Wishes(separate=True)),
        ({"channels": "mix"}, Wishes()),
        ({"lane": "bulk"}, Wishes(bulk=True)),
        ({"engine": "whisper"}, Wishes(engine="whisper")),
        ({"customer": "anything at all"}, Wishes()),
    ],
)
def test_wishes(metadata, expected):
    assert wishes(metadata) == expected


@pytest.mark.parametrize(
    "metadata",
    [
        {"language": "German"},
        {"language": ""},
        {"channels": "both"},
        {"lane": "high"},
        {"engine": "../x"},
        {"engine": "x" * 41},
    ],
)
def test_a_wish_we_cannot_honour_is_refused(metadata):
    with pytest.raises(InvalidWish):
        wishes(metadata)


def test_the_refusal_names_what_was_wished():
    with pytest.raises(InvalidWish, match=r"engine='\.\./x'; no engine is named so\."):
        wishes({"engine": "../x"})


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [({}, None), ({"subject": "4711"}, "4711"), ({"subject": "é" * 128}, "é" * 128)],
)
def test_subject(metadata, expected):
    assert subject(metadata) == expected


@pytest.mark.parametrize("tag", ["", "x" * 129, "a\nb", "\x00", "\x7f"])
def test_a_subject_that_is_no_line_is_refused(tag):
    with pytest.raises(InvalidWish, match="one line of 1 to 128"):
        subject({"subject": tag})


@pytest.mark.parametrize(
    ("kept", "expected"),
    [
        ("{}", Wishes()),
        ('{"language": "de", "separate": true}', Wishes(language="de", separate=True)),
        ('{"questions": ["Who calls?", "Why?"]}', Wishes(questions=("Who calls?", "Why?"))),
        ('{"of_tomorrow": 1, "bulk": true}', Wishes(bulk=True)),
    ],
)
def test_wishes_that_were_kept_are_read(kept, expected):
    assert read(kept) == expected


def test_every_wish_survives_being_kept():
    wished = Wishes("de", "whisper", True, True, True, "names", 0.5, ("Who?", "Why?"))

    assert read(json.dumps(asdict(wished))) == wished
