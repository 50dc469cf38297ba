"""Corrections laid over the machine's transcript: what stands, what was heard, what is refused."""

import pytest

from shared.domain.corrected import corrected, original, transcript
from shared.domain.corrections import Author, Correction, Said, read, written
from shared.domain.result import Transcript, TranscriptSegment, TranscriptWord
from shared.errors import UnplacedCorrection
from tests.builders import NOW

LENGTH_S = 20.0


def segment(start_s, end_s, text, channel=None):
    words = (TranscriptWord(start_s=start_s, end_s=end_s, text=text, confidence=0.5, source="w"),)
    return TranscriptSegment(
        start_s=start_s,
        end_s=end_s,
        channel=channel,
        language="en",
        text=text,
        confidence=0.5,
        words=words,
    )


MACHINE = Transcript(
    text="one two three",
    confidence=0.9,
    calibrated=True,
    coverage=1.0,
    unexplained_s=0.0,
    segments=(segment(1, 2, "one"), segment(3, 4, "two"), segment(3, 4, "three", 1)),
)


def correction(*stretches, version=1, result="r", whole=None):
    author = Author("anna")
    return Correction("rec1", "acme", version, result, author, NOW, tuple(stretches), whole)


def laid(*made):
    return corrected(MACHINE, LENGTH_S, made, "r")


def told(passages):
    return [(p.segment.text, tuple(h.text for h in p.heard)) for p in passages]


def test_what_nobody_corrected_is_the_machines():
    assert transcript(MACHINE, laid()) == MACHINE


def test_a_stretch_is_named_by_its_times_and_channel():
    passages = laid(correction(Said(3.0, 4.0, "drei", channel=1)))

    assert told(passages) == [("one", ("one",)), ("two", ("two",)), ("drei", ("three",))]
    assert passages[0].correction is None
    assert passages[2].correction.by == Author("anna")


def test_a_corrected_stretch_has_no_words_and_no_confidence_of_the_machines():
    after = transcript(MACHINE, laid(correction(Said(1.0, 2.0, "won"))))

    assert after.text == "won two three"
    assert (after.confidence, after.segments[0].confidence, after.segments[0].words) == (
        None,
        None,
        (),
    )
    assert after.segments[0].language == "en"
    assert after.segments[1] == MACHINE.segments[1]


def test_the_last_correction_stands_and_what_was_heard_stays():
    first, second = correction(Said(1, 2, "won")), correction(Said(1, 2, "wan"), version=2)

    [passage, *_] = laid(first, second)

    assert (passage.segment.text, passage.correction.version) == ("wan", 2)
    assert [s.text for s in passage.heard] == ["one"]


def test_times_of_a_spreadsheet_still_name_the_stretch():
    [passage, *_] = laid(correction(Said(1.001, 1.999, "won")))

    assert (passage.segment.start_s, passage.segment.end_s) == (1.0, 2.0)


def test_what_the_machine_missed_is_added_in_a_gap():
    passages = laid(correction(Said(2.0, 3.0, "missed")))

    assert told(passages)[1] == ("missed", ())


@pytest.mark.parametrize(
    "stretch",
    [
        pytest.param(Said(1.5, 2.5, "x"), id="across a stretch's end"),
        pytest.param(Said(0.0, 5.0, "x"), id="over two"),
        pytest.param(Said(1.2, 1.8, "x"), id="inside one"),
        pytest.param(Said(19.0, 20.1, "x"), id="behind the end"),
    ],
)
def test_what_lies_across_others_is_refused(stretch):
    with pytest.raises(UnplacedCorrection):
        laid(correction(stretch))


def test_another_channel_is_no_obstacle():
    assert ("x", ()) in told(laid(correction(Said(1.0, 2.0, "x", channel=1))))


def test_a_whole_text_stands_for_everything_and_may_be_corrected_again():
    whole = correction(whole="All of it.")
    again = correction(Said(0.0, LENGTH_S, "All of that."), version=2)

    assert told(laid(whole)) == [("All of it.", ("one", "two", "three"))]
    assert told(laid(whole, again)) == [("All of that.", ("one", "two", "three"))]


def test_nothing_said_there_leaves_no_text():
    after = transcript(MACHINE, laid(correction(Said(1, 2, ""))))

    assert after.text == "two three"


def test_corrections_of_another_result_are_not_laid_over_this_one():
    assert transcript(MACHINE, laid(correction(Said(1, 2, "won"), result="older"))) == MACHINE


def test_the_original_of_a_stretch_is_what_the_machine_said_there():
    assert original(Said(0.5, 3.5, "x"), MACHINE) == "one two"
    assert original(None, MACHINE) == MACHINE.text


def test_what_is_kept_is_read_again():
    made = correction(Said(1, 2, "\u2028 ü", channel=0))

    assert read(written(made)) == made
