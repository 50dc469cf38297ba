"""The first start hears one recording that comes with Earwitness, and shows what came out."""

import io
from collections.abc import Callable
from importlib.resources import files

from local.bell import Bell
from local.errand import SETTLED, id_of
from local.telling import result_of, transcript_lines, verdict
from shared.domain.names import ROOT
from shared.domain.recording import Recording
from shared.domain.states import State
from shared.domain.tenants import DEMO
from shared.wiring import Parts

#: 16 kHz mono FLAC; local/sample/README.md says how it was made.
SAMPLE = "welcome.flac"
#: Seconds after which the first start goes on without showing the transcript: the recording
#: is heard all the same, and the page shows it.
PATIENCE_S = 120.0
LOOK_EVERY_S = 0.1


def is_first(parts: Parts) -> bool:
    """Whether nothing was ever brought in here."""
    return not any(parts.recordings.counts().values())


def hear_sample(
    parts: Parts,
    *,
    say: Callable[[str], None],
    stopped: Bell,
    patience_s: float = PATIENCE_S,
) -> None:
    """Bring the sample in as tenant demo, wait until it is heard, and show its transcript."""
    sound = files("local").joinpath("sample", SAMPLE).read_bytes()
    upload = parts.inlet.put(
        f"{ROOT}/{DEMO}/{SAMPLE}",
        io.BytesIO(sound),
        content_type="audio/flac",
        metadata={},
        at=parts.now(),
    )
    say(f"Nothing was heard here yet, so this is what {SAMPLE} says:")
    heard = _wait(parts, id_of(upload), stopped, patience_s)
    if heard is None:
        say("  ... it takes longer than usual; the page will show it.")
    elif heard.state is not State.DONE:
        say(f"  {verdict(heard)}")
    else:
        for line in transcript_lines(result_of(heard, parts.results)):
            say(f"  {line}")


def _wait(parts: Parts, recording_id: str, stopped: Bell, patience_s: float) -> Recording | None:
    for _ in range(int(patience_s / LOOK_EVERY_S)):
        found = parts.recordings.get(recording_id)
        if found is not None and found.state in SETTLED:
            return found
        if stopped.wait(LOOK_EVERY_S):
            break
    return None
