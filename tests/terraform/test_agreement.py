"""Terraform and the code speak of the same functions, topics, buckets, schemas and indexes."""

import hashlib
import json
import shutil
from dataclasses import replace
from typing import Any

import pytest

from deploy import archive, entry_points
from local.ticks import TOPIC as TICKS
from shared.adapters.gcp import bigquery_measurements as measurements
from shared.adapters.gcp import firestore_rows as rows
from shared.domain.recording import Topic
from tests.contracts.firestore_indexes import FILE, listed
from tests.terraform.topologies import GIVEN, Entity, Topology, Workshop

#: Topics that no adapter publishes to, and who does.
BY_OTHERS = {
    TICKS: "Cloud Scheduler",
    "upload-arrivals": "Cloud Storage, for `reconcile`",
    "undelivered": "Pub/Sub, what it could not deliver",
    "secret-rotation": "Secret Manager",
}
#: Buckets that no setting names, and who writes them.
BUCKETS_OF_OTHERS = {"functions", "weights"}
COLLECTIONS = {
    *(rows.RECORDINGS, rows.JOBS, rows.TENANTS, rows.OUTBOX, rows.PASSAGES, rows.API_KEYS),
    *(rows.BOOKMARKS, rows.HISTORY, rows.SEGMENTS, rows.CALLS, rows.DAYS, rows.SLICES),
    *(rows.CORRECTIONS, rows.ACTIONS, rows.UNSEALED),
    *(rows.ERASURES, rows.TOMBSTONES, rows.TENANT_KEYS),
    *(rows.WEBHOOKS, rows.DELIVERIES),
}
#: Searched by likeness, always within one tenant (DESIGN section 5).
VECTORS = "vectors"


def stacks(topology: Topology) -> list[str]:
    return sorted({e.stack for e in topology.entities} - {""})


def of(topology: Topology, stack: str, kind: str) -> list[Entity]:
    return [e for e in topology.all(kind) if e.stack == stack]


def nouns(topology: Topology, stack: str, kind: str) -> set[str]:
    """Names without project and prefix."""
    prefix = "ew-" if stack == "home" else f"ew-{stack}-"
    found = (str(e["name"]) for e in of(topology, stack, kind))
    return {name.removeprefix(f"{GIVEN['project']}-").removeprefix(prefix) for name in found}


# --- functions ------------------------------------------------------------------------------------


def triggers(topology: Topology, stack: str) -> dict[str, dict[str, str]]:
    """Entry point -> trigger, in the words of functions.json."""
    functions = of(topology, stack, "google_cloudfunctions2_function")
    prefix = "ew-" if stack == "home" else f"ew-{stack}-"
    return {
        e["build_config"]["entry_point"]: _trigger(e["event_trigger"], prefix) for e in functions
    }


def _trigger(block: dict[str, Any], prefix: str) -> dict[str, str]:
    found = {"event_type": block["event_type"]}
    if block["pubsub_topic"]:
        found["topic"] = block["pubsub_topic"].rpartition("/")[2].removeprefix(prefix)
    for one in block["event_filters"]:
        own = f"{GIVEN['project']}-{prefix}"
        found[one["attribute"]] = one["value"].removeprefix(own)
    return found


def test_the_functions_are_those_that_are_listed_and_written(every):
    known = entry_points.listed(entry_points.ROOT)
    wanted = {name: one["trigger"] for name, one in known.items()}

    assert wanted.keys() == entry_points.written(entry_points.ROOT).keys()
    for stack in stacks(every):
        assert triggers(every, stack) == wanted


def test_the_archive_is_named_by_what_is_in_it(topology, workshop):
    content = (workshop.folder.parent / archive.TARGET).read_bytes()
    digest = hashlib.sha256(content).hexdigest()

    [source] = topology("first apply").all("google_storage_bucket_object")
    built = topology("first apply").all("google_cloudfunctions2_function")

    assert source["name"] == f"functions-{digest}.zip"
    assert {e["build_config"]["source"][0]["storage_source"][0]["object"] for e in built} == {
        source["name"]
    }


def test_a_function_without_its_terraform_is_refused(workshop, tmp_path):
    other = elsewhere(workshop, tmp_path)
    known = entry_points.listed(entry_points.ROOT)
    known["louder"] = known["reconcile"]
    (tmp_path / entry_points.LIST).write_text(json.dumps(known))

    with pytest.raises(AssertionError, match="louder"):
        other.topology("first apply", {})


def elsewhere(workshop: Workshop, folder: Any) -> Workshop:
    """A copy whose functions.json may be changed."""
    shutil.copytree(workshop.folder, folder / "terraform")
    shutil.copytree(workshop.folder.parent / "dist", folder / "dist")
    (folder / "shared").symlink_to(workshop.folder.parent / "shared")
    (folder / "functions").mkdir()
    return replace(workshop, folder=folder / "terraform")


def test_each_function_that_listens_to_ticks_has_its_clock(every):
    for stack in stacks(every):
        ticked = {
            n for n, trigger in triggers(every, stack).items() if trigger.get("topic") == TICKS
        }
        jobs = of(every, stack, "google_cloud_scheduler_job")

        assert {
            n.replace("-", "_") for n in nouns(every, stack, "google_cloud_scheduler_job")
        } == ticked
        assert {str(j["pubsub_target"]["topic_name"]).endswith(TICKS) for j in jobs} == {True}


# --- topics and buckets ---------------------------------------------------------------------------


def test_the_topics_are_those_of_the_code(every):
    for stack in stacks(every):
        found = nouns(every, stack, "google_pubsub_topic")

        assert found == {*Topic, *BY_OTHERS}


def test_the_buckets_are_those_of_the_settings(every):
    for stack in stacks(every):
        found = nouns(every, stack, "google_storage_bucket")

        assert found == {"uploads", "results", "archive", "temp", "audit", *BUCKETS_OF_OTHERS}


def test_the_second_notification_tells_reconcile_of_every_upload(every):
    for stack in stacks(every):
        [told] = of(every, stack, "google_storage_notification")
        [heard] = [
            s
            for s in of(every, stack, "google_pubsub_subscription")
            if str(s["name"]).endswith("upload-arrivals")
        ]

        assert str(told["bucket"]).endswith("-uploads")
        assert told["event_types"] == "OBJECT_FINALIZE"
        assert told["payload_format"] == "JSON_API_V1"
        assert told["topic"] == heard["topic"]


# --- measurements ---------------------------------------------------------------------------------


def tables(topology: Topology, stack: str) -> dict[str, Entity]:
    return {str(e["table_id"]): e for e in of(topology, stack, "google_bigquery_table")}


def test_table_and_view_are_those_of_the_code(every):
    for stack in stacks(every):
        found = tables(every, stack)
        table = found[measurements.TABLE]
        full = f"{table['project']}.{table['dataset_id']}.{table['table_id']}"

        assert found.keys() == {measurements.TABLE, measurements.VIEW}
        assert json.loads(str(table["schema"])) == measurements.columns()
        assert found[measurements.VIEW]["view"]["query"] == measurements.view(full)


def test_the_table_is_parted_by_day_and_sorted_by_columns_it_has(every):
    columns = {column["name"]: column["type"] for column in measurements.columns()}
    for stack in stacks(every):
        table = tables(every, stack)[measurements.TABLE]
        parts = table["time_partitioning"]

        assert columns[parts["field"]] == "TIMESTAMP"
        assert parts["expiration_ms"] > 0
        assert set(table.values["clustering"]) <= columns.keys()


def test_rows_of_the_topic_go_into_that_table(every):
    for stack in stacks(every):
        table = tables(every, stack)[measurements.TABLE]
        full = f"{table['project']}.{table['dataset_id']}.{table['table_id']}"
        subscriptions = of(every, stack, "google_pubsub_subscription")
        [rows_of] = [s for s in subscriptions if s.values["bigquery_config"]]

        assert str(rows_of["topic"]).endswith(Topic.METRICS)
        assert rows_of["bigquery_config"]["table"] == full
        assert rows_of["bigquery_config"]["use_table_schema"] is True


# --- Firestore ------------------------------------------------------------------------------------


def indexes(topology: Topology, stack: str) -> list[Entity]:
    return of(topology, stack, "google_firestore_index")


def as_listed(entity: Entity) -> Any:
    fields = [(f["field_path"], f["order"] or f["array_config"]) for f in entity.values["fields"]]
    return str(entity["query_scope"]), str(entity["collection"]), tuple(fields)


def test_the_indexes_are_those_the_queries_need(every):
    """firestore_indexes.json is what the emulator reports (tests/contracts)."""
    for stack in stacks(every):
        ordinary = [e for e in indexes(every, stack) if e["collection"] != VECTORS]

        assert {as_listed(e) for e in ordinary} == listed()
        assert len(ordinary) == len(listed())


def test_vectors_are_searched_within_one_tenant(every):
    for stack in stacks(every):
        [one] = [e for e in indexes(every, stack) if e["collection"] == VECTORS]
        tenant, name, vector = one.values["fields"]

        assert (tenant["field_path"], tenant["order"]) == ("tenant", "ASCENDING")
        assert name["field_path"] == "__name__"
        assert vector["vector_config"][0]["dimension"] <= 2048


def test_fields_are_exempt_and_expire_as_the_code_says(every):
    wanted = {
        (one["collectionGroup"], one["fieldPath"], one.get("ttl", False))
        for one in json.loads(FILE.read_text())["fieldOverrides"]
    }
    for stack in stacks(every):
        fields = of(every, stack, "google_firestore_field")
        found = {(e["collection"], e["field"], bool(e.values["ttl_config"])) for e in fields}

        assert found == wanted
        assert all(e["index_config"]["indexes"] == [] for e in fields)


def test_no_index_is_of_a_collection_that_nobody_writes(every):
    named = {
        str(e["collection"]) for e in every.all("google_firestore_index", "google_firestore_field")
    }

    assert named <= COLLECTIONS | {VECTORS}


# --- regions --------------------------------------------------------------------------------------


def test_everything_of_a_stack_lies_in_its_region(topology):
    both = topology("two regions")
    where = {"home": GIVEN["region"], "us": "us-east4"}

    for stack, region in where.items():
        said = {
            str(e.values[key])
            for e in both.entities
            for key in ("location", "region", "location_id")
            if e.stack == stack and e.values.get(key)
        }

        assert said == {region}


def test_no_value_of_a_secret_lies_in_the_state(every):
    assert every.all("google_secret_manager_secret_version") == []
    assert every.all("google_service_account_key") == []
