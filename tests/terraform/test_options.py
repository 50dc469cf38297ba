"""What the options promise of every resource, asked of all that one apply makes."""

from collections.abc import Iterator
from typing import Any

from tests.terraform.topologies import Entity, Topology

#: Where the products say which key they use: arguments, and blocks that hold one.
KEYS = {
    "cmek_config",
    "crypto_key_name",
    "customer_managed_encryption",
    "default_encryption_configuration",
    "default_kms_key_name",
    "encryption",
    "encryption_configuration",
    "encryption_key",
    "kms_key_name",
}
#: Its key is that of the bucket it lies in.
KEYLESS = ("google_storage_bucket_object",)


def named(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every argument in it by its own name, however deep."""
    yield name, value
    if isinstance(value, dict):
        for key, one in value.items():
            yield from named(one, key)
    elif isinstance(value, list):
        for one in value:
            yield from named(one)


def keys(entity: Entity) -> list[Any]:
    return [value for name, value in named(dict(entity.values)) if name in KEYS]


def unlocked(topology: Topology) -> list[str]:
    """What could have the deployer's key and has none."""
    able = (e for e in topology.entities if e.kind not in KEYLESS and not e.values.get("view"))
    return [e.address for e in able if (found := keys(e)) and not all(found)]


def ways_out(topology: Topology) -> dict[str, str | None]:
    """Of each workload, which of its calls go through the network."""
    run = topology.all("google_cloud_run_v2_service")
    functions = topology.all("google_cloudfunctions2_function")
    return {
        **{e.address: _first(e["template"]["vpc_access"], "egress") for e in run},
        **{e.address: e["service_config"]["direct_vpc_egress"] for e in functions},
    }


def _first(block: Any, argument: str) -> Any:
    return block[0][argument] if block else None


def gateway(topology: Topology) -> Entity:
    services = topology.all("google_cloud_run_v2_service")
    return next(e for e in services if e["name"] == "ew-gateway")


def test_with_cmek_nothing_is_kept_under_another_key(topology):
    assert unlocked(topology("everything")) == []


def test_without_cmek_the_same_question_finds_many(topology):
    assert len(unlocked(topology("images"))) > 10


def test_with_vpc_every_call_of_every_workload_goes_through_the_network(topology):
    ways = ways_out(topology("everything"))

    assert {way for at, way in ways.items() if "function" not in at} == {"ALL_TRAFFIC"}
    assert {way for at, way in ways.items() if "function" in at} == {"VPC_EGRESS_ALL_TRAFFIC"}


def test_by_default_only_the_gateway_goes_through_the_network(topology):
    ways = ways_out(topology("images"))

    assert [at for at, way in ways.items() if way] == [gateway(topology("images")).address]
    assert ways[gateway(topology("images")).address] == "PRIVATE_RANGES_ONLY"


def test_with_edge_the_gateway_has_no_other_door(topology):
    door = gateway(topology("everything"))

    assert door["default_uri_disabled"] is True
    assert door["ingress"] == "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"


def test_without_edge_the_gateway_is_at_googles_address(topology):
    door = gateway(topology("images"))

    assert not door["default_uri_disabled"]
    assert door["ingress"] == "INGRESS_TRAFFIC_ALL"


def test_a_second_zone_is_reserved_only_when_it_is_paid_for(topology):
    def disabled(variant: str) -> set[bool]:
        services = topology(variant).all("google_cloud_run_v2_service")
        with_gpu = [e for e in services if e["template"]["node_selector"]]
        return {e["template"]["gpu_zonal_redundancy_disabled"] for e in with_gpu}

    assert disabled("images") == {True}
    assert disabled("everything") == {False}
