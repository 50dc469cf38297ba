"""What the emulator does not settle: `python -m tests.contracts.firestore_live PROJECT DATABASE`.

Wants a database without documents and with Terraform's indexes. Asks each kind of query,
which production refuses where an index is missing, makes one commit of 600 writes, and says how
many intakes a second one tenant gets; the 200 recordings of that stay there.
"""

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from google.cloud.firestore import Client

from shared.adapters.gcp.firestore_changes import FirestoreChanges
from shared.adapters.gcp.firestore_client import Documents
from shared.domain.lanes import Lane
from shared.domain.states import State
from shared.domain.tenants import Tier
from shared.domain.webhooks import Delivered
from shared.errors import StoreUnavailable
from tests.builders import NOW, placed, recording
from tests.contracts.conftest import firestore

#: More than the 500 writes a commit could once have.
MANY_WRITES = 600
INTAKES, THREADS = 200, 32


def ask_everything(store, client):
    """Each kind of query once; that none has an answer changes no index."""
    for tenant in (None, "acme"):
        store.recordings.find(tenant, "quick fox")
        store.jobs.dead(tenant)
        for states in ((), (State.DONE, State.DEAD)):
            store.recordings.page(tenant, states=states, before=(NOW, "a"))
    store.recordings.answered("acme", "key")
    store.recordings.counts()
    store.recordings.history("a")
    store.jobs.lease_next([Lane.HIGH], "w", NOW, 60)
    store.jobs.take_back(NOW)
    store.jobs.take_back(NOW, "w")
    store.jobs.undefer(NOW, lambda *_: None)
    store.jobs.waiting(NOW)
    store.jobs.unrung(60.0, NOW)
    store.jobs.lapse(NOW - timedelta(days=7), NOW)
    store.jobs.causes(NOW)
    for more in ({}, {"tenant": "acme"}, {"unannounced": True}):
        store.retention.ending(NOW, after=(NOW, "a"), **more)
    store.retention.received("acme", (NOW, "a"))
    store.retention.unsettled()
    store.outbox.pending()
    store.outbox.pending("a")
    store.tenants.all()
    list(store.corrections.corrected("acme"))
    list(store.corrections.corrected())
    store.corrections.of("a")
    store.spending.day("acme", NOW)
    store.quotas.day("acme", NOW)
    store.webhooks.all("acme")
    store.deliveries.lease(NOW, 60.0)
    store.deliveries.lapse(NOW)
    for of in ({"tenant": "acme"}, {"webhook_id": "w"}):
        for state in (None, Delivered.FAILED):
            store.deliveries.page(**of, state=state, before=(NOW, "e", "w"))
    for tenant in (None, "acme"):
        store.actions.page(tenant, before=(NOW, "a"))
    store.recordings.about("acme", "whom")
    for tenant in (None, "acme"):
        store.erasures.running(tenant=tenant)
    store.erasures.waiting("a")
    store.erasures.sweep(NOW)
    store.tenants.ensure("never", Tier.FREE, NOW)
    store.chains.page("acme", "a")
    store.chains.tenants()
    store.chains.waiting("acme")
    FirestoreChanges(client)()


def commit_much(client):
    db = Documents(client)
    places = [db.at("jobs", "none", "segments", str(n)) for n in range(MANY_WRITES)]
    for lay in (True, False):
        commit = db.commit()
        for place in places:
            if lay:
                commit.put(place, {"plan": ""})
            else:
                commit.drop(place)
        assert db.try_to(commit)


def intakes(store):
    """Seconds that INTAKES of one tenant took, and how many were refused."""
    store.tenants.ensure("acme", Tier.FREE, NOW)

    def take(n):
        try:
            store.recordings.create_or_get(
                recording(n), lambda ledger: placed(start_tag=ledger.next_tag + 1)
            )
        except StoreUnavailable:
            return 1
        return 0

    begun = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        refused = sum(pool.map(take, range(INTAKES)))
    return time.perf_counter() - begun, refused


def main(project: str, database: str) -> None:
    client = Client(project=project, database=database)
    if list(client.collections()):
        sys.exit("This database is in use; a lease would take somebody's job.")
    with tempfile.TemporaryDirectory() as home:
        store = firestore(client, Path(home))
        ask_everything(store, client)
        print("Every query has its index.")
        commit_much(client)
        print(f"A commit may have {MANY_WRITES} writes.")
        took_s, refused = intakes(store)
    rate = (INTAKES - refused) / took_s
    print(f"One tenant, {THREADS} threads: {rate:.0f} intakes a second, {refused} refused.")


if __name__ == "__main__":
    main(*sys.argv[1:3])
