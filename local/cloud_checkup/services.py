"""What runs: the functions, the GPU service, the gateway; and whether the GPUs may be had."""

import json
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files

from local.cloud_checkup.deployment import Deployment
from local.cloud_checkup.findings import Finding, fine, verdict
from local.cloud_checkup.rest import Answer, listed
from local.ticks import TOPIC as TICKS

INTERNAL = "INGRESS_TRAFFIC_INTERNAL_ONLY"
ENABLED = "ENABLED"
SUCCEEDED, ACTIVE, RETRIES = "CONDITION_SUCCEEDED", "ACTIVE", "RETRY_POLICY_RETRY"
#: Of an accelerator, the middle of its quotas' names. Source: Cloud Run, "Quotas and limits".
QUOTAS = {"nvidia-l4": "NvidiaL4Gpu", "nvidia-rtx-pro-6000": "NvidiaRtxPro6000Gpu"}


def functions(d: Deployment) -> list[Finding]:
    place = f"v2/{d.project}/locations/{d.region()}/functions"
    there = list(listed(d.google, "cloudfunctions", place, "functions"))
    names = json.loads(files("functions").joinpath("functions.json").read_text(encoding="utf-8"))
    said = [fault for name in names for fault in function_faults(d, name, there)]
    return verdict("functions", said, f"{len(names)} are deployed, and retry")


def function_faults(d: Deployment, name: str, there: Iterable[Answer]) -> Iterator[str]:
    """Source: Cloud Functions v2 REST, Function. Ours are those whose names begin as ours do."""
    mine = [
        f
        for f in there
        if f["buildConfig"].get("entryPoint") == name
        and str(f["name"]).rpartition("/")[2].startswith(d.settings.topic_prefix)
    ]
    if not mine:
        yield f"the function {name} is missing; `make archive`, then `terraform apply`"
    for one in mine:
        if one.get("state") != ACTIVE:
            yield f"the function {name} is {one.get('state')}"
        if one.get("eventTrigger", {}).get("retryPolicy") != RETRIES:
            yield f"the function {name} does not retry: an event that fails is lost"


def ticks(d: Deployment) -> list[Finding]:
    place = f"v1/{d.project}/locations/{d.region()}/jobs"
    jobs = listed(d.google, "cloudscheduler", place, "jobs")
    said = tick_faults(d.topic(TICKS), jobs)
    return verdict("ticks", said, "the clock is on")


def tick_faults(topic: str, jobs: Iterable[Answer]) -> list[str]:
    """Source: Cloud Scheduler REST, Job."""
    ours = [j for j in jobs if j.get("pubsubTarget", {}).get("topicName") == topic]
    if not ours:
        return ["nothing ticks: what goes missing is never mended; `terraform apply` makes it"]
    return [f"{_name(j)} is {j.get('state')}" for j in ours if j.get("state") != ENABLED]


def services(d: Deployment) -> list[Finding]:
    hears, opens = d.run_by("service"), d.run_by("gateway")
    said = [*service_faults("service", hears), *service_faults("gateway", opens)]
    said += [f"{_name(s)} can be reached from outside" for s in hears if s["ingress"] != INTERNAL]
    return verdict("services", said, ", ".join(_name(s) for s in (*hears, *opens)))


def service_faults(noun: str, there: Sequence[Answer]) -> Iterator[str]:
    """Source: Cloud Run v2 REST, Service."""
    if not there:
        yield f"the {noun} is missing; it is made once `images` are given (docs/deploy.md)"
    for one in there:
        ready = one.get("terminalCondition", {})
        if ready.get("state") != SUCCEEDED:
            yield f"{_name(one)} is not ready: {ready.get('message') or ready.get('reason')}"
        if one.get("invokerIamDisabled"):
            yield f"{_name(one)} asks nobody who they are"


def quotas(d: Deployment) -> list[Finding]:
    wanted = gpus(d.run_by("service"))
    if not wanted:
        return [fine("quotas", "no service asks for a GPU")]
    said = [fault for quota, n in wanted.items() for fault in quota_faults(d, quota, n)]
    return verdict("quotas", said, ", ".join(f"{n} of {quota}" for quota, n in wanted.items()))


def gpus(there: Iterable[Answer]) -> dict[str, int]:
    """Quota -> the most GPUs that the services may take together."""
    most: dict[str, int] = {}
    for one in there:
        template = one["template"]
        kind = template.get("nodeSelector", {}).get("accelerator")
        if kind is not None:
            spare = "NoZonalRedundancy" if template.get("gpuZonalRedundancyDisabled") else ""
            quota = f"{QUOTAS.get(kind, kind)}Alloc{spare}PerProjectRegion"
            most[quota] = most.get(quota, 0) + _most_instances(one)
    return most


def _most_instances(service: Answer) -> int:
    """A revision may have a limit of its own, below the service's."""
    limits = (service.get("scaling", {}), service["template"].get("scaling", {}))
    found = [int(limit["maxInstanceCount"]) for limit in limits if limit.get("maxInstanceCount")]
    return min(found, default=1)


def quota_faults(d: Deployment, quota: str, wanted: int) -> Iterator[str]:
    place = f"v1/{d.project}/locations/global/services/run.googleapis.com/quotaInfos/{quota}"
    granted = granted_in(d.region(), d.google.get("cloudquotas", place) or {})
    if granted < wanted:
        yield (
            f"{quota} is {granted} in {d.region()} and the services may take {wanted}: ask for"
            " more (docs/operate.md), or lower max_instances"
        )


def granted_in(region: str, quota: Answer) -> int:
    """Source: Cloud Quotas REST, QuotaInfo: a region's own limit goes before that of all."""
    infos = quota.get("dimensionsInfos", [])
    own = [i for i in infos if i.get("dimensions", {}).get("region") == region]
    rest = [i for i in infos if region in i.get("applicableLocations", [])]
    return next((int(i.get("details", {}).get("value", 0)) for i in (*own, *rest)), 0)


def _name(service: Answer) -> str:
    return str(service["name"]).rpartition("/")[2]
