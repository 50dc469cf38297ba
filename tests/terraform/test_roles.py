"""Everybody may do what golden_roles.py says by hand, and nothing else; and nobody is everybody."""

import json

import pytest

from tests.terraform.golden_roles import OF_PROJECT, OF_STACK, Roles, thing
from tests.terraform.grants import Grant, doors, granted, things, unweighed
from tests.terraform.topologies import PREFIX, PROJECT, Entity, Topology

#: Roles over everything, whatever it is.
PRIMITIVE = {"owner", "editor", "viewer", "admin", "writer", "reader"}
EVERYBODY = ("allUsers", "allAuthenticatedUsers")
#: Made elsewhere and told to Terraform, by what the list calls it.
FOREIGN = {f"{PROJECT}-{PREFIX}-state": "bucket state"}


def expected(topology: Topology, stack: str) -> set[Grant]:
    """The list's lines about what this topology has."""
    told = json.dumps(topology.variables)
    there = things(topology, stack) | {on for name, on in FOREIGN.items() if name in told}
    listed = lines(OF_STACK if stack else OF_PROJECT)
    return {g for g in listed if thing(g.on) in there and _is_there(g.who, there, told)}


def lines(roles: Roles) -> set[Grant]:
    return {
        Grant(who, on, role)
        for who, grants in roles.items()
        for on, names in grants.items()
        for role in names
    }


def _is_there(who: str, there: set[str], told: str) -> bool:
    """An identity of ours has to be made, anybody else to be named; Google's agents are there."""
    return f"identity {who}" in there or who.startswith("agent ") or who in told


def stacks(topology: Topology) -> list[str]:
    return sorted({e.stack for e in topology.entities})


def faults(topology: Topology) -> list[str]:
    """A line for each role too many, and for each that is missing."""
    found = []
    for stack in stacks(topology):
        given, wanted = granted(topology, stack), expected(topology, stack)
        found += [f"too many: {stack}: {grant}" for grant in sorted(given - wanted)]
        found += [f"missing: {stack}: {grant}" for grant in sorted(wanted - given)]
    return found


def public(topology: Topology) -> list[str]:
    """The addresses of grants to everybody; checkov does not see a public Cloud Run v2 service."""
    open_to = [address for address, member in doors(topology) if member in EVERYBODY]
    unchecked = [
        e.address
        for e in topology.all("google_cloud_run_v2_service")
        if e.values.get("invoker_iam_disabled")
    ]
    return open_to + unchecked


def primitive(topology: Topology) -> list[str]:
    roles = ((e.address, str(e.values.get("role") or "")) for e in topology.entities)
    return [address for address, role in roles if role.removeprefix("roles/") in PRIMITIVE]


def grant(kind: str, **values: object) -> Entity:
    return Entity(f'module.stack["home"].{kind}.more', kind, {"condition": [], **values})


SERVICE = "serviceAccount:ew-service@my-recordings-4711.iam.gserviceaccount.com"


def test_each_identity_has_the_roles_of_the_golden_list(every):
    assert faults(every) == []


def test_every_line_of_the_golden_list_is_given_somewhere(topology):
    """A line about what no topology has would never be looked at."""
    made = [topology(name) for name in ("everything", "two regions", "images")]
    given = {grant for t in made for stack in stacks(t) for grant in granted(t, stack)}

    lines = {Grant(*line) for roles in (OF_STACK, OF_PROJECT) for line in _lines(roles)}

    assert lines - given == set()


def _lines(roles: Roles) -> list[tuple[str, str, str]]:
    return [
        (w, on, r) for w, grants in roles.items() for on, names in grants.items() for r in names
    ]


MORE = {
    "a role on a bucket": grant(
        "google_storage_bucket_iam_member",
        bucket="my-recordings-4711-ew-archive",
        member=SERVICE,
        role="roles/storage.admin",
    ),
    "a larger role on the same bucket": grant(
        "google_storage_bucket_iam_member",
        bucket="my-recordings-4711-ew-uploads",
        member=SERVICE,
        role="roles/storage.objectUser",
    ),
    "the same role without its condition": grant(
        "google_project_iam_member", member=SERVICE, role="roles/datastore.user"
    ),
    "somebody unknown": grant(
        "google_pubsub_topic_iam_member",
        topic="ew-lane-high",
        member="user:mallory@example.com",
        role="roles/pubsub.publisher",
    ),
}


@pytest.mark.parametrize("more", MORE.values(), ids=MORE)
def test_one_role_more_is_noticed(topology, more):
    [said] = faults(topology("images").with_more(more))

    assert said.startswith("too many: home: ")


def test_one_role_less_is_noticed(topology):
    some = topology("images").all("google_pubsub_topic_iam_member")[0]

    [said] = faults(topology("images").without(some.address))

    assert said.startswith("missing: home: ")


def test_a_grant_from_one_stack_to_another_is_noticed(topology):
    address = 'module.stack["us"].google_storage_bucket_iam_member.uploads["service"]'
    crossed = topology("two regions").with_change(address, member=SERVICE)

    assert any(said.startswith("too many: us: ") for said in faults(crossed))


def test_no_grant_is_of_a_kind_that_nobody_weighs(every):
    assert unweighed(every) == []


def test_a_binding_is_noticed(topology):
    binding = grant("google_storage_bucket_iam_binding", role="roles/x", members=[SERVICE])

    assert unweighed(topology("images").with_more(binding)) == [binding.kind]


def test_nothing_is_open_to_everybody(every):
    assert public(every) == []


@pytest.mark.parametrize("everybody", EVERYBODY)
def test_a_public_invoker_is_noticed(topology, everybody):
    kind = "google_cloud_run_v2_service_iam_member"
    door = grant(kind, name="ew-gateway", role="roles/run.invoker", member=everybody)

    assert public(topology("images").with_more(door)) == [door.address]


def test_a_service_that_asks_for_no_identity_is_noticed(topology):
    address = 'module.stack["home"].module.gateway["door"].google_cloud_run_v2_service.this'

    opened = topology("images").with_change(address, invoker_iam_disabled=True)

    assert public(opened) == [address]


def test_nobody_has_a_primitive_role(every):
    assert primitive(every) == []


def test_a_primitive_role_is_noticed(topology):
    more = grant("google_project_iam_member", member=SERVICE, role="roles/editor")

    assert primitive(topology("images").with_more(more)) == [more.address]
