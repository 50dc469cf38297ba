# ruff: noqa: F811  # fixtures are imported by name
"""`/metrics` through a running service: what happened stands in it, nothing of a user does."""

import logging
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gpu_service.measuring.drift import DriftMeter
from gpu_service.measuring.gpus import Gpus
from gpu_service.metrics import Metrics
from shared.domain.answers import Answer, Task
from shared.domain.cascade import Decided, Decision, Verdict
from shared.domain.confidence import Calibrations
from shared.domain.drift import LEAST
from shared.errors import EngineDied, InvalidRequest
from shared.exchanges import Exchange
from shared.logs import say
from tests.calibration.files import fitted
from tests.flows.ears import SmallEars
from tests.gpu_service.test_drift import heard as calibrated
from tests.gpu_service.test_tickets import drop, ring, service, settings  # noqa: F401
from tests.sounds import speech

TABLE = Path("docs/metrics.md")
ELSEWHERE = ("earwitness_gpu_", "earwitness_gateway_")


def parsed(text):
    """Sample name and labels -> value."""
    return {
        (s.name, *sorted(s.labels.items())): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


async def scraped(service, path="/metrics"):
    answer = await service.get(path)
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain")
    return parsed(answer.text)


async def test_what_became_of_a_ticket_can_be_read_off(service):
    sound = speech("Good morning to you.")
    drop(service.house, sound)
    await ring(service)
    drop(service.house, sound, name="uploads/demo/again.wav")
    await ring(service)

    told = await scraped(service)

    echo = (("engine", "echo"), ("task", "transcribe"))
    assert told["earwitness_pushes_total", ("outcome", "done")] == 2
    assert told["earwitness_decisions_total", *echo, ("verdict", "accept")] == 1
    assert told["earwitness_engine_seconds_count", *echo] == 1
    assert told["earwitness_events_total", ("event", "reused")] == 1
    assert told["earwitness_batches_total", ("engine", "echo")] == 1
    assert told["earwitness_http_requests_total", ("route", "tickets"), ("status", "2xx")] == 2
    assert told["earwitness_http_received_bytes_total", ("route", "tickets")] > 100
    assert told["earwitness_engine_state", ("engine", "echo"), ("state", "ready")] == 1
    assert told["earwitness_breaker_position", ("engine", "echo"), ("position", "closed")] == 1
    assert told["earwitness_slots",] == 2 and told["earwitness_slots_taken",] == 0
    assert told["process_resident_memory_bytes",] > 1e7


async def test_one_engine_can_be_asked_for_alone(service):
    told = await scraped(service, "/metrics/echo")

    assert told and all(("engine", "echo") in key for key in told)
    unknown = await service.get("/metrics/oracle")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")


def every_kind_of_thing(metrics):
    """Something in each family that is counted where it happens."""
    told = metrics.instruments
    for confidence in (0.95, None):
        answer = Answer("qwen", Task.DESCRIBE, confidence=confidence, calibrated=True, seconds=0.3)
        step = Decision(0, Task.DESCRIBE, "openai", Verdict.ESCALATE, "x", 0.3, True, 0.002)
        told.decided([Decided(0, answer, (step,))])
    told.exchanged(Exchange("/v1/analyses", 429, 10, 20, 0.1))
    drift = DriftMeter(Calibrations((fitted(),)), SmallEars())
    drift.decided(calibrated(LEAST, 3.0, 4.0))
    metrics.registry.register(drift)
    told.count("reused")


async def test_every_name_is_in_the_table_and_every_line_of_it_is_real(service):
    """The guard of docs/metrics.md; what is said of GPUs is seen only where there are any."""
    every_kind_of_thing(service.metrics)
    say(logging.getLogger("earwitness.test"), EngineDied())
    text = (await service.get("/metrics")).text

    told = {f"{f.name}|{f.type}" for f in text_string_to_metric_families(text)}
    rows = re.findall(r"^\| `([a-z_]+)` \| (\w+) \|", TABLE.read_text(), re.MULTILINE)
    table = {f"{name.removesuffix('_total')}|{kind}" for name, kind in rows}
    assert told <= table
    assert {row for row in table - told if not row.startswith(ELSEWHERE)} == set()


async def test_the_labels_in_the_table_are_those_that_are_told(service):
    every_kind_of_thing(service.metrics)
    say(logging.getLogger("earwitness.test"), EngineDied())
    text = (await service.get("/metrics")).text

    told = {
        f.name: {label for s in f.samples for label in s.labels} - {"le"}
        for f in text_string_to_metric_families(text)
    }
    rows = re.findall(r"^\| `([a-z_]+)` \| \w+ \|([^|]*)\|", TABLE.read_text(), re.MULTILINE)
    table = {name.removesuffix("_total"): set(re.findall("`([a-z]+)`", of)) for name, of in rows}
    for name, labels in told.items():
        assert labels <= table[name], name


async def test_a_cost_a_confidence_and_a_fallback_are_counted(service):
    every_kind_of_thing(service.metrics)

    told = await scraped(service)

    qwen = (("engine", "qwen"), ("task", "describe"))
    paid = (("engine", "openai"), ("task", "describe"), ("verdict", "escalate"))
    assert told["earwitness_cost_usd_total", ("engine", "openai")] == pytest.approx(0.004)
    assert told["earwitness_decisions_total", *paid] == 2
    bars = {
        dict(key[1:])["le"]: value
        for key, value in told.items()
        if key[0] == "earwitness_confidence_bucket"
    }
    assert (bars["0.9"], bars["0.95"], bars["+Inf"]) == (0, 1, 1)
    assert told["earwitness_engine_seconds_count", *qwen] == 2


async def test_failures_are_counted_by_code_and_strange_codes_are_one(service):
    log = logging.getLogger("earwitness.anywhere")
    say(log, EngineDied())
    log.error("forged", extra={"code": "x" * 1000, "layer": "execution"})
    log.error("not one of ours", extra={"code": "engine_died"})

    told = await scraped(service)

    assert told["earwitness_errors_total", ("code", "engine_died")] == 1
    assert told["earwitness_errors_total", ("code", "other")] == 1


def test_two_apps_in_one_process_count_apart():
    one, other = Metrics(), Metrics()
    one.instruments.count("reused")

    assert b'event="reused"' in one.exposition()
    assert b'event="reused"' not in other.exposition()


def test_a_handler_stays_no_longer_than_its_app():
    before = list(logging.getLogger("earwitness").handlers)
    metrics = Metrics()
    metrics.start()
    metrics.stop()

    assert logging.getLogger("earwitness").handlers == before
    say(logging.getLogger("earwitness.test"), InvalidRequest())
    assert b"invalid_request" not in metrics.exposition()


def test_without_a_gpu_there_is_nothing_and_it_is_said_once(caplog):
    gpus = Gpus()
    with caplog.at_level(logging.INFO, "earwitness.gpus"):
        families = [list(gpus.collect()) for _ in range(3)]

    if families[0]:
        pytest.skip("there is a GPU here")
    assert families == [[], [], []]
    assert len(caplog.records) == 1


async def test_ten_thousand_tenants_make_no_series(service):
    """P13, in part: `bench/metrics.py` fills every label there can be."""
    before = len(await scraped(service))
    for n in range(100):
        drop(service.house, b"no sound at all", name=f"uploads/demo/{n}.wav")
        await ring(service)

    assert len(await scraped(service)) - before < 30
