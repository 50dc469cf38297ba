"""The buckets: there, closed to strangers, and heard when something arrives."""

from collections.abc import Iterator

from local.cloud_checkup.deployment import Deployment
from local.cloud_checkup.findings import Finding, verdict
from local.cloud_checkup.rest import Answer

FINALIZED = "OBJECT_FINALIZE"
#: terraform/stack/storage.tf and weights.tf.
NOUNS = ("uploads", "results", "archive", "audit", "temp", "functions", "weights")


def buckets(d: Deployment) -> list[Finding]:
    names = [d.bucket_name(noun) for noun in NOUNS]
    said = [f for name in names for f in bucket_faults(name, d.bucket(name))]
    audit = d.bucket_name("audit")
    said += keeping_faults(audit, d.bucket(audit))
    return verdict("buckets", said, f"{len(names)} are there, closed to strangers; seals are kept")


def keeping_faults(name: str, bucket: Answer | None) -> Iterator[str]:
    """Source: Cloud Storage JSON API, Buckets, `retentionPolicy`; a lock is its owner's choice."""
    if bucket is not None and not bucket.get("retentionPolicy", {}).get("retentionPeriod"):
        yield f"{name} has no retention: a seal could be deleted (`audit`, delete_protection)"


def bucket_faults(name: str, bucket: Answer | None) -> Iterator[str]:
    """Source: Cloud Storage JSON API, Buckets."""
    if bucket is None:
        yield f"the bucket {name} is missing; `terraform apply` makes it"
        return
    access = bucket.get("iamConfiguration", {})
    if not access.get("uniformBucketLevelAccess", {}).get("enabled"):
        yield f"{name} has no uniform access: an object could be opened by its own list"
    if access.get("publicAccessPrevention") != "enforced":
        yield f"{name} could be opened to everybody: public access prevention is not enforced"


def notifications(d: Deployment) -> list[Finding]:
    """What `reconcile` pulls is what the bucket told a topic."""
    name = d.settings.arrivals_subscription
    pulled = d.google.get("pubsub", f"v1/{d.project}/subscriptions/{name}") or {}
    path = f"storage/v1/b/{d.settings.uploads_bucket}/notificationConfigs"
    told = (d.google.get("storage", path) or {}).get("items", [])
    said = [] if _tells(told, pulled.get("topic")) else [f"no arrival reaches {name}"]
    return verdict("arrivals", said, f"the uploads bucket tells {name}")


def _tells(told: list[Answer], topic: str | None) -> bool:
    """Source: Cloud Storage JSON API, Notifications; no event types means all of them."""
    return topic is not None and any(
        str(one["topic"]).endswith(f"/{topic}")
        and FINALIZED in one.get("event_types", [FINALIZED])
        and one.get("payload_format") == "JSON_API_V1"
        for one in told
    )
