"""Every query has its index: the file Terraform is checked against, and what the emulator saw."""

from tests.contracts.firestore_indexes import listed, used
from tests.contracts.firestore_live import ask_everything


def test_the_listed_indexes_are_those_the_queries_need(firestore_store, firestore_client):
    ask_everything(firestore_store, firestore_client)

    assert used(firestore_client) == listed()
