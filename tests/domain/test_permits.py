"""What an upload may be, as headers: any text goes through them and comes back as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.permits import KEY, Permit, kept, permitted, sent, size_bytes
from shared.errors import InvalidRequest

#: Any text that UTF-8 can carry.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
METADATA = st.dictionaries(st.from_regex(KEY, fullmatch=True), TEXT, max_size=8)


@given(METADATA)
def test_any_metadata_comes_back_as_it_was(metadata):
    assert kept(sent(metadata)) == metadata


@given(METADATA)
def test_what_is_sent_fits_into_headers_and_no_signature_sees_it_otherwise(metadata):
    for value in sent(metadata).values():
        assert value.isascii()
        assert value.isprintable()
        assert " ".join(value.split()) == value != ""


@given(METADATA, st.integers(0, 5 << 40))
def test_a_permit_is_what_its_headers_say(metadata, size):
    permit = Permit("uploads/acme/KEY", "audio/wav", size, metadata)

    headers = {name.lower(): value for name, value in permit.headers().items()}

    assert permitted(permit.name, headers) == permit


PLAIN = {
    "a word": ("talk.wav", "talk.wav"),
    "words": ("two words.wav", "two words.wav"),
    "two spaces": ("two  spaces", "=?utf-8?B?dHdvICBzcGFjZXM=?="),
    "nothing": ("", "=?utf-8?B??="),
    "an umlaut": ("\u00fc", "=?utf-8?B?w7w=?="),
    "what looks encoded": ("=?utf-8?B?w7w=?=", "=?utf-8?B?PT91dGYtOD9CP3c3dz0/PQ==?="),
    "a line break": ("a\r\nb", "=?utf-8?B?YQ0KYg==?="),
}


@pytest.mark.parametrize(("value", "travels"), PLAIN.values(), ids=PLAIN)
def test_only_what_headers_cannot_carry_is_encoded(value, travels):
    assert sent({"k": value}) == {"k": travels}


@pytest.mark.parametrize(
    "value",
    [
        "=?utf-8?B?w7w?=",
        "=?utf-8?B?/w==?=",
        "=?utf-8?Q?=C3=BC?=",
        "=?latin-1?B?/A==?=",
        "x =?utf-8?B?w7w=?=",
    ],
    ids=["not base 64", "not UTF-8", "another encoding", "another alphabet", "not alone"],
)
def test_somebodys_own_text_that_only_looks_encoded_stays(value):
    assert kept({"k": value}) == {"k": value}


def test_it_is_counted_as_it_travels():
    assert size_bytes({"name": "\u00fc"}) == len("name") + len("=?utf-8?B?w7w=?=")


@pytest.mark.parametrize("said", ["", "5", "1,5", "a,a", "5,5,5", "-1,-1", "5,5 "])
def test_a_length_that_is_none_is_refused(said):
    headers = {"x-goog-content-length-range": said, "content-type": "audio/wav"}

    with pytest.raises(InvalidRequest):
        permitted("uploads/acme/KEY", headers)
