"""One process that buys as fast as it can until the day's money is gone. Run by tests.

    python -m tests.semantics.buying STORE NAME SEED BUDGET_USD

16 threads lease jobs and pay for calls on them; half of the calls are never settled. Does as
many commits as the lines of its input say and prints a line after each, so that whoever reads
knows when to kill it.
"""

import random
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Semaphore, Thread

from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_jobs import SqliteJobs
from shared.adapters.embedded.sqlite_spending import SqliteSpending
from shared.domain.answers import Task
from shared.domain.lanes import Lane
from shared.domain.spending import Intent, PaidCall, Refusal
from tests.builders import NOW

THREADS = 16
permits = Semaphore(0)


def buy(db: Database, name: str, seed: int, budget_usd: float) -> None:
    """Until one call is refused for the budget, or no job is left."""
    jobs, spending, chance = SqliteJobs(db), SqliteSpending(db, name), random.Random(seed)
    while (lease := jobs.lease_next(tuple(Lane), name, NOW, 60.0)) is not None:
        for segment in range(4):
            usd = chance.choice([0.001, 0.004, 0.02])
            call = PaidCall("paid", Task.TRANSCRIBE, (segment,), usd)
            permits.acquire()
            made = spending.intend(lease, call, budget_usd, NOW)
            if made is Refusal.OVER_BUDGET:
                return
            print("intended", flush=True)
            if isinstance(made, Intent) and chance.random() < 0.5:
                permits.acquire()
                spending.settle(made, usd * chance.random())
                print("settled", flush=True)
            if chance.random() < 0.1:
                permits.acquire()
                spending.give_back(NOW)
                print("gave back", flush=True)


def hear() -> None:
    for line in sys.stdin:
        permits.release(int(line))


def main(store: str, name: str, seed: str, budget_usd: str) -> None:
    db = Database(store)
    Thread(target=hear, daemon=True).start()
    with ThreadPoolExecutor(THREADS) as pool:
        many = [
            pool.submit(buy, db, name, int(seed) + n, float(budget_usd)) for n in range(THREADS)
        ]
        for one in many:
            one.result()


if __name__ == "__main__":
    main(*sys.argv[1:])
