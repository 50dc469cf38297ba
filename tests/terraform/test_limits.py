"""Times and sizes that have to fit into each other do."""

import math
import re

import pytest

from tests.terraform.test_environment import loaded
from tests.terraform.topologies import Topology
from tests.terraform.workloads import workloads

#: pubsub_arrivals.py: `reconcile` looks at a message for as long.
ARRIVAL_S = 60
#: Cloud Functions, "Quotas": an event-driven function is ended after so long.
EVENT_S = 540
#: What a stream may last (DESIGN section 11), as Cloud Run has no more to give.
STREAM_S = 3600


def seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9.]+)s", text)
    return float(found[1]) if found else math.nan


def faults(topology: Topology, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    return [*_acks(topology, monkeypatch), *_services(topology, monkeypatch), *_functions(topology)]


def _acks(topology: Topology, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A push is a request: it must be answered before the deadline, and the service may take it."""
    worked_s = max([0.0, *(s.ticket_s for _, s in _read(topology, monkeypatch))])
    found = []
    for one in topology.all("google_pubsub_subscription"):
        ack_s, name = one["ack_deadline_seconds"], str(one["name"])
        if one.values["push_config"] and not worked_s + 60 <= ack_s <= 600:
            found.append(f"{name}: {ack_s} s for work of {worked_s} s")
        if name.endswith("upload-arrivals") and ack_s != ARRIVAL_S:
            found.append(f"{name}: {ack_s} s")
    return found


def _services(topology: Topology, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found = []
    for work, read in _read(topology, monkeypatch):
        if work.entity.kind != "google_cloud_run_v2_service":
            continue
        template, name = work.entity["template"], str(work.entity["name"])
        if seconds(template["timeout"]) != STREAM_S:
            found.append(f"{name}: ends streams after {template['timeout']}")
        places = read.slots + read.streams if work.noun == "service" else 1
        if template["max_instance_request_concurrency"] < places:
            found.append(f"{name}: fewer requests than places")
    return found


def _functions(topology: Topology) -> list[str]:
    configs = (
        (str(e["name"]), e["service_config"], e["event_trigger"])
        for e in topology.all("google_cloudfunctions2_function")
    )
    return [
        name
        for name, config, trigger in configs
        if not 0 < config["timeout_seconds"] <= EVENT_S
        or trigger["retry_policy"] != "RETRY_POLICY_RETRY"
    ]


def _read(topology, monkeypatch):
    for work in workloads(topology):
        with monkeypatch.context() as own:
            yield work, loaded(work, own)


def test_times_and_places_fit(every, monkeypatch):
    assert faults(every, monkeypatch) == []


HOME = 'module.stack["home"]'
LANE = f'{HOME}.module.lane["low"].google_pubsub_subscription.queue[0]'
SERVICE = f'{HOME}.module.service["one"].google_cloud_run_v2_service.this'
FUNCTION = f'{HOME}.module.function["reconcile"].google_cloudfunctions2_function.function'


@pytest.mark.parametrize(
    ("address", "argument", "part", "value"),
    [
        (LANE, "ack_deadline_seconds", None, 480),
        (f"{HOME}.google_pubsub_subscription.upload_arrivals", "ack_deadline_seconds", None, 10),
        (SERVICE, "template", "timeout", "600s"),
        (SERVICE, "template", "max_instance_request_concurrency", 8),
        (FUNCTION, "service_config", "timeout_seconds", 600),
        (FUNCTION, "event_trigger", "retry_policy", "RETRY_POLICY_DO_NOT_RETRY"),
    ],
    ids=["ticket", "arrival", "stream", "places", "function", "retry"],
)
def test_what_does_not_fit_is_noticed(topology, monkeypatch, address, argument, part, value):
    was = topology("images").one(address).values[argument]
    changed = [{**was[0], part: value}] if part else value

    found = faults(topology("images").with_change(address, **{argument: changed}), monkeypatch)

    assert len(found) == 1
