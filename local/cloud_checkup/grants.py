"""What each identity may do, compared with what the code needs it to."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from local.cloud_checkup.deployment import Deployment
from local.cloud_checkup.expected import GRANTS, IAP, PUBSUB, STORAGE, Grant, On
from local.cloud_checkup.findings import Finding, verdict
from local.cloud_checkup.rest import Answer
from shared.domain.recording import Topic

EVERYBODY = frozenset({"allUsers", "allAuthenticatedUsers"})
PRIMITIVE = frozenset({"roles/owner", "roles/editor", "roles/viewer"})
#: The domains that Google's agents have their addresses in.
AGENTS = {PUBSUB: "gcp-sa-pubsub", STORAGE: "gs-project-accounts", IAP: "gcp-sa-iap"}
_VERSION = {"options.requestedPolicyVersion": "3"}


@dataclass(frozen=True, slots=True)
class Opened:
    """One resource and who it is open to."""

    name: str
    bindings: tuple[Answer, ...]

    def to(self, member: str, role: str) -> bool:
        """Whether somebody holds this role here; a condition must name the resource."""
        return any(
            binding.get("role") == role
            and member in binding.get("members", ())
            and self._meant(binding.get("condition"))
            for binding in self.bindings
        )

    def _meant(self, condition: Answer | None) -> bool:
        return condition is None or f'"{self.name}"' in condition["expression"]


def grants(d: Deployment) -> list[Finding]:
    project = policy_of_project(d)
    number = d.number()
    said = list(faults(d, GRANTS, project, number))
    said += [f"{_short(m)} has {role} on the whole project" for m, role in too_much(d, project)]
    return verdict("grants", said, f"{len(GRANTS)} are held, nothing is open to everybody")


def faults(d: Deployment, wanted: Iterable[Grant], project: Opened, number: str) -> Iterator[str]:
    """Each grant that is missing, and each resource that anybody may open.

    What does not exist has no grants: another check says that it is missing.
    """
    for grant in wanted:
        member = member_of(d, grant.who, number)
        for opened in [project] if grant.on is On.PROJECT else policies(d, grant):
            if not opened.to(member, grant.role) and not project.to(member, grant.role):
                where = "the project" if opened is project else _last(opened.name)
                yield f"{_short(member)} has no {grant.role} on {where}"
    for opened in everything(d, wanted):
        yield from (f"{_last(opened.name)} is open to {who}" for who in open_to_all(opened))


def member_of(d: Deployment, who: str, number: str) -> str:
    if who in AGENTS:
        return f"serviceAccount:service-{number}@{AGENTS[who]}.iam.gserviceaccount.com"
    return f"serviceAccount:{d.identity(who)}"


def open_to_all(opened: Opened) -> list[str]:
    return sorted({m for b in opened.bindings for m in b.get("members", ())} & EVERYBODY)


def too_much(d: Deployment, project: Opened) -> list[tuple[str, str]]:
    """Identities of this stack with a role over everything: none of them needs one."""
    ours = (f"serviceAccount:{d.named('')}", d.identity("").partition("@")[2])
    return sorted(
        (member, binding["role"])
        for binding in project.bindings
        if binding.get("role") in PRIMITIVE
        for member in binding.get("members", ())
        if member.startswith(ours[0]) and member.endswith(ours[1])
    )


def everything(d: Deployment, wanted: Iterable[Grant]) -> list[Opened]:
    """Every resource that a grant is about, once."""
    places = {(g.on, g.noun): g for g in wanted if g.on is not On.PROJECT}
    found = [opened for grant in places.values() for opened in policies(d, grant)]
    return list({opened.name: opened for opened in found}.values())


def policy_of_project(d: Deployment) -> Opened:
    body = {"options": {"requestedPolicyVersion": 3}}
    answer = d.google.post("cloudresourcemanager", f"v3/{d.project}:getIamPolicy", body) or {}
    # A condition on the project's policy is about one database of it.
    return Opened(d.database, tuple(answer.get("bindings", ())))


def policies(d: Deployment, grant: Grant) -> list[Opened]:
    """Who may what on the resource, or resources, that this grant is about; none if it is gone."""
    names, read = _places(d, grant)
    found = ((name, read(d, name)) for name in dict.fromkeys(names))
    return [Opened(n, tuple(a.get("bindings", ()))) for n, a in found if a is not None]


Read = Callable[[Deployment, str], Answer | None]


def _places(d: Deployment, grant: Grant) -> tuple[list[str], Read]:
    """Names, and how a policy is read under one."""
    match grant.on:
        case On.BUCKET:
            return [d.bucket_name(grant.noun)], _of_bucket
        case On.TOPIC:
            return [d.topic(grant.noun)], _of_pubsub
        case On.ARRIVALS:
            return [s["name"] for s in arrivals(d)], _of_pubsub
        case On.NOTIFIED:
            return [s["topic"] for s in arrivals(d)], _of_pubsub
        case On.MORTAL:
            return [s["name"] for s in mortal(d)], _of_pubsub
        case On.DEAD_LETTERS:
            return [s["deadLetterPolicy"]["deadLetterTopic"] for s in mortal(d)], _of_pubsub
        case On.TABLE:
            return tables(d), _of_table
        case On.SERVICE:
            return [s["name"] for s in d.run_by(grant.noun)], _of_service
        case On.KEPT:
            return [f"{d.project}/secrets/{d.named(grant.noun)}"], _of_secret
        case On.KEY:
            name = d.named(grant.noun)
            ring = f"{d.project}/locations/{d.region()}/keyRings/{name}"
            return [f"{ring}/cryptoKeys/{name}"], _of_key
        case On.IDENTITY:
            return [f"{d.project}/serviceAccounts/{d.identity(grant.noun)}"], _of_identity
    raise ValueError(grant.on)


def _of_bucket(d: Deployment, name: str) -> Answer | None:
    path = f"storage/v1/b/{name}/iam"
    return d.google.get("storage", path, optionsRequestedPolicyVersion="3")


def _of_pubsub(d: Deployment, name: str) -> Answer | None:
    return d.google.get("pubsub", f"v1/{name}:getIamPolicy", **_VERSION)


def _of_service(d: Deployment, name: str) -> Answer | None:
    return d.google.get("run", f"v2/{name}:getIamPolicy", **_VERSION)


def _of_secret(d: Deployment, name: str) -> Answer | None:
    return d.google.get("secretmanager", f"v1/{name}:getIamPolicy", **_VERSION)


def _of_key(d: Deployment, name: str) -> Answer | None:
    return d.google.get("cloudkms", f"v1/{name}:getIamPolicy", **_VERSION)


def _of_identity(d: Deployment, name: str) -> Answer | None:
    """Source: IAM API, projects.serviceAccounts.getIamPolicy: a POST that is told nothing."""
    return d.google.post("iam", f"v1/{name}:getIamPolicy", {})


def _of_table(d: Deployment, name: str) -> Answer | None:
    body = {"options": {"requestedPolicyVersion": 3}}
    return d.google.post("bigquery", f"bigquery/v2/{name}:getIamPolicy", body)


def arrivals(d: Deployment) -> list[Answer]:
    name = f"{d.project}/subscriptions/{d.settings.arrivals_subscription}"
    return [s for s in d.subscriptions() if s["name"] == name]


def mortal(d: Deployment) -> list[Answer]:
    """Our subscriptions whose messages end as dead letters."""
    there = (s for s in d.subscriptions() if d.owns(s))
    return [s for s in there if s.get("deadLetterPolicy", {}).get("deadLetterTopic")]


def tables(d: Deployment) -> list[str]:
    """Where measurements are written to, as their subscription says."""
    topic = d.topic(Topic.METRICS.value)
    found = (s.get("bigqueryConfig", {}) for s in d.subscriptions() if s["topic"] == topic)
    named = (rows["table"].split(".") for rows in found if rows.get("table"))
    return [f"projects/{p}/datasets/{dataset}/tables/{t}" for p, dataset, t in named]


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def _short(member: str) -> str:
    return member.removeprefix("serviceAccount:")
