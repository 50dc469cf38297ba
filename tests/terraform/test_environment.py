"""Each workload is told settings that the code knows, all that it needs, and values that fit."""

import os
import re

import pytest

from deploy import terraform as checks
from shared import settings
from shared.domain.recording import Topic
from shared.domain.tenants import Tier
from shared.errors import InvalidSettings
from shared.settings import ALIASES, FIELDS, NEEDED_IN_CLOUD, PREFIX, Settings
from tests.terraform.topologies import Topology
from tests.terraform.workloads import Workload, workloads

#: Read by OpenTelemetry itself.
FOREIGN = "OTEL_"
#: What Cloud Run and Cloud Functions tell every container.
PLATFORM = {"K_SERVICE": "any", "PORT": "8080"}
EVERYBODY = {
    *("archive_after_days", "backend", "firestore_database", "outer_bound_days", "topic_prefix"),
    *NEEDED_IN_CLOUD,
}
#: Settings without which a workload starts and does not work, by hand.
NEEDED = {
    "service": {
        *("push_email", "push_subject", "push_audience"),  # whose tickets it takes
        *("gateway_email", "gateway_subject", "operator_email", "operator_subject"),
        *("engines", "slots", "streams", "weights"),
    },
    "gateway": {"service_url", "push_audience", "public_hosts"},
    "deliver": set[str](),
    "on-announcement": set[str](),
    "on-audio-uploaded": set[str](),
    "on-job-dead": set[str](),
    "reconcile": {"arrivals_subscription", "tenants"},
    "retire": set[str](),
    "seal": set[str](),
}


def known(name: str) -> str:
    """The setting that a variable is; empty if it is none."""
    setting = name.removeprefix(PREFIX).partition("__")[0].lower()
    ours = name.startswith(PREFIX) and name == name.upper() and setting in FIELDS
    return setting if ours else ALIASES.get(name, "")


def unknown(work: Workload) -> list[str]:
    return [n for n in work.environment if not known(n) and not n.startswith(FOREIGN)]


def missing(work: Workload) -> set[str]:
    return (EVERYBODY | NEEDED[work.noun]) - {known(name) for name in work.environment}


def loaded(work: Workload, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """As the workload itself would read them."""
    for name in os.environ:
        if name.startswith(PREFIX) or name in ALIASES:
            monkeypatch.delenv(name)
    for name, value in {**PLATFORM, **work.environment}.items():
        monkeypatch.setenv(name, value)
    return settings.load()


def unfit(read: Settings, stack: str, topology: Topology) -> list[str]:
    """The settings that name something which this stack does not have."""
    names = {e.kind: set[str]() for e in topology.entities}
    for e in topology.entities:
        if e.stack == stack:
            names[e.kind].add(str(e.values.get("name") or e.values.get("dataset_id")))
    wanted = {
        "google_storage_bucket": {
            *(read.uploads_bucket, read.results_bucket, read.archive_bucket),
            *(read.temp_bucket, read.audit_bucket),
        },
        "google_firestore_database": {read.firestore_database},
        "google_pubsub_topic": {read.topic_prefix + topic for topic in Topic},
        "google_pubsub_subscription": {read.arrivals_subscription},
        "google_bigquery_dataset": {read.metrics_dataset},
    }
    return sorted(name for kind, wants in wanted.items() for name in wants - names[kind])


def one_of(topology: Topology, noun: str) -> Workload:
    found = [w for w in workloads(topology) if w.noun == noun]
    return found[0]


def test_every_variable_is_a_setting_that_the_code_knows(every):
    assert {w.entity.address: unknown(w) for w in workloads(every) if unknown(w)} == {}


def test_every_workload_is_told_what_it_needs(every):
    assert {w.entity.address: missing(w) for w in workloads(every) if missing(w)} == {}


def test_every_workload_can_read_what_it_is_told(every, monkeypatch):
    for work in workloads(every):
        with monkeypatch.context() as own:
            read = loaded(work, own)

        assert unfit(read, work.entity.stack, every) == [], work.entity.address


def test_tenants_are_told_with_their_tiers(topology, monkeypatch):
    told = {}
    for variant in ("first apply", "everything"):
        with monkeypatch.context() as own:
            told[variant] = loaded(one_of(topology(variant), "reconcile"), own).tenants

    assert told == {"first apply": {"demo": Tier.FREE}, "everything": {"acme": Tier.PRO}}


def test_originals_are_kept_as_they_came_only_where_that_is_said(topology, monkeypatch):
    told = {}
    for variant in ("images", "no GPU"):
        for work in workloads(topology(variant)):
            with monkeypatch.context() as own:
                told.setdefault(variant, set()).add(loaded(work, own).archive_after_days)

    assert told == {"images": {30}, "no GPU": {None}}


def test_the_tiers_that_terraform_takes_are_those_of_the_code():
    text = (checks.ROOT / "terraform" / "variables.tf").read_text(encoding="utf-8")
    taken = re.findall(r"contains\(\[([^]]+)\], one\.tier\)", text)

    assert [set(re.findall(r"\w+", one)) for one in taken] == [set(Tier)]


def test_every_workload_there_is_was_looked_at(topology):
    assert {w.noun for w in workloads(topology("everything"))} == NEEDED.keys()


@pytest.mark.parametrize("name", ["EARWITNESS_SLOT", "earwitness_slots", "SLOTS", "GOOGLE_PROJECT"])
def test_a_variable_that_nobody_reads_is_noticed(topology, name):
    work = one_of(topology("images"), "service")
    work.environment[name] = "1"

    assert unknown(work) == [name]


@pytest.mark.parametrize("noun", NEEDED)
def test_a_variable_that_is_missing_is_noticed(topology, noun):
    for setting in EVERYBODY | NEEDED[noun]:
        work = one_of(topology("images"), noun)
        for name in [n for n in work.environment if known(n) == setting]:
            del work.environment[name]

        assert missing(work) == {setting}


def test_a_value_that_the_code_refuses_is_noticed(topology, monkeypatch):
    work = one_of(topology("images"), "service")
    work.environment["EARWITNESS_SLOTS"] = "0"

    with pytest.raises(InvalidSettings, match="SLOTS"):
        loaded(work, monkeypatch)


def test_a_name_of_another_stack_is_noticed(topology, monkeypatch):
    two = topology("two regions")
    read = loaded(one_of(two, "service"), monkeypatch)

    assert unfit(read, "home", two) == []
    assert len(unfit(read, "us", two)) == 5 + 3 + len(Topic)
