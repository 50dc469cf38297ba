"""R1: 10,000 recordings while every component is killed 500 times; the ledger printed.

`python -m bench.kills [--emulators] [JOBS KILLS]`. On emulators 1,000 and 50: functions, service
and gateway are killed; with the supervisor the emulators would end, and all that they hold.
"""

import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from shared.domain.states import TERMINAL, State
from tests.journeys.running import Up, until
from tests.journeys.test_kills import PARTS, SETTINGS, kill, ledger, put
from tests.sounds import speech

JOBS, KILLS = 10_000, 500
JOBS_EMULATED, KILLS_EMULATED = 1_000, 50
SEED = 20261121
#: Recordings that may wait while kills go on; more, and the kills would be over before the work.
MOST_WAITING = 60


def run(jobs: int = JOBS, kills: int = KILLS, seed: int = SEED) -> bool:
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
    return judged(up, jobs, victims, seed, ledger(up), beside=0)


def judged(
    up: Up,
    jobs: int,
    victims: Counter[str],
    seed: int,
    effects: tuple[Counter[str], Counter[str], Counter[str]],
    beside: int,
) -> bool:
    """Whether each recording ended, and each effect of all but `beside` done ones was seen once;
    printed."""
    counts = up.parts.recordings.counts()
    twice = sum(n > 1 for seen in effects for n in seen.values())
    lost = jobs + 1 - sum(counts[s] for s in (State.DONE, State.DEAD))
    without = [counts[State.DONE] - beside - len(seen) for seen in effects]
    ended = {state.value: n for state, n in counts.items() if n}
    print(
        f"  seed {seed}, kills {dict(victims)}, {ended}: lost {lost}, doubled {twice},"
        f" announcements, rows and passages missing {without}"
    )
    return lost == 0 and twice == 0 and not any(without)


def run_emulated(jobs: int = JOBS_EMULATED, kills: int = KILLS_EMULATED, seed: int = SEED) -> bool:
    from bench.emulated_ledger import Ledger
    from tests.journeys.emulated import Emulated

    with tempfile.TemporaryDirectory() as folder:
        up = Emulated(Path(folder) / "home", **SETTINGS)
        try:
            up.start()
            until(lambda: _ended(up) == 1)  # the sample, of which the ledger does not hear
            ledger = Ledger(up)
            begun_s = time.monotonic()
            victims = _disturbed(up, jobs, kills, random.Random(seed))
            until(lambda: _ended(up) == jobs + 1, 3600, pause_s=1.0)
            until(lambda: not up.parts.outbox.pending(), pause_s=1.0)
            print(f"  {jobs} recordings in {time.monotonic() - begun_s:.0f} s")
            return judged(up, jobs, victims, seed, ledger.read(jobs), beside=1)
        finally:
            up.end()


def _disturbed(up: Up, jobs: int, kills: int, chance: random.Random) -> Counter[str]:
    """Put all recordings, killing a part that runs at even distances; who was killed how often."""
    victims: Counter[str] = Counter()
    content, every = speech("Nothing is lost."), jobs // kills
    for number in range(jobs):
        put(up, number, content)
        if number % every == every // 2:
            until(lambda least=number - MOST_WAITING: _ended(up) >= least, 600, pause_s=0.5)
            part = chance.choice([name for name in PARTS if name != "supervisor"])
            until(lambda name=part: up.child(name))
            kill(up, part)
            victims[part] += 1
    return victims


def _ended(up: Up) -> int:
    counts = up.parts.recordings.counts()
    return sum(counts[state] for state in TERMINAL)


def main(words: list[str]) -> bool:
    chosen = run_emulated if "--emulators" in words else run
    return chosen(*[int(word) for word in words if not word.startswith("--")])


if __name__ == "__main__":
    sys.exit(0 if main(sys.argv[1:]) else 1)
