"""Subtitles: limits, order, times and escapes, as other people's parsers see them."""

import html
import io
import re
from itertools import pairwise

import pytest
import srt
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.result import TranscriptSegment, TranscriptWord
from shared.domain.subtitles import (
    LONG_PAUSE_S,
    MAX_CUE_S,
    MAX_LINE,
    MAX_LINES,
    MIN_CUE_S,
    MIN_GAP_S,
    cues,
    to_srt,
    to_text,
    to_vtt,
)

MS = 0.001


def spoken(*timed: tuple[str, float, float], text: str = "", channel: int | None = None):
    words = tuple(
        TranscriptWord(start_s=a, end_s=b, text=w, confidence=None, source="engine")
        for w, a, b in timed
    )
    said = text or " ".join(w.text for w in words)
    return segment(said, words[0].start_s, max(w.end_s for w in words), channel, words)


def segment(text, start_s=0.0, end_s=5.0, channel=None, words=()):
    return TranscriptSegment(
        start_s=start_s,
        end_s=end_s,
        channel=channel,
        language=None,
        text=text,
        confidence=None,
        words=words,
    )


def evenly(text: str, each_s: float = 0.3) -> TranscriptSegment:
    return spoken(*((w, n * each_s, (n + 1) * each_s) for n, w in enumerate(text.split())))


def lines(*segments: TranscriptSegment) -> list[tuple[str, ...]]:
    return [cue.lines for cue in cues(segments)]


# What is broken where


def test_short_text_is_one_cue_of_one_line():
    assert lines(evenly("Good morning.")) == [("Good morning.",)]


@pytest.mark.parametrize(("length", "count"), [(42, 1), (43, 2)])
def test_line_holds_42_characters_and_not_one_more(length, count):
    (cue,) = cues([evenly("a" * 20 + " " + "b" * (length - 21))])

    assert len(cue.lines) == count


@pytest.mark.parametrize(("length", "count"), [(85, 1), (86, 2)])
def test_cue_holds_two_full_lines_and_not_one_character_more(length, count):
    assert len(cues([evenly("a" * 42 + " " + "b" * (length - 43))])) == count


def test_two_lines_are_balanced_and_the_lower_one_is_longer():
    (cue,) = cues([evenly("one two six ten one two six ten one two six ten ones")])

    upper, lower = map(len, cue.lines)
    assert upper <= lower <= upper + 5


def test_line_breaks_after_punctuation_near_the_middle():
    assert lines(evenly("If you come home after nine, take the key from under the mat")) == [
        ("If you come home after nine,", "take the key from under the mat")
    ]


def test_cue_breaks_after_a_sentence_rather_than_when_full():
    first = "The train to the coast leaves at a quarter past seven in the evening."
    second = "Please have your tickets ready for the inspection on the platform."

    assert [" ".join(c) for c in lines(evenly(f"{first} {second}", 0.2))] == [first, second]


def test_no_cue_is_left_with_the_last_word_alone():
    assert min(len(" ".join(c)) for c in lines(evenly("word " * 17 + "end", 0.1))) > 20


@pytest.mark.parametrize(("pause_s", "count"), [(LONG_PAUSE_S - MS, 1), (LONG_PAUSE_S + MS, 2)])
def test_long_pause_always_breaks(pause_s, count):
    said = spoken(("Yes", 0.0, 0.5), ("no", 0.5 + pause_s, 0.7 + pause_s))

    assert len(cues([said])) == count


@pytest.mark.parametrize(("end_s", "count"), [(7.0, 1), (7.01, 2)])
def test_cue_holds_seven_seconds_of_words(end_s, count):
    words = [("la", float(n), n + 1.0) for n in range(6)]

    assert len(cues([spoken(*words, ("la", 6.0, end_s))])) == count


def test_word_longer_than_a_line_is_cut_hard():
    assert lines(evenly("x" * 100)) == [("x" * 42,), ("x" * 42, "x" * 16)]


def test_script_without_blanks_is_joined_without_blanks():
    said = spoken(("今日", 0.0, 0.4), ("は", 0.4, 0.5), ("晴れ", 0.5, 1.0), text="今日は晴れ")

    assert lines(said) == [("今日は晴れ",)]


def test_wide_characters_take_two_columns():
    assert lines(segment("語" * 22)) == [("語" * 21, "語")]


def test_segments_never_share_a_cue():
    assert lines(segment("One.", 0, 1), segment("Two.", 1, 2)) == [("One.",), ("Two.",)]


@pytest.mark.parametrize("text", ["", " \n\t ", "\x00\x1b"], ids=ascii)
def test_nothing_said_is_no_cue(text):
    assert cues([segment(text)]) == []
    assert to_text([segment(text)]) == ""


# Times


def test_short_cue_stands_long_enough_to_be_read():
    (cue,) = cues([spoken(("Hi", 1.0, 1.1))])

    assert cue.end_s == pytest.approx(1.0 + MIN_CUE_S, abs=MS)


def test_cue_of_fast_speech_stays_by_twenty_characters_a_second():
    (cue,) = cues([evenly("a" * 20 + " " + "b" * 20 + " " + "c" * 20, 0.1)])

    assert cue.end_s == pytest.approx(3.05, abs=2 * MS)


def test_cue_ends_two_frames_before_the_next():
    first, second = cues([spoken(("Hi", 0.0, 0.5)), spoken(("you", 0.5, 1.0))])

    assert second.start_s == 0.5
    assert first.end_s == pytest.approx(0.5 - MIN_GAP_S, abs=MS)


def test_word_of_half_a_minute_is_shown_seven_seconds():
    (cue,) = cues([spoken(("Ooh", 2.0, 30.0))])

    assert (cue.start_s, cue.end_s) == (2.0, 2.0 + MAX_CUE_S)


@pytest.mark.parametrize("moved_s", [0.0, 0.137, -0.052], ids=["as said", "later", "earlier"])
def test_a_cue_begins_with_its_first_word_and_stands_until_its_last(moved_s):
    """To the millisecond, wherever the words were moved; the pause between is nobody's."""
    timed = [("Good", 0.412, 0.7), ("morning.", 0.73, 1.204), ("Who", 6.316, 6.5), ("is", 6.5, 6.9)]
    words = [(text, start_s + moved_s, end_s + moved_s) for text, start_s, end_s in timed]

    first, second = cues([spoken(*words)])

    assert (first.start_s, second.start_s) == (round(words[0][1], 3), round(words[2][1], 3))
    assert words[1][2] <= first.end_s < second.start_s
    assert second.end_s >= words[3][2]


def test_words_without_times_share_the_segment_by_length():
    first, second = cues([segment("a" * 40 + " " + "b" * 40, 10.0, 26.0)])

    assert (first.start_s, second.start_s) == (10.0, 18.0)


def test_word_times_outside_the_segment_are_brought_inside():
    words = spoken(("a", 0.0, 900.0), ("b", 5.0, 1.0), ("c", 800.0, 801.0)).words
    said = cues([segment("a b c", 1.0, 4.0, words=words), segment("d", 4.0, 5.0)])

    assert [c.start_s for c in said] == [1.0, 4.0]


# Formats


def test_srt_of_a_call_with_channels_apart():
    said = [segment("Hello.", 0.0, 1.0, channel=0), segment("Hi!", 0.5, 1.5, channel=1)]

    assert to_srt(cues(said)) == (
        "1\n00:00:00,000 --> 00:00:01,000\nchannel 1: Hello.\n\n"
        "2\n00:00:00,500 --> 00:00:01,500\nchannel 2: Hi!\n\n"
    )
    assert to_text(said) == "channel 1: Hello.\nchannel 2: Hi!\n"


def test_vtt_names_the_voice():
    assert to_vtt(cues([segment("Hello.", 3599.9996, 3601.0, channel=1)])) == (
        "WEBVTT\n\n01:00:00.000 --> 01:00:01.000\n<v channel 2>Hello.\n\n"
    )


def test_vtt_escapes_what_would_be_markup():
    text = to_vtt(cues([segment("<b>&amp; 1 --> 2")]))

    assert "\n&lt;b&gt;&amp;amp; 1 --&gt; 2\n" in text
    assert webvtt.from_buffer(io.StringIO(text)).captions[0].text == "&lt;b&gt;&amp;amp; 1 --&gt; 2"


def test_arrow_in_speech_does_not_break_srt():
    assert "1 -→ 2" in to_srt(cues([segment("1 ---> 2")]))


def test_line_breaks_in_speech_do_not_make_new_cues():
    said = [segment("a\r\n\r\n2\n00:00:00,000 --> 00:00:09,000\u2028evil\x85")]

    assert len(list(srt.parse(to_srt(cues(said))))) == len(cues(said)) == 1


def test_empty_transcript_is_a_valid_file():
    assert to_srt([]) == ""
    assert list(webvtt.from_buffer(io.StringIO(to_vtt([])))) == []


# Properties

TIMES = st.floats(0, 20_000, allow_nan=False)
TEXTS = st.one_of(
    st.text(max_size=60),
    st.text("ab.,!語<>&- \n\r\x00", max_size=200),
    st.lists(st.sampled_from(["so", "then,", "well.", "x" * 50]), max_size=60).map(" ".join),
)
WORDS = st.builds(
    TranscriptWord,
    start_s=TIMES,
    end_s=TIMES,
    text=st.one_of(st.text(max_size=8), st.sampled_from(["ja", "nein.", "y" * 90])),
    confidence=st.none(),
    source=st.just("engine"),
)


@st.composite
def segments(draw):
    words = tuple(draw(st.lists(WORDS, max_size=15)))
    start_s = draw(TIMES)
    return segment(
        draw(TEXTS),
        start_s,
        start_s + draw(st.floats(0, 30)),
        draw(st.sampled_from([0, 11])),
        words,
    )


TRANSCRIPTS = st.lists(segments(), max_size=4)


def bare(text: str) -> str:
    return "".join("".join(" " if c < " " or "\x7f" <= c <= "\x9f" else c for c in text).split())


def expected(said: list[TranscriptSegment], channel: int) -> str:
    mine = (s for s in sorted(said, key=lambda s: s.start_s) if s.channel == channel)
    return "".join(bare("\n".join(w.text for w in s.words) if s.words else s.text) for s in mine)


@given(TRANSCRIPTS)
def test_every_word_appears_once_and_in_order(said):
    made = cues(said)

    for channel in (0, 11):
        shown = bare("".join("".join(c.lines) for c in made if c.channel == channel))
        assert shown == expected(said, channel)


@given(TRANSCRIPTS)
def test_cues_keep_every_limit(said):
    for cue in cues(said):
        label = f"channel {cue.channel + 1}: "
        assert 1 <= len(cue.lines) <= MAX_LINES
        assert all(line.strip() for line in cue.lines)
        assert all(len(line) <= MAX_LINE for line in (label + cue.lines[0], *cue.lines[1:]))
        assert 0 < cue.end_s - cue.start_s <= MAX_CUE_S + MS


@given(TRANSCRIPTS)
def test_cues_of_a_channel_do_not_overlap(said):
    made = cues(said)

    assert made == sorted(made, key=lambda c: c.start_s)
    for channel in (0, 11):
        mine = [c for c in made if c.channel == channel]
        assert all(one.end_s <= other.start_s for one, other in pairwise(mine))


@given(TRANSCRIPTS)
def test_srt_package_reads_what_was_written(said):
    made = cues(said)

    parsed = list(srt.parse(to_srt(made)))

    assert [p.index for p in parsed] == list(range(1, len(made) + 1))
    assert [p.start.total_seconds() for p in parsed] == [c.start_s for c in made]
    assert [p.end.total_seconds() for p in parsed] == [c.end_s for c in made]
    assert [bare(p.content) for p in parsed] == [
        bare(f"channel {c.channel + 1}: " + "\n".join(c.lines).replace("-->", "→")) for c in made
    ]


@given(TRANSCRIPTS)
def test_webvtt_package_reads_what_was_written(said):
    made = cues(said)

    parsed = webvtt.from_buffer(io.StringIO(to_vtt(made))).captions

    assert [p.start_in_seconds for p in parsed] == [int(c.start_s) for c in made]
    assert [bare(html.unescape(p.text)) for p in parsed] == [bare("".join(c.lines)) for c in made]
    assert [p.voice for p in parsed] == [f"channel {c.channel + 1}" for c in made]


@given(st.lists(st.builds(segment, TEXTS), max_size=4))
def test_text_has_one_line_for_each_segment_with_words(said):
    text = to_text(said)

    assert len(re.findall("\n", text)) == len([s for s in said if bare(s.text)])
    assert bare(text) == "".join(bare(s.text) for s in said)
