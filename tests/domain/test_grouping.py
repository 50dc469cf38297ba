"""Which segments share a paid call, and how its text is given back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.grouping import (
    ALL_ABOVE,
    GAP_S,
    LONGEST_OF_ALL_S,
    LONGEST_S,
    SHORTEST_S,
    alone,
    merged,
    parted,
    words_of,
)
from shared.domain.sound import MAX_SEGMENT_S, Segment


def row(*seconds, gap=0.0, channel=None):
    """Segments one after another, of so many seconds."""
    found, at = [], 0.0
    for index, length in enumerate(seconds):
        found.append(Segment(index, at, at + length, channel))
        at += length + gap
    return found


def places(calls):
    return [[s.index for s in call.segments] for call in calls]


def test_a_doubtful_segment_is_sent_with_a_minute_of_its_neighbours():
    [call] = merged(row(*[10.0] * 20), {10})

    assert [s.index for s in call.segments] == [8, 9, 10, 11, 12, 13]
    assert call.wanted == {10}
    assert (call.sound.start_s, call.sound.end_s) == (80.0, 140.0)


def test_doubtful_segments_within_two_minutes_share_a_call():
    calls = merged(row(*[10.0] * 30), {3, 14, 15})

    assert [sorted(call.wanted) for call in calls] == [[3, 14], [15]]
    assert places(calls) == [list(range(3, 15)), [15, 16, 17, 18, 19, 20]]


def test_at_the_edge_it_grows_the_other_way():
    assert places(merged(row(*[10.0] * 20), {0})) == [[0, 1, 2, 3, 4, 5]]
    assert places(merged(row(*[10.0] * 20), {19})) == [[14, 15, 16, 17, 18, 19]]


@pytest.mark.parametrize(("doubtful", "sent"), [({0, 1, 2, 3, 4, 5}, 6), (set(range(7)), 10)])
def test_above_60_percent_doubtful_all_is_sent(doubtful, sent):
    """At 60 % exactly only the doubtful ones are: six of ten."""
    calls = merged(row(*[20.0] * 10), doubtful)

    assert sum(len(call.segments) for call in calls) == sent
    assert sorted(i for call in calls for i in call.wanted) == sorted(doubtful)


def test_no_call_bridges_a_long_silence_or_two_channels():
    apart = row(20.0, 20.0, gap=GAP_S + 0.1)
    other = [Segment(2, 0.0, 20.0, 1), Segment(3, 0.0, 20.0, 0)]

    assert places(merged(apart, {0, 1})) == [[0], [1]]
    assert places(merged(other, {2, 3})) == [[2], [3]]
    assert places(merged(row(20.0, 20.0, gap=GAP_S), {0, 1})) == [[0, 1]]


def test_the_vendors_ceiling_cuts_calls_shorter():
    assert places(merged(row(*[10.0] * 6), {0, 1, 2, 3, 4, 5}, most_s=30.0)) == [
        [0, 1, 2],
        [3, 4, 5],
    ]


def test_alone_each_doubtful_segment_has_its_call():
    assert places(alone(row(10.0, 10.0, 10.0), {0, 2})) == [[0], [2]]


lengths = st.floats(0.1, MAX_SEGMENT_S)


@st.composite
def plans(draw):
    at, found = 0.0, []
    for index in range(draw(st.integers(1, 25))):
        at += draw(st.floats(0.0, 2 * GAP_S))
        end = at + draw(lengths)
        found.append(Segment(index, at, end))
        at = end
    return found, draw(st.sets(st.integers(0, len(found) - 1)))


@given(plans())
def test_every_doubtful_segment_is_asked_once_and_calls_keep_their_bounds(plan):
    segments, doubtful = plan
    share = sum(segments[i].duration_s for i in doubtful) / sum(s.duration_s for s in segments)

    calls = merged(segments, doubtful)

    asked = [s.index for call in calls for s in call.segments]
    assert len(asked) == len(set(asked))
    assert sorted(i for call in calls for i in call.wanted) == sorted(doubtful)
    longest = LONGEST_OF_ALL_S if share > ALL_ABOVE else LONGEST_S
    for call in calls:
        assert call.sound.duration_s <= longest + 1e-6
        assert [s.index for s in call.segments] == sorted(s.index for s in call.segments)
    if share > ALL_ABOVE:
        assert len(asked) == len(segments)


@given(plans())
def test_a_call_is_short_only_where_nothing_is_left_to_fill_it_with(plan):
    segments, doubtful = plan
    calls = merged(segments, doubtful)
    taken = {s.index for call in calls for s in call.segments}

    for call in calls:
        first, last = call.segments[0], call.segments[-1]
        for other in (first.index - 1, last.index + 1):
            if call.sound.duration_s >= SHORTEST_S or not 0 <= other < len(segments):
                continue
            one = segments[other]
            gap = max(first.start_s - one.end_s, one.start_s - last.end_s)
            span = max(last.end_s, one.end_s) - min(first.start_s, one.start_s)
            assert other in taken or gap > GAP_S or span > LONGEST_S


WORDS = st.lists(st.sampled_from(["one", "two", "three", "four", "Ünï", "5", "—"]), max_size=30)


@given(WORDS, st.lists(st.tuples(WORDS, st.floats(0.0, 28.0)), min_size=1, max_size=8))
def test_no_word_is_lost_or_doubled_and_the_order_stays(words, told):
    believed, seconds = [" ".join(w) for w, _ in told], [s for _, s in told]

    parts = parted(" ".join(words), believed, seconds)

    assert len(parts) == len(believed)
    assert " ".join(p for p in parts if p).split() == words


@given(st.lists(WORDS, min_size=1, max_size=8))
def test_what_both_heard_goes_back_to_where_it_was_heard(told):
    believed = [" ".join(words) for words in told]
    text = " ".join(w for words in told for w in words)

    assert parted(text, believed, [10.0] * len(told)) == believed


@given(st.text(), st.lists(st.tuples(st.text(), st.floats(0, 28)), min_size=1, max_size=5))
def test_any_text_in_any_script_stays_whole(text, told):
    parts = parted(text, [t for t, _ in told], [s for _, s in told])

    assert "".join("".join(parts).split()) == "".join(text.split())
    assert "".join(words_of(text)) == text.lstrip()


@pytest.mark.parametrize(
    ("text", "believed", "parts"),
    [
        (
            "Good morning everybody, this is Anna speaking from Lisbon.",
            ["good mourning every body", "this is ana", "speaking from lisbon"],
            ["Good morning everybody,", "this is Anna", "speaking from Lisbon."],
        ),
        (
            "hello there my friend bye",
            ["hello there", "", "bye"],
            ["hello there", "my friend", "bye"],
        ),
        ("a b c d", ["", ""], ["a", "b c d"]),
        ("今日はいい天気ですね", ["今日は", "いい天気"], ["今日は", "いい天気ですね"]),
        ("", ["something", "else"], ["", ""]),
        ("only here", ["", "only here"], ["", "only here"]),
    ],
    ids=[
        "spelt otherwise",
        "one was empty",
        "all were empty",
        "no spaces",
        "silence",
        "first empty",
    ],
)
def test_examples(text, believed, parts):
    assert parted(text, believed, [1.0, 3.0, 1.0][: len(believed)]) == parts
