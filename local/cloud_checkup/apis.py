"""APIs that must be switched on."""

from collections.abc import Iterable

from local.cloud_checkup.deployment import Deployment
from local.cloud_checkup.findings import Finding, verdict
from local.cloud_checkup.rest import Answer, listed

#: What is made, runs and tells, without `.googleapis.com`: the part of terraform/apis.tf that no
#: option turns off.
NEEDED = (
    "artifactregistry",
    "bigquery",
    "cloudbuild",
    "cloudfunctions",
    "cloudkms",
    "cloudquotas",
    "cloudresourcemanager",
    "cloudscheduler",
    "cloudtrace",
    "eventarc",
    "firestore",
    "iam",
    "iamcredentials",
    "iap",
    "logging",
    "monitoring",
    "pubsub",
    "run",
    "secretmanager",
    "storage",
    "telemetry",
)


def missing(enabled: Iterable[Answer]) -> list[str]:
    """The APIs that are off. Source: Service Usage, `services.list`."""
    on = {str(service["name"]).rpartition("/")[2] for service in enabled}
    return [f"{api}.googleapis.com" for api in NEEDED if f"{api}.googleapis.com" not in on]


def apis(d: Deployment) -> list[Finding]:
    path = f"v1/{d.project}/services"
    wanted = {"filter": "state:ENABLED", "pageSize": "200"}
    off = missing(listed(d.google, "serviceusage", path, "services", **wanted))
    said = [f"{api} is off; `terraform apply` switches it on" for api in off]
    return verdict("apis", said, f"{len(NEEDED)} are on")
