import pytest

from shared.domain.wishes import Wishes, subject, wishes
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
