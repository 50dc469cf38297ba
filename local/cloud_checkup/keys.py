"""With `cmek`: the key that everything is encrypted with, and Google's agents that use it."""

from collections.abc import Iterable, Iterator

from local.cloud_checkup.buckets import NOUNS
from local.cloud_checkup.deployment import Deployment, StackNotFound
from local.cloud_checkup.findings import Finding, fine, verdict
from local.cloud_checkup.grants import Opened
from local.cloud_checkup.rest import Answer

ENCRYPTS = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
ENABLED = "ENABLED"
#: Whoever keeps something of ours, by the domain of its address (terraform/stack/keys.tf).
AGENTS = (
    "bigquery-encryption",
    "gcf-admin-robot",
    "gcp-sa-artifactregistry",
    "gcp-sa-eventarc",
    "gcp-sa-firestore",
    "gcp-sa-pubsub",
    "gcp-sa-secretmanager",
    "gs-project-accounts",
    "serverless-robot-prod",
)
#: BigQuery's agent alone is not called service-NUMBER.
FIRST = {"bigquery-encryption": "bq"}


def keys(d: Deployment) -> list[Finding]:
    """Whether there is a key of one's own is told by the uploads bucket.

    Raises:
        StackNotFound: there is no such bucket.
    """
    uploads = d.bucket(d.settings.uploads_bucket)
    if uploads is None:
        raise StackNotFound
    name = key_of(uploads)
    if name is None:
        return [fine("keys", "Google's own: `cmek` is off")]
    said = [*key_faults(name, d.google.get("cloudkms", f"v1/{name}")), *agent_faults(d, name)]
    others = {noun: d.bucket(d.bucket_name(noun)) for noun in NOUNS}
    said += bucket_faults(name, {d.bucket_name(n): b for n, b in others.items() if b}.items())
    return verdict("keys", said, f"{_last(name)} is renewed, and {len(AGENTS)} agents may use it")


def key_of(bucket: Answer) -> str | None:
    """Source: Cloud Storage JSON API, Buckets."""
    found = bucket.get("encryption", {}).get("defaultKmsKeyName")
    return str(found) if found else None


def key_faults(name: str, key: Answer | None) -> Iterator[str]:
    """Source: Cloud KMS REST, CryptoKey."""
    if key is None:
        yield f"the key {_last(name)} is missing: what it encrypted cannot be read"
        return
    if key.get("primary", {}).get("state") != ENABLED:
        yield f"the key {_last(name)} is not enabled: nothing can be written"
    if "rotationPeriod" not in key:
        yield f"the key {_last(name)} is never renewed: it has no rotation"


def agent_faults(d: Deployment, name: str) -> list[str]:
    found = d.google.get("cloudkms", f"v1/{name}:getIamPolicy") or {}
    opened, number = Opened(name, tuple(found.get("bindings", ()))), d.number()
    agents = [
        f"{FIRST.get(domain, 'service')}-{number}@{domain}.iam.gserviceaccount.com"
        for domain in AGENTS
    ]
    return [
        f"{agent} has no {ENCRYPTS} on {_last(name)}"
        for agent in agents
        if not opened.to(f"serviceAccount:{agent}", ENCRYPTS)
    ]


def bucket_faults(name: str, buckets: Iterable[tuple[str, Answer]]) -> list[str]:
    return [
        f"{bucket} is not encrypted with {_last(name)}"
        for bucket, found in buckets
        if key_of(found) != name
    ]


def _last(name: str) -> str:
    return name.rpartition("/")[2]
