"""The database: composite indexes and fields as `firestore_indexes.json` has them."""

import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from local.cloud_checkup.deployment import Deployment
from local.cloud_checkup.findings import Finding, verdict
from local.cloud_checkup.rest import Answer, listed

READY, ACTIVE = "READY", "ACTIVE"
#: The collection that is searched by likeness (terraform/stack/firestore.tf).
VECTORS = "vectors"
#: Of a field, what the API lists: those that were set to something of their own.
OWN = "indexConfig.usesAncestorConfig:false OR ttlConfig:*"


def written() -> Mapping[str, Any]:
    """What the queries need: the file that Terraform makes the indexes from."""
    text = files("shared").joinpath("adapters", "gcp", "firestore_indexes.json").read_text("utf-8")
    document: Mapping[str, Any] = json.loads(text)
    return document


def database(d: Deployment) -> list[Finding]:
    found = d.google.get("firestore", f"v1/{d.database}")
    return verdict("database", database_faults(d, found), "there, with its past and a guard")


def database_faults(d: Deployment, found: Answer | None) -> list[str]:
    """Source: Firestore REST, projects.databases."""
    name = d.settings.firestore_database
    if found is None:
        return [f"the database {name} is missing; `terraform apply` makes it"]
    held = {
        "type": ("FIRESTORE_NATIVE", f"{name} is no Firestore in native mode"),
        "pointInTimeRecoveryEnablement": (
            "POINT_IN_TIME_RECOVERY_ENABLED",
            f"{name} has no point-in-time recovery: it could not be restored",
        ),
        "deleteProtectionState": (
            "DELETE_PROTECTION_ENABLED",
            f"{name} can be deleted by mistake: it has no delete protection",
        ),
    }
    return [said for key, (wanted, said) in held.items() if found.get(key) != wanted]


def indexes(d: Deployment) -> list[Finding]:
    path = f"v1/{d.database}/collectionGroups/-/indexes"
    wanted = written()["indexes"]
    said = index_faults(wanted, listed(d.google, "firestore", path, "indexes"))
    return verdict("indexes", said, f"{len(wanted)} are ready")


def index_faults(wanted: Iterable[Answer], there: Iterable[Answer]) -> list[str]:
    """Each index that is missing or not ready yet. Source: Firestore REST, Index."""
    states = {_index(_group(i), i): str(i.get("state")) for i in there}
    needed = [_index(i["collectionGroup"], i) for i in wanted]
    return [
        f"the index {name} is {_unready(states.get(name))}"
        for name in needed
        if states.get(name) != READY
    ]


def vectors(d: Deployment) -> list[Finding]:
    path = f"v1/{d.database}/collectionGroups/-/indexes"
    there = list(listed(d.google, "firestore", path, "indexes"))
    return verdict("vectors", vector_faults(there), "compared within one tenant")


def vector_faults(there: Iterable[Answer]) -> list[str]:
    """The one index that is not of a query's fields: its length is a variable of Terraform.

    Source: Firestore REST, Index: VectorConfig.
    """
    found = [str(i.get("state")) for i in there if _group(i) == VECTORS and _compares(i)]
    if READY in found:
        return []
    return [f"the index {VECTORS} (tenant, embedding) is {_unready(next(iter(found), None))}"]


def _compares(index: Answer) -> bool:
    """Within a tenant first: nobody is compared with another's recordings."""
    own = [f for f in index["fields"] if f["fieldPath"] != "__name__"]
    paths = [f["fieldPath"] for f in own]
    return paths == ["tenant", "embedding"] and "vectorConfig" in own[-1]


def _unready(state: str | None) -> str:
    return "missing; `terraform apply` makes it" if state is None else f"{state}, not {READY}"


def _index(group: str, index: Answer) -> str:
    """An index in one line. Google appends `__name__` itself; nobody writes it down."""
    fields = [_field(f) for f in index["fields"] if f["fieldPath"] != "__name__"]
    everywhere = index.get("queryScope") == "COLLECTION_GROUP"
    return f"{'*/' if everywhere else ''}{group} ({', '.join(fields)})"


def _field(field: Answer) -> str:
    kinds = {"ASCENDING": "", "DESCENDING": " desc", "CONTAINS": " contains"}
    kind = str(field.get("order") or field.get("arrayConfig") or "vector")
    return f"{field['fieldPath']}{kinds.get(kind, f' {kind}')}"


def _group(named: Answer) -> str:
    """The collection in `…/collectionGroups/{group}/…`."""
    return str(named["name"]).partition("/collectionGroups/")[2].partition("/")[0]


def fields(d: Deployment) -> list[Finding]:
    path = f"v1/{d.database}/collectionGroups/-/fields"
    there = listed(d.google, "firestore", path, "fields", filter=OWN)
    wanted = written()["fieldOverrides"]
    return verdict("fields", field_faults(wanted, there), f"{len(wanted)} as written down")


def field_faults(wanted: Iterable[Answer], there: Iterable[Answer]) -> list[str]:
    """Fields that cost an index nobody asks, and times that nothing expires at."""
    found = {f"{_group(f)}.{str(f['name']).rpartition('/')[2]}": f for f in there}
    named = {f"{f['collectionGroup']}.{f['fieldPath']}": f for f in wanted}
    return [
        f"the field {name} {said}"
        for name, f in named.items()
        for said in _field_faults(f, found.get(name, {}))
    ]


def _field_faults(wanted: Answer, found: Answer) -> list[str]:
    said = []
    config = found.get("indexConfig")
    if config is None or config.get("usesAncestorConfig") or config.get("indexes"):
        said.append("is indexed, and no query asks it: each write pays for that")
    if wanted.get("ttl") and found.get("ttlConfig", {}).get("state") != ACTIVE:
        said.append("ends nothing: its TTL policy is not active")
    return said
