"""R1: 10,000 recordings while every component is killed 500 times; the ledger printed."""

import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from shared.domain.states import State
from tests.journeys.running import Up, until
from tests.journeys.test_kills import PARTS, SETTINGS, kill, ledger, put
from tests.sounds import speech

JOBS, KILLS = 10_000, 500


def run(jobs: int = JOBS, kills: int = KILLS, seed: int = 20261121) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        up = Up(Path(folder) / "home", **SETTINGS)
        try:
            return _run(up, jobs, kills, random.Random(seed), seed)
        finally:
            up.end()


def _run(up: Up, jobs: int, kills: int, chance: random.Random, seed: int) -> bool:
    up.start()
    victims: Counter[str] = Counter()
    content, every = speech("Nothing is lost."), jobs // kills
    for number in range(jobs):
        put(up, number, content)
        if number % every == every // 2:
            part = chance.choice(PARTS)
            victims[part] += 1
            kill(up, part)
    until(lambda: sum(up.parts.recordings.counts().values()) > jobs, 3600)
    up.until_terminal(jobs + 1, 3600)
    until(lambda: not up.parts.outbox.pending())
    counts = up.parts.recordings.counts()
    done, measured, found = ledger(up)
    twice = sum(n > 1 for seen in (done, measured, found) for n in seen.values())
    lost = jobs + 1 - sum(counts[s] for s in (State.DONE, State.DEAD))
    ended = {state.value: n for state, n in counts.items() if n}
    print(f"  seed {seed}, kills {dict(victims)}, {ended}: lost {lost}, doubled {twice}")
    return lost == 0 and twice == 0


if __name__ == "__main__":
    sys.exit(0 if run(*map(int, sys.argv[1:])) else 1)
