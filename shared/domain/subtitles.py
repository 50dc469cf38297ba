"""Segments and their words -> cues a person can read -> SRT, WebVTT, plain text.

Limits come from Netflix, "Timed Text Style Guide": General Requirements (two lines, 5/6 s to
7 s a cue, two frames between cues, break after punctuation, the lower line the longer one) and
English (42 characters a line, 20 characters a second). BBC, "Subtitle Guidelines", agrees
on breaking at sentences, clauses and pauses.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from shared.domain.result import TranscriptSegment

#: Columns a line, and lines a cue. A wide East Asian character takes two columns.
MAX_LINE, MAX_LINES = 42, 2
#: Seconds a cue is shown.
MIN_CUE_S, MAX_CUE_S = 5 / 6, 7.0
#: Seconds between two cues of a channel: two frames at 24 a second.
MIN_GAP_S = 2 / 24
#: Columns a second that an adult reads; a cue stays longer where there is room.
READ_RATE = 20.0
#: Seconds without a word. From the first a pause is a good place to break, from the second
#: it always breaks: words that far apart do not belong on one screen. Ours, by ear.
PAUSE_S, LONG_PAUSE_S = 0.3, 1.5
#: Columns of imbalance that a break after a sentence, and after a clause or pause, is worth.
SENTENCE_WORTH, CLAUSE_WORTH = 40, 20
#: Words looked at to place one break: more than two lines can hold, so that time stays linear.
LOOK_AHEAD = 4 * MAX_LINE
#: Seconds. Both formats count milliseconds; a cue must not begin and end in the same one.
TICK_S = 0.001
_SENTENCE_ENDS = frozenset(".!?…。！？؟।")
_CLAUSE_ENDS = frozenset(",;:–—、，；：،؛")


@dataclass(frozen=True, slots=True)
class Cue:
    """What stands on the screen at one time; never empty."""

    start_s: float  #: a whole number of milliseconds, as `end_s`
    end_s: float
    lines: tuple[str, ...]  #: one or two, plain text
    channel: int | None = None  #: from 0; None = the mix


@dataclass(frozen=True, slots=True)
class _Piece:
    """A word, or a part of one that is longer than a line."""

    text: str
    start_s: float
    end_s: float
    glued: bool  #: no blank in front of it


def cues(segments: Sequence[TranscriptSegment]) -> list[Cue]:
    """Every word exactly once, in the order of time.

    Within a channel cues do not overlap; cues of different channels may.
    """
    channels: dict[int | None, list[TranscriptSegment]] = defaultdict(list)
    for segment in sorted(segments, key=lambda s: s.start_s):
        channels[segment.channel].append(segment)
    timed = (cue for these in channels.values() for cue in _timed(_drafts(these)))
    return sorted(timed, key=lambda c: (c.start_s, -1 if c.channel is None else c.channel))


def to_srt(cues: Iterable[Cue]) -> str:
    """SubRip. It has no way to escape, so an arrow inside the text becomes one character."""
    return "".join(
        f"{n}\n{_clock(c.start_s, ',')} --> {_clock(c.end_s, ',')}\n{_srt_text(c)}\n\n"
        for n, c in enumerate(cues, 1)
    )


def to_vtt(cues: Iterable[Cue]) -> str:
    """WebVTT (W3C), a channel as its voice."""
    return "WEBVTT\n\n" + "".join(
        f"{_clock(c.start_s, '.')} --> {_clock(c.end_s, '.')}\n{_vtt_text(c)}\n\n" for c in cues
    )


def to_text(segments: Iterable[TranscriptSegment]) -> str:
    """One line a segment, in the order given; the channel in front where they are apart."""
    said = ((_label(s.channel), " ".join(_words(s.text))) for s in segments)
    return "".join(f"{label}{text}\n" for label, text in said if text)


def _label(channel: int | None) -> str:
    """People count channels from 1."""
    return "" if channel is None else f"channel {channel + 1}: "


def _srt_text(cue: Cue) -> str:
    return _label(cue.channel) + "\n".join(cue.lines).replace("-->", "→")


def _vtt_text(cue: Cue) -> str:
    text = "\n".join(cue.lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text if cue.channel is None else f"<v channel {cue.channel + 1}>{text}"


def _clock(at_s: float, point: str) -> str:
    seconds, ms = divmod(round(at_s * 1000), 1000)
    minutes, s = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{s:02d}{point}{ms:03d}"


# Words


def _words(text: str) -> list[str]:
    """Split at blanks, line breaks and control characters: none of them reaches a file."""
    return "".join(" " if unicodedata.category(c) == "Cc" else c for c in text).split()


def _pieces(segment: TranscriptSegment, room: int) -> list[_Piece]:
    """The segment's words with times inside it that never run backwards."""
    spoken = _placed(segment) if segment.words else _spread(segment)
    pieces, clock_s = [], segment.start_s
    for word in spoken:
        start_s = min(max(word.start_s, clock_s), max(segment.end_s, clock_s))
        end_s = min(max(word.end_s, start_s), max(segment.end_s, start_s))
        pieces += _wrapped(replace(word, start_s=start_s, end_s=end_s), room)
        clock_s = end_s
    return pieces


def _placed(segment: TranscriptSegment) -> Iterator[_Piece]:
    """Words with their own times; the segment's text says where a script uses no blanks."""
    at = 0
    for word in segment.words:
        found = segment.text.find(word.text, at)
        glued = bool(at) and found == at
        at = at if found < 0 else found + len(word.text)
        shares = _shares(_words(word.text), word.start_s, word.end_s)
        for n, (part, start_s, end_s) in enumerate(shares):
            yield _Piece(part, start_s, end_s, glued and not n)


def _spread(segment: TranscriptSegment) -> Iterator[_Piece]:
    """Words without times share the segment by their length."""
    for word, start_s, end_s in _shares(_words(segment.text), segment.start_s, segment.end_s):
        yield _Piece(word, start_s, end_s, glued=False)


def _shares(
    parts: Sequence[str], start_s: float, end_s: float
) -> Iterator[tuple[str, float, float]]:
    ends = list(accumulate((len(part) for part in parts), initial=0))
    rate = max(end_s - start_s, 0.0) / max(ends[-1], 1)
    for part, (start, end) in zip(parts, pairwise(ends), strict=True):
        yield part, start_s + start * rate, start_s + end * rate


def _wrapped(word: _Piece, room: int) -> list[_Piece]:
    """A word in parts that each fit a line; nearly always one part."""
    parts, used = [""], 0
    for character in word.text:
        used += _columns(character)
        if used > room:
            parts.append("")
            used = _columns(character)
        parts[-1] += character
    return [
        _Piece(part, start_s, end_s, word.glued or n > 0)
        for n, (part, start_s, end_s) in enumerate(_shares(parts, word.start_s, word.end_s))
    ]


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


# Breaking into cues and lines


def _drafts(segments: Sequence[TranscriptSegment]) -> Iterator[Cue]:
    """Cues with the times of their words, not yet fitted to their neighbours."""
    for segment in segments:
        indent = len(_label(segment.channel))
        pieces = _pieces(segment, MAX_LINE - indent)
        at = 0
        while at < len(pieces):
            taken = pieces[at : at + _cut(pieces[at : at + LOOK_AHEAD], indent)]
            lines = _lines(taken, indent)
            yield Cue(taken[0].start_s, taken[-1].end_s, lines, segment.channel)
            at += len(taken)


def _cut(pieces: Sequence[_Piece], indent: int) -> int:
    """How many pieces the next cue takes: near an even share, at a good place to break."""
    most = _fitting(pieces, indent)
    if most == len(pieces):
        return most
    widths = list(accumulate(_step(p) for p in pieces))
    shares = -(-widths[-1] // widths[most - 1])
    even = widths[-1] / shares

    def merit(n: int) -> float:
        return _worth(pieces[n - 1], pieces[n]) - abs(widths[n - 1] - even)

    return max(range(1, most + 1), key=merit)


def _fitting(pieces: Sequence[_Piece], indent: int) -> int:
    """The most pieces that two lines, seven seconds and no long pause can hold."""
    line, used = 1, indent + _columns(pieces[0].text)
    for n, (before, piece) in enumerate(pairwise(pieces), 1):
        used += _step(piece)
        if used > MAX_LINE:
            line, used = line + 1, _columns(piece.text)
        late = piece.end_s - pieces[0].start_s > MAX_CUE_S
        if line > MAX_LINES or late or piece.start_s - before.end_s >= LONG_PAUSE_S:
            return n
    return len(pieces)


def _step(piece: _Piece) -> int:
    return _columns(piece.text) + (not piece.glued)


def _worth(before: _Piece, after: _Piece) -> int:
    """What breaking between two pieces is worth, in columns."""
    last = before.text.rstrip("\"'”’»)]")[-1:]
    if last in _SENTENCE_ENDS:
        return SENTENCE_WORTH
    if last in _CLAUSE_ENDS or after.start_s - before.end_s >= PAUSE_S:
        return CLAUSE_WORTH
    return -SENTENCE_WORTH if after.glued else 0


def _lines(pieces: Sequence[_Piece], indent: int) -> tuple[str, ...]:
    """One line where it fits, else two of about the same length, the lower one longer."""
    whole = _joined(pieces)
    if indent + _columns(whole) <= MAX_LINE:
        return (whole,)
    splits = [(_joined(pieces[:n]), _joined(pieces[n:])) for n in range(1, len(pieces))]

    def cost(n: int) -> tuple[bool, float]:
        upper, lower = indent + _columns(splits[n][0]), _columns(splits[n][1])
        uneven = max(lower - upper, 2 * (upper - lower))
        return max(upper, lower) > MAX_LINE, uneven - _worth(pieces[n], pieces[n + 1])

    return splits[min(range(len(splits)), key=cost)]


def _joined(pieces: Sequence[_Piece]) -> str:
    rest = (p.text if p.glued else f" {p.text}" for p in pieces[1:])
    return pieces[0].text + "".join(rest)


# Times


def _timed(drafts: Iterable[Cue]) -> Iterator[Cue]:
    """Let every cue stand long enough to be read, as far as the next one leaves room."""
    waiting = list(drafts)
    starts = [draft.start_s for draft in waiting[1:]]
    clock_s = 0.0
    for draft, following in zip(waiting, [*starts, float("inf")], strict=False):
        start_s = max(round(draft.start_s, 3), clock_s)
        wanted = max(draft.end_s, start_s + _reading_s(draft.lines))
        end_s = min(wanted, following - MIN_GAP_S, start_s + MAX_CUE_S)
        # Where speech leaves no room at all the words still stand, for a moment.
        end_s = clock_s = max(round(end_s, 3), round(start_s + TICK_S, 3))
        yield replace(draft, start_s=start_s, end_s=end_s)


def _reading_s(lines: Sequence[str]) -> float:
    return max(MIN_CUE_S, sum(map(_columns, lines)) / READ_RATE)
