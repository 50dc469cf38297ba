"""`python -m tests.contracts.crowd STORE LIMIT_S NAME`: one process of many that hear for a tenant.

Half of its threads upload, half have sound heard that they wait for, each until the day is over for
it. A line on standard output for each that was let in, `heard SECONDS` or `uploaded ID`, which
waits for a line on standard input. Killed there, it leaves behind what a killed process leaves.
"""

import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from google.cloud.firestore import Client

from shared.adapters.embedded.sqlite_database import Database
from shared.adapters.embedded.sqlite_quotas import SqliteQuotas
from shared.adapters.embedded.sqlite_recordings import SqliteRecordings
from shared.adapters.gcp.firestore_quotas import FirestoreQuotas
from shared.adapters.gcp.firestore_recordings import FirestoreRecordings
from shared.domain.placement import place
from shared.domain.states import State
from shared.domain.tenants import Tenant, Tier
from shared.errors import OverQuota
from shared.flows.allowance import Allowance
from shared.ports import Quotas, Recordings
from tests.builders import NOW, recording
from tests.contracts.patience import patiently

THREADS = 16
#: Seconds; an upload is as long as the longest clip, so that both end at about the same time.
SHORTEST_S, LONGEST_S, UPLOAD_S = 5.0, 40.0, 40.0
_saying = Lock()


def say(line: str) -> None:
    """Waits to be answered, so that whoever reads can kill at this very line."""
    with _saying:
        print(line, flush=True)
        sys.stdin.readline()


def stores(where: str) -> tuple[Quotas, Recordings]:
    """A path is SQLite's, a name a project of the emulator."""
    if "/" in where:
        db = Database(Path(where))
        return SqliteQuotas(db), SqliteRecordings(db)
    client = Client(project=where)
    return FirestoreQuotas(client), FirestoreRecordings(client)


def hear(allowance: Allowance, tenant: Tenant, seed: str) -> None:
    chance = random.Random(seed)  # which clips, not a secret
    while True:
        seconds = round(chance.uniform(SHORTEST_S, LONGEST_S), 3)
        try:
            patiently(lambda seconds=seconds: allowance.charge(tenant, seconds))
        except OverQuota:
            return
        say(f"heard {seconds}")


def upload(recordings: Recordings, tenant: Tenant, name: str) -> None:
    number = 0
    while True:
        made = recording(id=f"{name}-{number}", seconds=UPLOAD_S)
        known = patiently(
            lambda made=made: recordings.create_or_get(
                made, lambda ledger: place(made, tenant, ledger, NOW)
            )
        )
        if known.state is State.DEFERRED:
            return
        say(f"uploaded {known.id}")
        number += 1


def main(where: str, limit_s: str, name: str) -> None:
    own = (("files_a_day", 1e9), ("seconds_a_day", float(limit_s)))
    tenant = Tenant("acme", Tier.FREE, NOW, own)
    quotas, recordings = stores(where)
    allowance = Allowance(quotas, lambda: NOW, name)
    with ThreadPoolExecutor(THREADS) as pool:
        for n in range(0, THREADS, 2):
            pool.submit(hear, allowance, tenant, f"{name}-{n}")
            pool.submit(upload, recordings, tenant, f"{name}-{n + 1}")
    allowance.give_back()


if __name__ == "__main__":
    main(*sys.argv[1:])
