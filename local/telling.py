"""What people read of a recording: one line each, times, words; every name made harmless."""

from collections.abc import Iterator

from shared.domain.names import display
from shared.domain.recording import Recording
from shared.domain.result import Result, read
from shared.domain.states import State
from shared.domain.testimony import summary
from shared.ports import Results


def result_of(recording: Recording, results: Results) -> Result:
    """The recording's result, or what is known while there is none, in the same shape.

    Raises:
        NotFound: the result's file is gone.
    """
    if recording.result is None:
        return summary(recording)
    return read(results.load(recording.result, "result.json"))


def clock_time(seconds: float) -> str:
    """`1:02:03.4`, `2:03.4`: tenths, rounded down so that no time lies ahead of the sound."""
    tenths = int(seconds * 10 + 1e-6)
    minutes, rest = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{head}:{rest // 10:02}.{rest % 10}"


def safe(text: str) -> str:
    """Text from outside, on one line of a terminal; what could steer it is shown escaped."""
    return "".join(c if c.isprintable() else display(c) for c in text)


def transcript_lines(result: Result) -> Iterator[str]:
    """One line a stretch of speech, with its times."""
    for s in result.transcript.segments if result.transcript else ():
        channel = "" if s.channel is None else f"[channel {s.channel + 1}] "
        yield f"{clock_time(s.start_s):>9} - {clock_time(s.end_s):<9} {channel}{safe(s.text)}"


def verdict(recording: Recording) -> str:
    """What became of it, in one line for the terminal."""
    name = display(recording.path) or recording.id  # of what is erased only the id is left
    if recording.state is State.DONE:
        review = "; a person should look at it" if recording.review else ""
        return f"{name}: done{review}"
    if recording.state is State.DEFERRED and recording.deferred_until is not None:
        at = recording.deferred_until.astimezone().strftime("%Y-%m-%d %H:%M")
        if recording.error is not None:
            return f"{name}: deferred: {safe(recording.error.message)} It is heard from {at} on."
        return f"{name}: deferred; it is heard from {at} on"
    if recording.error is not None:
        return f"{name}: {recording.state}: {safe(recording.error.message)}"
    return f"{name}: {recording.state}"


def portrait(recording: Recording, result: Result) -> Iterator[str]:
    """Everything a person asks first about one recording, in lines."""
    yield f"{display(recording.path)}   {recording.id}"
    lane = f"lane {recording.lane} by rule {recording.rule}" if recording.lane else "no lane"
    yield f"{recording.state}, tenant {recording.tenant} ({recording.tier}), {lane}"
    yield (
        f"received {_at(recording.received_at)}, kept until {_at(recording.kept_until)},"
        f" attempts {recording.attempts}"
    )
    if recording.error:
        yield f"{recording.error.code}: {safe(recording.error.message)}"
    if result.reused_from:
        yield f"the same content as {result.reused_from}, whose answers these are"
    yield from _sound(result)
    for warning in result.warnings:
        yield f"warning {warning.code}: {safe(warning.message)}"
    lines = list(transcript_lines(result))
    yield from ["", *lines] if lines else []
    yield from answer_lines(result)


def answer_lines(result: Result) -> Iterator[str]:
    """Each question and its answer, for a terminal."""
    for answer in result.answers:
        yield f"question: {safe(answer.question)}"
        yield f"  answer: {safe(answer.text) or '-'}"


def _sound(result: Result) -> Iterator[str]:
    if result.audio is not None:
        a = result.audio
        yield (
            f"{clock_time(a.duration_s)} of {a.container}/{a.codec}, {a.sample_rate_hz} Hz,"
            f" {a.channels} channel(s)"
        )
    if result.transcript is not None:
        t = result.transcript
        sure = "unknown" if t.confidence is None else f"{t.confidence:.2f}"
        kind = "calibrated" if t.calibrated else "not calibrated"
        yield f"language {result.language or '-'}, confidence {sure} ({kind})"
    for sound in result.sounds:
        yield f"{clock_time(sound.start_s):>9} - {clock_time(sound.end_s):<9} ({sound.label})"


def _at(at: object) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
