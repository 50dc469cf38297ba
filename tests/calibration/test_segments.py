"""A transcript without times, shared out among segments."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.calibration.errors import Counted, compared
from local.calibration.segments import Written, shared_out


def of(*texts, seconds=2.0):
    return [Written(text, seconds) for text in texts]


def test_each_segment_has_its_own_errors():
    found = shared_out(
        "red green blue white black pink", of("red green blue", "white brown pink"), "en"
    )

    assert found == [Counted(3, 0, 0, 0), Counted(2, 1, 0, 0)]


def test_a_silent_segment_is_charged_with_what_nobody_wrote():
    found = shared_out("red green blue white black pink", of("red green", "", "black pink"), "en")

    assert [c.deletions for c in found] == [0, 2, 0]
    assert [c.right for c in found] == [True, False, True]


def test_of_two_neighbours_the_slower_one_lost_words():
    written = [Written("red green", 1.0), Written("black pink", 4.0)]

    found = shared_out("red green blue white black pink", written, "en")

    assert [c.deletions for c in found] == [0, 2]


def test_words_that_nobody_said_are_charged_to_who_wrote_them():
    found = shared_out("red green", of("red green", "thank you"), "en")

    assert found == [Counted(2, 0, 0, 0), Counted(0, 0, 0, 2)]
    assert not found[1].right


@pytest.mark.parametrize("texts", [("", ""), ("...", "")], ids=["nothing", "punctuation"])
def test_who_writes_nothing_is_right_where_nobody_speaks(texts):
    assert all(c.right for c in shared_out("", of(*texts), "en"))


COLOURS = st.lists(st.sampled_from(["red", "green", "blue", "white"]), max_size=12)


@given(COLOURS, st.lists(COLOURS, min_size=1, max_size=4))
def test_nothing_is_lost_and_nothing_counted_twice(reference, segments):
    texts = [" ".join(words) for words in segments]

    found = shared_out(" ".join(reference), of(*texts), "en")

    whole = compared(" ".join(reference), " ".join(texts), "en")
    assert sum(c.words for c in found) == len(reference)
    assert sum(c.wrong for c in found) == whole.wrong
    assert len(found) == len(segments)
