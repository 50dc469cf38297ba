"""What doctor expects is what Terraform makes: grants, APIs, topics, buckets."""

import re
from pathlib import Path

from local.cloud_checkup.apis import NEEDED
from local.cloud_checkup.buckets import NOUNS
from local.cloud_checkup.builders import KEEPS, ON_PROJECT
from local.cloud_checkup.expected import FUNCTIONS, GRANTS, On
from local.cloud_checkup.keys import AGENTS as AGENTS_THAT_ENCRYPT
from local.cloud_checkup.pubsub import expected_topics
from tests.local import cloud_project as cloud
from tests.terraform.golden_roles import OF_PROJECT, OF_STACK, STORE

AGENTS = {
    "pubsub agent": "agent gcp-sa-pubsub",
    "storage agent": "agent gs-project-accounts",
    "iap agent": "agent gcp-sa-iap",
}
WORKLOADS = ("service", "gateway", "push", "operator", *(f.replace("_", "-") for f in FUNCTIONS))
MORTAL = [s["name"].partition("/ew-")[2] for s in cloud.subscriptions() if "deadLetterPolicy" in s]


def places(grant):
    """The same in the words of the hand-written list."""
    store = grant.role == "roles/datastore.user"
    return {
        On.PROJECT: [STORE if store else "project"],
        On.BUCKET: [f"bucket {grant.noun}"],
        On.TOPIC: [f"topic {grant.noun}"],
        On.KEPT: [f"secret {grant.noun}"],
        On.KEY: [f"key {grant.noun}"],
        On.IDENTITY: [f"identity {grant.noun}"],
        On.SERVICE: [f"run {grant.noun.replace('_', '-')}"],
        On.ARRIVALS: ["subscription upload-arrivals"],
        On.NOTIFIED: ["topic upload-arrivals"],
        On.MORTAL: [f"subscription {noun}" for noun in MORTAL],
        On.DEAD_LETTERS: ["topic undelivered"],
        On.TABLE: ["table inference_metrics"],
    }[grant.on]


def looked_for():
    return {
        (AGENTS.get(g.who, g.who.replace("_", "-")), on, g.role.removeprefix("roles/"))
        for g in GRANTS
        for on in places(g)
    }


def given(golden):
    return {(who, on, r) for who, ons in golden.items() for on, roles in ons.items() for r in roles}


def test_doctor_looks_for_nothing_that_terraform_does_not_give():
    assert looked_for() - given(OF_STACK) - given(OF_PROJECT) == set()


def test_doctor_looks_for_everything_that_a_workload_is_given():
    of_workloads = {g for g in given(OF_STACK) if g[0] in WORKLOADS}
    # Two services instead of one are found by the identity that they run as.
    again = {g for g in of_workloads if g[1] in ("run service-high", "run service-low")}

    assert of_workloads - again - looked_for() == set()


def test_doctor_looks_for_exactly_what_who_builds_is_given():
    looked_for = {
        (noun, role.removeprefix("roles/")) for noun, roles in ON_PROJECT.items() for role in roles
    }
    told = {
        (who, role) for who, on, role in given(OF_PROJECT) if who in ON_PROJECT and on == "project"
    }
    keeps = {r for who, on, r in given(OF_PROJECT) if (who, on) == ("build", "bucket artefacts")}

    assert looked_for == told
    assert {role.removeprefix("roles/") for role in KEEPS} == keeps


def test_doctor_looks_for_every_agent_that_encrypts():
    told = {who for who, on, _ in given(OF_STACK) if on == "key data"}

    assert {f"agent {domain}" for domain in AGENTS_THAT_ENCRYPT} == told


TERRAFORM = Path(__file__).parents[2] / "terraform"
#: What builds, an option, or Terraform's own work needs, and nothing that runs.
NOT_LOOKED_FOR = {
    *("billingbudgets", "compute", "dns", "workloadidentity"),
    *("containerscanning", "ondemandscanning"),
}


def test_doctor_looks_for_the_apis_that_terraform_switches_on():
    text = (TERRAFORM / "apis.tf").read_text(encoding="utf-8")
    on = set(re.findall(r'^    "(\w+)\.googleapis\.com"', text, re.MULTILINE))

    assert set(NEEDED) <= on
    assert on - set(NEEDED) - NOT_LOOKED_FOR == set()


def test_doctor_looks_for_the_buckets_that_terraform_makes():
    text = "".join(f.read_text("utf-8") for f in sorted((TERRAFORM / "stack").glob("*.tf")))
    made = re.findall(r'^resource "google_storage_bucket" "(\w+)"', text, re.MULTILINE)

    assert set(NOUNS) == set(made)


def test_the_topics_that_doctor_looks_for_are_those_of_the_code():
    assert set(expected_topics()) == set(cloud.TOPICS) - {"undelivered", "upload-arrivals"}
