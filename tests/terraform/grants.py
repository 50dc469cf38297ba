"""Who may do what on what, read from a topology and put in short words.

`ew-service` may `roles/storage.objectViewer` on `my-recordings-4711-ew-uploads` is
("service", "bucket uploads", "storage.objectViewer"): names without the stack's prefix, so that
every stack is held against the same list, and a grant across stacks is on nobody's.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from tests.terraform.topologies import PREFIX, PROJECT, Entity, Topology

#: Of the project; the stand-in's own.
NUMBER = "123456789012"


class Grant(NamedTuple):
    who: str
    on: str
    role: str


#: Kind of a grant -> what it is on, and the argument that names it.
ON = {
    "google_artifact_registry_repository_iam_member": ("repository", "repository"),
    "google_bigquery_dataset_iam_member": ("dataset", "dataset_id"),
    "google_bigquery_table_iam_member": ("table", "table_id"),
    "google_cloud_run_v2_service_iam_member": ("run", "name"),
    "google_iap_web_cloud_run_service_iam_member": ("page", "cloud_run_service_name"),
    "google_kms_crypto_key_iam_member": ("key", "crypto_key_id"),
    "google_pubsub_subscription_iam_member": ("subscription", "subscription"),
    "google_pubsub_topic_iam_member": ("topic", "topic"),
    "google_secret_manager_secret_iam_member": ("secret", "secret_id"),
    "google_service_account_iam_member": ("identity", "service_account_id"),
    "google_storage_bucket_iam_member": ("bucket", "bucket"),
    "google_storage_managed_folder_iam_member": ("folder", "managed_folder"),
}
#: Kind of a thing -> the words that grants on it use, and the argument with its own name.
THINGS = {
    "google_artifact_registry_repository": (("repository",), "repository_id"),
    "google_bigquery_table": (("table",), "table_id"),
    "google_cloud_run_v2_service": (("run", "page"), "name"),
    "google_cloudfunctions2_function": (("run",), "name"),
    "google_kms_crypto_key": (("key",), "name"),
    "google_pubsub_subscription": (("subscription",), "name"),
    "google_pubsub_topic": (("topic",), "name"),
    "google_secret_manager_secret": (("secret",), "secret_id"),
    "google_service_account": (("identity",), "account_id"),
    "google_storage_bucket": (("bucket",), "name"),
    "google_storage_managed_folder": (("folder",), "name"),
}


def unweighed(topology: Topology) -> list[str]:
    """Kinds of grants that nothing here reads. Bindings and policies take from others, too."""
    grants = {e.kind for e in topology.entities if re.search(r"_(iam|access)(_|$)", e.kind)}
    return sorted(grants - {*ON, "google_project_iam_member", "google_project_iam_audit_config"})


def granted(topology: Topology, stack: str) -> set[Grant]:
    """What one stack gives to whom; for the stack "", what the project gives beside them."""
    return {
        Grant(_who(e), _on(e, topology), str(e["role"]).removeprefix("roles/"))
        for e in topology.entities
        if e.stack == stack and (e.kind in ON or e.kind == "google_project_iam_member")
    }


def things(topology: Topology, stack: str) -> set[str]:
    """What there is to be granted, and to whom, in the same words; "" sees every stack."""
    found = {"project"}
    for e in topology.entities:
        nouns, argument = THINGS.get(e.kind, ((), ""))
        if stack in ("", e.stack):
            found |= {f"{noun} {_short(str(e[argument]), stack)}" for noun in nouns}
    return found


def _who(entity: Entity) -> str:
    member = str(entity["member"])
    name, _, home = member.removeprefix("serviceAccount:").partition("@")
    if home == f"{PROJECT}.iam.gserviceaccount.com":
        return _short(name, entity.stack)
    agent = re.fullmatch(r"([\w-]+)\.iam\.gserviceaccount\.com", home)
    return f"agent {agent[1]}" if agent and name.endswith(NUMBER) else member


def _on(entity: Entity, topology: Topology) -> str:
    noun, argument = ON.get(entity.kind, ("project", ""))
    name = str(entity[argument]) if argument else ""
    if "ExtType" in name:  # made up by the stand-in, which did not know it: follow the reference
        name = _referred(entity, argument, topology)
    on = f"{noun} {_short(name, entity.stack)}".strip()
    held = entity.values.get("condition") or []
    return f"{on} if {_plain(held[0]['expression'], entity.stack)}" if held else on


def _short(name: str, stack: str) -> str:
    return _plain(name.rpartition("/")[2] if name.startswith("projects/") else name, stack)


def _plain(text: str, stack: str) -> str:
    """Without what differs from one stack and project to the next."""
    own = PREFIX if stack in ("", "home") else f"{PREFIX}-{stack}"
    text = re.sub(rf"(?<![\w-])({PROJECT}-)?{own}-", "", text)
    return re.sub(rf"{NUMBER}-[a-z0-9-]+", "NUMBER-REGION", text).replace(PROJECT, "PROJECT")


def _referred(entity: Entity, argument: str, topology: Topology) -> str:
    """The own name of what a grant's argument refers to, in the same module."""
    written = topology.written
    here = re.sub(r"\[[^]]*\]", "", entity.address).split(".")
    while here[0] == "module":
        written, here = written["module_calls"][here[1]]["module"], here[2:]
    (mine,) = (r for r in written["resources"] if r["address"] == ".".join(here))
    reference = mine["expressions"][argument]["references"][-1]
    found = topology.one(entity.address.rpartition(entity.kind)[0] + reference)
    return str(found[THINGS[found.kind][1]])


def doors(topology: Topology) -> Iterator[tuple[str, str]]:
    """Every grant's address and member."""
    for e in topology.entities:
        for member in [e.values.get("member"), *(e.values.get("members") or [])]:
            if member is not None:
                yield e.address, str(member)
