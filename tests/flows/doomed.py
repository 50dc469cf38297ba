"""A process that hears one upload, or ticks once, and is killed at a given effect.

    python -m tests.flows.doomed HOME BROKER_URL WHEN EFFECT [tick]

Run by test_crashes and test_reconcile_crashes. EFFECT counts every durable write, publish
and ack from 0; WHEN is before or after. The process kills itself with SIGKILL there, as a
power cut would; without such an effect it ends with 0 and prints the names of all it made.
"""

import base64
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from shared import wiring
from shared.domain.answers import Answer, Embedding, Task
from shared.domain.lanes import Lane
from shared.domain.sound import Segment
from shared.settings import load
from tests.flows.ears import SmallEars, plainly, survey

#: Calls with an effect; reading has none.
EFFECTS = {
    "recordings": {"create_or_get", "refuse"},
    "jobs": {
        *("lease_next", "extend", "checkpoint", "hand_over", "fail", "reject", "complete"),
        *("take_back", "undefer", "lapse", "unrung"),
    },
    "outbox": {"sent"},
    "publisher": {"publish"},
    "results": {"save", "remove"},
    "arrivals": {"pull", "ack"},
    "bookmarks": {"move"},
    "spending": {"intend", "settle"},
}


CASCADE = {"transcribe": ["first"], "classify": [], "align": ["placer"], "embed": ["feeler"]}


def heard(engine: str, task: Task, segments: Sequence[Segment]) -> list[Answer]:
    if task is not Task.EMBED:
        return plainly(engine, task, segments)
    felt = Embedding((1.0, 0.5), base64.b64encode(bytes(range(250))).decode(), 2, 1.25)
    return [Answer(engine, task, embedding=felt) for _ in segments]


class Fate:
    """Counts effects and strikes at one of them."""

    def __init__(self, when: str, strike_at: int) -> None:
        self.when, self.strike_at, self.seen = when, strike_at, list[str]()

    def around(self, name: str, call: Any) -> Any:
        def doomed(*args: Any, **kwargs: Any) -> Any:
            mine = len(self.seen) == self.strike_at
            self.seen.append(name)
            if mine and self.when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            answer = call(*args, **kwargs)
            if mine:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return doomed


class Doomed:
    """A port whose effects fate counts; everything else goes straight through."""

    def __init__(self, port: Any, name: str, fate: Fate) -> None:
        self._port, self._name, self._fate = port, name, fate

    def __getattr__(self, method: str) -> Any:
        call = getattr(self._port, method)
        if method not in EFFECTS[self._name]:
            return call
        return self._fate.around(f"{self._name}.{method}", call)


def parts_of(home: Path, broker: str, fate: Fate | None = None) -> wiring.Parts:
    settings = load(home=home, broker_url=broker, cascade=CASCADE)
    parts = wiring.parts(settings)
    if fate is None:
        return parts
    return replace(parts, **{n: Doomed(getattr(parts, n), n, fate) for n in EFFECTS})


def small_ears() -> SmallEars:
    """Three rounds, one a task: a checkpoint after the words, and one after their places."""
    found = survey(segments=1, each_s=100.0)
    whole = replace(found, windows=found.speech)
    return SmallEars(whole, heard, languages={"placer": {"en"}})


def hear(parts: wiring.Parts) -> None:
    flow = wiring.work(parts, small_ears())
    assert flow.cascade[Task.TRANSCRIBE] == ("first",)
    flow((Lane.HIGH, Lane.LOW))


def main(home: str, broker: str, when: str, effect: str, what: str = "hear") -> None:
    fate = Fate(when, int(effect))
    parts = parts_of(Path(home), broker, fate)
    if what == "tick":
        wiring.reconcile(parts)()
    else:
        _from_upload_to_ack(parts, fate)
    print("\n".join(fate.seen))


def _from_upload_to_ack(parts: wiring.Parts, fate: Fate) -> None:
    [pending] = parts.uploads.events()  # type: ignore[attr-defined]  # the embedded adapter's own
    wiring.intake(parts)(pending.event)
    fate.around("ack event", parts.uploads.event_sent)(pending)  # type: ignore[attr-defined]
    hear(parts)
    fate.around("ack ticket", lambda: None)()


if __name__ == "__main__":
    main(*sys.argv[1:])
