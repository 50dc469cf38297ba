"""Who builds and who applies: what terraform/build.tf lets each of them do."""

from collections.abc import Iterator

from local.cloud_checkup.deployment import Deployment
from local.cloud_checkup.expected import Grant, On
from local.cloud_checkup.findings import Finding, verdict
from local.cloud_checkup.grants import Opened, faults, policy_of_project
from local.cloud_checkup.rest import Answer

#: Of each: its roles on the whole project.
ON_PROJECT = {
    "build": (
        "roles/browser",
        "roles/logging.logWriter",
        "roles/ondemandscanning.admin",
        "roles/serviceusage.serviceUsageConsumer",
    ),
    "check": ("roles/logging.logWriter",),
    "apply": (
        "roles/artifactregistry.admin",
        "roles/bigquery.dataOwner",
        "roles/browser",
        "roles/cloudbuild.builds.editor",
        "roles/cloudbuild.connectionAdmin",
        "roles/cloudfunctions.admin",
        "roles/cloudkms.admin",
        "roles/cloudscheduler.admin",
        "roles/compute.loadBalancerAdmin",
        "roles/compute.networkAdmin",
        "roles/compute.securityAdmin",
        "roles/datastore.owner",
        "roles/dns.admin",
        "roles/eventarc.admin",
        "roles/iam.serviceAccountAdmin",
        "roles/iam.serviceAccountUser",
        "roles/iap.admin",
        "roles/logging.logWriter",
        "roles/monitoring.alertPolicyEditor",
        "roles/monitoring.notificationChannelEditor",
        "roles/pubsub.admin",
        "roles/run.admin",
        "roles/secretmanager.admin",
        "roles/serviceusage.serviceUsageAdmin",
        "roles/storage.admin",
    ),
}
KEEPS = ("roles/storage.objectCreator", "roles/storage.objectViewer")
#: It may give roles to others, and only those that a condition names.
GIVES, LIMIT = "roles/resourcemanager.projectIamAdmin", "modifiedGrantsByRole"


def wanted(noun: str) -> Iterator[Grant]:
    for role in ON_PROJECT[noun]:
        yield Grant(noun, role, On.PROJECT)
    if noun == "build":
        for bucket in ("artefacts", "weights"):
            yield from (Grant(noun, role, On.BUCKET, bucket) for role in KEEPS)
        yield Grant(noun, "roles/pubsub.publisher", On.TOPIC, "plans")


def builders(d: Deployment) -> list[Finding]:
    """`check` and `apply` are there where a repository is built from (`repository`)."""
    home, project = d.home(), policy_of_project(d)
    nouns = [noun for noun in ON_PROJECT if account(home, noun) is not None]
    gone = f"{home.named('build')} is missing; `terraform apply` makes it"
    said = [] if "build" in nouns else [gone]
    for noun in nouns:
        said += faults(home, list(wanted(noun)), project, d.number())
    if "apply" in nouns:
        said += giving_faults(home, project)
    return verdict("builders", said, ", ".join(home.named(noun) for noun in nouns))


def account(d: Deployment, noun: str) -> Answer | None:
    """Source: IAM REST, projects.serviceAccounts."""
    return d.google.get("iam", f"v1/{d.project}/serviceAccounts/{d.identity(noun)}")


def giving_faults(d: Deployment, project: Opened) -> list[str]:
    """Without its condition `apply` could make anybody an owner."""
    name, member = d.named("apply"), f"serviceAccount:{d.identity('apply')}"
    held = [b for b in project.bindings if b["role"] == GIVES and member in b.get("members", ())]
    if not held:
        return [f"{name} may give no role: it could apply nothing that has an identity"]
    limits = [LIMIT in b.get("condition", {}).get("expression", "") for b in held]
    return [] if all(limits) else [f"{name} may give any role to anybody, itself included"]
