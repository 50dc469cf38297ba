"""Every query has its index: the file Terraform is checked against, and what the emulator saw."""

from datetime import timedelta

from shared.adapters.gcp.firestore_changes import FirestoreChanges
from shared.domain.lanes import Lane
from shared.domain.states import State
from tests.builders import NOW
from tests.contracts.firestore_indexes import listed, used


def ask_everything(store, client):
    """Each kind of query once; that none has an answer changes no index."""
    for tenant in (None, "acme"):
        store.recordings.find(tenant, "quick fox")
        store.jobs.dead(tenant)
        for states in ((), (State.DONE, State.DEAD)):
            store.recordings.page(tenant, states=states, before=(NOW, "a"))
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
    store.outbox.pending()
    store.outbox.pending("a")
    store.tenants.all()
    FirestoreChanges(client)()


def test_the_listed_indexes_are_those_the_queries_need(firestore_store, firestore_client):
    ask_everything(firestore_store, firestore_client)

    assert used(firestore_client) == listed()
