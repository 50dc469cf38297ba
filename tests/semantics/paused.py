"""A worker that stops itself (SIGSTOP) right before a given effect, and goes on when told.

    python -m tests.semantics.paused HOME BROKER_URL EFFECT

Prints how its ticket ended.
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from shared import wiring
from shared.domain.lanes import Lane
from tests.flows.doomed import EFFECTS, parts_of, small_ears


class Pausing:
    """A port that stops the whole process once, before its method `at`."""

    def __init__(self, port: Any, at: str) -> None:
        self._port, self._at = port, at

    def __getattr__(self, method: str) -> Any:
        call = getattr(self._port, method)
        if method != self._at:
            return call
        self._at = ""

        def paused(*args: Any, **kwargs: Any) -> Any:
            os.kill(os.getpid(), signal.SIGSTOP)
            return call(*args, **kwargs)

        return paused


def main(home: str, broker: str, effect: str) -> None:
    name, method = effect.split(".")
    assert method in EFFECTS[name]
    whole = parts_of(Path(home), broker)
    parts = replace(whole, **{name: Pausing(getattr(whole, name), method)})
    flow = wiring.work(parts, small_ears())
    print(flow((Lane.HIGH, Lane.LOW)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
