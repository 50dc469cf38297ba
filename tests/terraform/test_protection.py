"""What `terraform destroy` refuses to take, and that without protection it takes everything."""

import pytest

from tests.terraform.topologies import VARIANTS, Entity, Topology

#: Arguments that make a destroy fail, and what they say then. Of the booleans the provider's own
#: default is to refuse, so that one left unset (None) refuses, too.
REFUSING = {
    "deletion_policy": ("PREVENT",),
    "deletion_protection": (True, None),
    "delete_protection_state": ("DELETE_PROTECTION_ENABLED",),
}
#: Arguments without which Google refuses to delete what is not empty.
EMPTYING = ("force_destroy", "delete_contents_on_destroy")
#: Kinds whose default is to be forgotten by Terraform and kept, and paid for, at Google.
ABANDONED = ("google_firestore_database",)
#: What nobody can make again, by the end of its address.
IRREPLACEABLE = (
    "google_bigquery_table.inference_metrics",
    "google_firestore_database.store",
    "google_kms_crypto_key.stack[0]",
    "google_kms_crypto_key.testimony",
    "google_storage_bucket.archive",
    "google_storage_bucket.results",
    "google_storage_bucket.uploads",
)


def refuses(entity: Entity) -> bool:
    held = (entity.values[name] in said for name, said in REFUSING.items() if name in entity.values)
    return any(held)


def keeps(entity: Entity) -> bool:
    """Whether something would stay behind: what is in it, or the thing itself."""
    full = any(entity.values[name] is not True for name in EMPTYING if name in entity.values)
    policy = entity.values.get("deletion_policy")
    return full or policy == "ABANDON" or (entity.kind in ABANDONED and policy != "DELETE")


@pytest.fixture(scope="session")
def unprotected(workshop) -> Topology:
    variables = VARIANTS["everything"] | {"delete_protection": False}
    return workshop.topology("unprotected", variables)


@pytest.mark.parametrize("end", IRREPLACEABLE)
def test_what_nobody_can_make_again_is_not_destroyed(topology, end):
    found = [e for e in topology("everything").entities if e.address.endswith(f".{end}")]

    assert found
    assert all(refuses(e) for e in found)


def test_without_protection_nothing_refuses(unprotected):
    assert [e.address for e in unprotected.entities if refuses(e)] == []


def test_without_protection_nothing_stays_behind(unprotected):
    assert [e.address for e in unprotected.entities if keeps(e)] == []
