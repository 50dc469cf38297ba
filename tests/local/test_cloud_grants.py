"""What doctor expects of each workload is what Terraform may give it, no more and no less."""

from local.cloud_checkup.expected import FUNCTIONS, GRANTS, On
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
