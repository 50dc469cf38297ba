"""Who builds and who applies: what the triggers run, and whether `apply` has the roles it needs."""

import json
import re
from collections.abc import Mapping

import pytest
import yaml

from deploy.entry_points import ROOT
from tests.terraform.topologies import PROJECT

#: Kind of resource -> the smallest predefined role that makes, changes, reads and removes it.
#: Source: the roles' permissions in Google's "IAM roles and permissions index", by hand.
APPLIED_WITH: Mapping[str, str] = {
    "google_artifact_registry_repository": "roles/artifactregistry.admin",
    "google_artifact_registry_repository_iam_member": "roles/artifactregistry.admin",
    "google_bigquery_dataset": "roles/bigquery.dataOwner",
    "google_bigquery_table": "roles/bigquery.dataOwner",
    "google_bigquery_table_iam_member": "roles/bigquery.dataOwner",
    "google_cloud_run_v2_service": "roles/run.admin",
    "google_cloud_run_v2_service_iam_member": "roles/run.admin",
    "google_cloud_scheduler_job": "roles/cloudscheduler.admin",
    "google_cloudbuild_trigger": "roles/cloudbuild.builds.editor",
    "google_cloudbuildv2_repository": "roles/cloudbuild.connectionAdmin",
    "google_cloudfunctions2_function": "roles/cloudfunctions.admin",
    "google_compute_address": "roles/compute.networkAdmin",
    "google_compute_backend_service": "roles/compute.loadBalancerAdmin",
    "google_compute_firewall": "roles/compute.securityAdmin",
    "google_compute_global_address": "roles/compute.networkAdmin",
    "google_compute_global_forwarding_rule": "roles/compute.loadBalancerAdmin",
    "google_compute_managed_ssl_certificate": "roles/compute.loadBalancerAdmin",
    "google_compute_network": "roles/compute.networkAdmin",
    "google_compute_region_network_endpoint_group": "roles/compute.loadBalancerAdmin",
    "google_compute_route": "roles/compute.networkAdmin",
    "google_compute_router": "roles/compute.networkAdmin",
    "google_compute_router_nat": "roles/compute.networkAdmin",
    "google_compute_security_policy": "roles/compute.securityAdmin",
    "google_compute_ssl_policy": "roles/compute.loadBalancerAdmin",
    "google_compute_subnetwork": "roles/compute.networkAdmin",
    "google_compute_target_http_proxy": "roles/compute.loadBalancerAdmin",
    "google_compute_target_https_proxy": "roles/compute.loadBalancerAdmin",
    "google_compute_url_map": "roles/compute.loadBalancerAdmin",
    "google_dns_managed_zone": "roles/dns.admin",
    "google_dns_record_set": "roles/dns.admin",
    "google_eventarc_google_channel_config": "roles/eventarc.admin",
    "google_firestore_database": "roles/datastore.owner",
    "google_firestore_field": "roles/datastore.owner",
    "google_firestore_index": "roles/datastore.owner",
    "google_iap_web_cloud_run_service_iam_member": "roles/iap.admin",
    "google_kms_crypto_key": "roles/cloudkms.admin",
    "google_kms_crypto_key_iam_member": "roles/cloudkms.admin",
    "google_kms_key_ring": "roles/cloudkms.admin",
    "google_monitoring_alert_policy": "roles/monitoring.alertPolicyEditor",
    "google_monitoring_notification_channel": "roles/monitoring.notificationChannelEditor",
    "google_project_iam_audit_config": "roles/resourcemanager.projectIamAdmin",
    "google_project_iam_member": "roles/resourcemanager.projectIamAdmin",
    "google_project_service": "roles/serviceusage.serviceUsageAdmin",
    "google_pubsub_subscription": "roles/pubsub.admin",
    "google_pubsub_subscription_iam_member": "roles/pubsub.admin",
    "google_pubsub_topic": "roles/pubsub.admin",
    "google_pubsub_topic_iam_member": "roles/pubsub.admin",
    "google_secret_manager_secret": "roles/secretmanager.admin",
    "google_secret_manager_secret_iam_member": "roles/secretmanager.admin",
    "google_service_account": "roles/iam.serviceAccountAdmin",
    "google_service_account_iam_member": "roles/iam.serviceAccountAdmin",
    "google_storage_bucket": "roles/storage.admin",
    "google_storage_bucket_iam_member": "roles/storage.admin",
    "google_storage_bucket_object": "roles/storage.admin",
    "google_storage_managed_folder": "roles/storage.admin",
    "google_storage_managed_folder_iam_member": "roles/storage.admin",
    "google_storage_notification": "roles/storage.admin",
    "google_workload_identity_service_agent": "roles/serviceusage.serviceUsageAdmin",
}
#: Not the project's: its roles are the billing account's, and a person gives them (docs/build.md).
ELSEWHERE = {"google_billing_budget"}
#: What applying needs beside the resources.
BESIDE = {
    "roles/browser",  # data.google_project
    "roles/iam.serviceAccountUser",  # a workload is given its identity
    "roles/logging.logWriter",  # the build's own log
}
#: Kinds that nothing but builds has; who has no repository has none of them.
IDENTITIES = ("apply", "build", "check")


def member(name):
    return f"serviceAccount:ew-{name}@{PROJECT}.iam.gserviceaccount.com"


def given(topology, name):
    """Roles of an identity on the whole project."""
    grants = topology.all("google_project_iam_member")
    return {e["role"] for e in grants if e["member"] == member(name)}


@pytest.fixture
def everything(topology):
    return topology("everything")


def test_apply_has_the_roles_that_its_resources_need_and_no_others(everything):
    kinds = {e.kind for e in everything.entities} - ELSEWHERE
    # A connection is not in that variant.
    kinds |= {"google_cloudbuildv2_repository"}

    assert kinds - APPLIED_WITH.keys() == set()
    assert given(everything, "apply") == {APPLIED_WITH[kind] for kind in kinds} | BESIDE


def test_apply_may_give_others_exactly_the_roles_that_workloads_have(everything):
    grants = everything.all("google_project_iam_member")
    (limited,) = (e for e in grants if e["role"] == "roles/resourcemanager.projectIamAdmin")
    told = set(re.findall(r"'(roles/[\w.]+)'", limited["condition"]["expression"]))
    builders = {member(name) for name in IDENTITIES}
    people = {e["member"] for e in grants if "approver" in e.address}
    others = {e["role"] for e in grants if e["member"] not in builders | people}
    # Roles of Google's own agents: a person gives them, once (terraform/agents.tf).
    workloads = {role for role in others if not role.endswith(".serviceAgent")}

    assert told == workloads
    assert len(told) <= 10  # in one hasOnly


def test_apply_cannot_make_itself_more_than_it_is(everything):
    grants = everything.all("google_project_iam_member")
    (limited,) = (e for e in grants if e["role"] == "roles/resourcemanager.projectIamAdmin")

    for role in given(everything, "apply") - {"roles/logging.logWriter"}:
        assert f"'{role}'" not in limited["condition"]["expression"]


def test_a_plan_asks_google_for_what_build_may_read(everything):
    """`-refresh=false` leaves resources alone; data sources are read all the same."""
    root = json.loads(everything.plan.read_text())["configuration"]["root_module"]
    asked = {r["type"] for r in root["resources"] if r["mode"] == "data"}
    inside = json.dumps(root["module_calls"])

    assert asked == {
        "google_bigquery_default_service_account",
        "google_project",
        "google_storage_project_service_account",
    }
    assert '"mode": "data"' not in inside


def test_whoever_proposes_a_change_can_write_a_log_and_nothing_else(everything):
    grants = [e for e in everything.entities if "role" in e.values]

    assert [e["role"] for e in grants if e.values.get("member") == member("check")] == [
        "roles/logging.logWriter"
    ]


def triggers(topology):
    return {
        e.address.split(".")[1].split("[")[0]: e for e in topology.all("google_cloudbuild_trigger")
    }


def test_only_apply_waits_for_an_approval_and_only_its_identity_changes_anything(everything):
    found = triggers(everything)

    assert found.keys() == set(IDENTITIES)
    assert found["apply"]["approval_config"]["approval_required"] is True
    assert [n for n in found if found[n].values["approval_config"]] == ["apply"]


def test_each_trigger_runs_as_its_own_identity(everything):
    """Read from the configuration: what the stand-in makes up for an id tells nothing."""
    resources = json.loads(everything.plan.read_text())["configuration"]["root_module"]["resources"]
    runs_as = {
        r["name"]: r["expressions"]["service_account"]["references"]
        for r in resources
        if r["type"] == "google_cloudbuild_trigger"
    }

    assert runs_as.keys() == set(IDENTITIES)
    for name, references in runs_as.items():
        assert all(
            ref.startswith(("google_service_account." + name, "each.key")) for ref in references
        )


def file(trigger):
    return trigger.values["filename"] or trigger["git_file_source"]["path"]


def test_triggers_name_files_and_fill_in_what_those_declare(everything):
    for name, trigger in triggers(everything).items():
        declared = yaml.safe_load((ROOT / file(trigger)).read_text())["substitutions"]
        filled = trigger.values["substitutions"] or {}

        assert filled.keys() <= declared.keys(), name
        empty = {key for key, value in declared.items() if value == ""}
        assert empty <= filled.keys(), f"{name}: nobody says {empty - filled.keys()}"


def test_a_build_by_hand_is_told_all_that_a_triggered_one_is(everything):
    root = json.loads(everything.plan.read_text())["configuration"]["root_module"]
    told = root["outputs"]["build"]["expression"]["references"]
    (trigger,) = (r for r in root["resources"] if r["address"] == "google_cloudbuild_trigger.build")

    assert trigger["expressions"]["substitutions"]["references"] == ["local.substitutions"]
    assert {"local.substitutions", "google_service_account.build.id"} <= set(told)


def test_a_change_is_looked_at_where_it_is_proposed_and_built_where_it_is_pushed(everything):
    found = triggers(everything)

    assert found["check"]["github"]["pull_request"][0]["comment_control"].endswith(
        "CONTRIBUTORS_ONLY"
    )
    assert found["build"]["github"]["push"][0]["branch"] == "^main$"
    assert found["apply"]["pubsub_config"]["topic"].endswith("/ew-plans")


def test_a_connected_repository_is_reached_by_its_connection(workshop):
    connection = "projects/p/locations/europe-west4/connections/github"
    repository = {"owner": "o", "name": "n", "connection": connection, "branch": "release"}
    linked = workshop.topology("linked", {"repository": repository, "state_bucket": "state"})

    found = triggers(linked)
    (sources,) = linked.all("google_cloudbuildv2_repository")

    assert sources["remote_uri"] == "https://github.com/o/n.git"
    assert found["build"]["repository_event_config"]["push"][0]["branch"] == "^release$"
    assert found["apply"]["source_to_build"]["ref"] == "refs/heads/release"
    assert all(not trigger.values["github"] for trigger in found.values())


def test_without_a_repository_nobody_may_apply_and_images_can_still_be_built(topology):
    first = topology("first apply")

    assert first.all("google_cloudbuild_trigger") == []
    assert given(first, "apply") == set()
    assert "roles/ondemandscanning.admin" in given(first, "build")


def test_a_repository_without_a_state_is_refused_in_a_sentence(workshop):
    given = workshop.folder / "stateless.tfvars.json"
    given.write_text(
        json.dumps(
            {
                "project": PROJECT,
                "region": "europe-west4",
                "viewers": ["group:a@example.com"],
                "repository": {"owner": "o", "name": "n"},
            }
        )
    )

    with pytest.raises(AssertionError, match="needs state_bucket"):
        workshop.run("plan", "-no-color", f"-var-file={given}")


def test_kept_plans_cannot_be_replaced_or_deleted(everything):
    (bucket,) = (
        e for e in everything.all("google_storage_bucket") if e["name"].endswith("-artefacts")
    )
    may = {
        e["role"]
        for e in everything.all("google_storage_bucket_iam_member")
        if e["bucket"] == bucket["name"]
    }

    assert int(bucket["retention_policy"]["retention_period"]) >= 30 * 86400
    assert may == {"roles/storage.objectCreator", "roles/storage.objectViewer"}
