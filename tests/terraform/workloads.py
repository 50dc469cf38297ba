"""What runs, and the environment that it is given."""

from dataclasses import dataclass

from tests.terraform.topologies import Entity, Topology

#: Stands for the value of a secret, which Terraform does not know.
SECRET = "a-secret"
#: Stands for what Google would say, such as the number of an identity.
LATER = "known-later"


@dataclass(frozen=True, slots=True)
class Workload:
    """A service or a function."""

    entity: Entity
    noun: str  #: its name without the stack's prefix; one for both services of the two lanes
    environment: dict[str, str]


def workloads(topology: Topology) -> list[Workload]:
    services = topology.all("google_cloud_run_v2_service")
    functions = topology.all("google_cloudfunctions2_function")
    return [
        *(Workload(e, _noun(e), _of_service(e)) for e in services),
        *(Workload(e, _noun(e), _of_function(e)) for e in functions),
    ]


def _noun(entity: Entity) -> str:
    name = str(entity["name"]).removeprefix("ew-").removeprefix(f"{entity.stack}-")
    return "service" if name.startswith("service-") else name


def _of_service(entity: Entity) -> dict[str, str]:
    [template] = entity.values["template"]
    [container] = template["containers"]
    given = container["env"]
    return {one["name"]: SECRET if one["value_source"] else one["value"] or LATER for one in given}


def _of_function(entity: Entity) -> dict[str, str]:
    [config] = entity.values["service_config"]
    secrets = config["secret_environment_variables"] or []
    return {**config["environment_variables"], **{one["key"]: SECRET for one in secrets}}
