"""Sound cut into pieces as it comes: the same however it is chopped, nothing lost or twice."""

from itertools import pairwise

import numpy as np
import pytest

from gpu_service.streaming.listening import CAPACITY, KEEP_S, Listener
from shared.domain.sound import MAX_SEGMENT_S, SAMPLE_RATE
from tests.engines.speech import NO_SPEECH, SENTENCES, said, silence


def listened(sound, size, listener=None):
    listener = listener or Listener()
    pieces = []
    for at in range(0, sound.size, size):
        pieces += listener.add(sound[at : at + size])
        assert listener._n_held <= CAPACITY
    return pieces + listener.end()


def talk(pause_s, n=4):
    gap = silence(pause_s)
    return np.concatenate([gap, *(part for s in SENTENCES[:n] for part in (said(s), gap))])


@pytest.mark.parametrize("size", [160, 441, 1_600, 16_000, 10**9])
def test_the_pieces_do_not_depend_on_the_chunks(size):
    sound = talk(1.0)

    spans = [(p.start_s, p.end_s) for p in listened(sound, size)]

    assert spans == [(p.start_s, p.end_s) for p in listened(sound, 512)]
    assert len(spans) == 4


def test_a_piece_holds_the_sound_of_its_span_and_where_speech_is_in_it():
    sound = talk(1.0)

    for piece in listened(sound, 160):
        first = round(piece.start_s * SAMPLE_RATE)
        np.testing.assert_array_equal(piece.samples, sound[first : first + piece.samples.size])
        assert piece.samples.size == pytest.approx(piece.duration_s * SAMPLE_RATE, abs=1)
        assert all(0 <= a < b <= piece.duration_s + 1e-9 for a, b in piece.speech)


def test_speech_that_never_pauses_is_cut_and_no_second_is_missing():
    breathless = np.concatenate([said("the river runs down to the sea and back " * 12)] * 2)

    pieces = listened(breathless, 1_600)

    assert len(pieces) >= 2
    assert all(p.duration_s <= MAX_SEGMENT_S for p in pieces)
    assert all(b.start_s == a.end_s or b.start_s - a.end_s > 0.2 for a, b in pairs(pieces))
    assert [p.index for p in pieces] == list(range(len(pieces)))
    heard = sum(p.duration_s for p in pieces)
    assert heard == pytest.approx(breathless.size / SAMPLE_RATE, abs=1.5)


def pairs(items):
    return pairwise(items)


@pytest.mark.parametrize("kind", ["silence", "white noise", "pink noise", "tone 440 Hz"])
def test_where_nobody_speaks_nothing_is_asked_and_nothing_is_kept(kind):
    listener, sound = Listener(), NO_SPEECH[kind]

    pieces = [p for at in range(0, sound.size, 160) for p in listener.add(sound[at : at + 160])]

    assert pieces == [] and listener.open() is None
    assert listener._n_held <= (KEEP_S + 0.2) * SAMPLE_RATE
    assert listener.settled_s >= sound.size / SAMPLE_RATE - KEEP_S - 0.2


def test_a_hint_of_speech_at_the_very_end_is_a_piece():
    sound = np.concatenate([silence(2.0), said("Stop.")])

    [piece] = listened(sound, 160)

    assert piece.start_s > 1.5


def test_the_open_piece_grows_and_ends_where_its_final_does():
    listener, sound = Listener(7), np.concatenate([silence(0.5), said(SENTENCES[0]), silence(1.5)])
    opened = []
    for at in range(0, sound.size, 1_600):
        ended = listener.add(sound[at : at + 1_600])
        if ended:
            break
        opened += [listener.open()] if listener.open() else []

    [final] = ended
    assert [p.end_s for p in opened] == sorted(p.end_s for p in opened)
    assert all(p.index == final.index == 7 for p in opened)
    assert opened[-1].end_s == pytest.approx(final.end_s, abs=0.1)
