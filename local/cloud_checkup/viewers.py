"""Who may open the page: somebody, and not everybody."""

from collections.abc import Iterator

from local.cloud_checkup.deployment import Deployment
from local.cloud_checkup.findings import Finding, verdict
from local.cloud_checkup.grants import Opened, open_to_all
from local.cloud_checkup.rest import Answer

OPENS = "roles/iap.httpsResourceAccessor"


def viewers(d: Deployment) -> list[Finding]:
    said = [fault for door in d.run_by("gateway") for fault in door_faults(d, door)]
    return verdict("viewers", said, "people sign in, and somebody may open the page")


def door_faults(d: Deployment, door: Answer) -> Iterator[str]:
    """Source: Cloud Run v2 REST, Service; IAP REST, v1.getIamPolicy."""
    name = str(door["name"]).rpartition("/")[2]
    if not door.get("iapEnabled"):
        yield f"{name} asks nobody to sign in: Identity-Aware Proxy is off"
    place = f"v1/projects/{d.number()}/iap_web/cloud_run-{d.region()}/services/{name}"
    found = d.google.post("iap", f"{place}:getIamPolicy", {}) or {}
    opened = Opened(name, tuple(found.get("bindings", ())))
    if not any(b.get("role") == OPENS and b.get("members") for b in opened.bindings):
        yield f"nobody may open the page of {name}: name people in `viewers`, and apply"
    yield from (f"the page of {name} is open to {who}" for who in open_to_all(opened))
