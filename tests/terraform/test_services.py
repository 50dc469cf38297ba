"""The GPU service and the gateway, as Cloud Run would be asked for them."""

import json

import pytest

from tests.terraform.topologies import PREFIX, Entity, Topology

INTERNAL = "INGRESS_TRAFFIC_INTERNAL_ONLY"
BEHIND_A_BALANCER = "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
#: CPU, memory and GPUs that Google demands at least for each kind. Source: Cloud Run, "Configure
#: GPUs for services".
L4 = ("nvidia-l4", {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"})
LARGE = ("nvidia-rtx-pro-6000", {"cpu": "20", "memory": "80Gi", "nvidia.com/gpu": "1"})
NONE = (None, {"cpu": "4", "memory": "8Gi"})


def services(topology: Topology) -> dict[str, Entity]:
    """By name, those of the first stack."""
    found = topology.all("google_cloud_run_v2_service")
    return {str(one["name"]).removeprefix(f"{PREFIX}-"): one for one in found}


def template(service: Entity) -> dict:
    [found] = service.values["template"]
    return found


def container(service: Entity) -> dict:
    [found] = template(service)["containers"]
    return found


def machine(service: Entity) -> tuple[str | None, dict[str, str]]:
    [resources] = container(service)["resources"]
    wanted = template(service)["node_selector"]
    return wanted[0]["accelerator"] if wanted else None, resources["limits"]


def variables(service: Entity) -> dict[str, str]:
    return {one["name"]: one["value"] for one in container(service)["env"]}


@pytest.mark.parametrize(
    ("variant", "wanted"),
    [
        ("first apply", {}),
        ("images", {"service": L4}),
        ("no GPU", {"service": NONE}),
        ("everything", {"service-high": LARGE, "service-low": LARGE}),
    ],
)
def test_each_service_has_the_machine_its_gpu_demands(topology, variant, wanted):
    found = services(topology(variant))

    assert {name: machine(one) for name, one in found.items() if name != "gateway"} == wanted


@pytest.mark.parametrize("variant", ["images", "no GPU", "everything"])
def test_the_service_is_asked_from_inside_only_and_billed_by_instance(topology, variant):
    for name, service in services(topology(variant)).items():
        if name != "gateway":
            [resources] = container(service)["resources"]

            assert (service.values["ingress"], resources["cpu_idle"]) == (INTERNAL, False)
            assert service.values["custom_audiences"] == ["earwitness"]
            assert not service.values["iap_enabled"]


def test_only_the_high_lane_is_kept_warm_and_a_second_zone_only_where_asked(topology):
    def kept(variant: str) -> dict[str, tuple[int, bool]]:
        return {
            name: (
                one.values["scaling"][0]["min_instance_count"],
                template(one)["gpu_zonal_redundancy_disabled"],
            )
            for name, one in services(topology(variant)).items()
            if name != "gateway"
        }

    assert kept("images") == {"service": (0, True)}
    assert kept("everything") == {"service-high": (1, False), "service-low": (0, False)}


def test_a_backlog_brings_instances_where_the_low_lane_has_its_own(topology):
    """Cloud Run adds one when 60 % of the concurrency is taken; all places taken must be more."""
    low = services(topology("everything"))["service-low"]
    places = int(variables(low)["EARWITNESS_SLOTS"])

    assert places > 0.6 * template(low)["max_instance_request_concurrency"]


@pytest.mark.parametrize("variant", ["images", "everything"])
def test_streams_tickets_and_calls_find_room(topology, variant):
    found = services(topology(variant))
    service = found.get("service") or found["service-high"]
    said = variables(service)
    places, streams = int(said["EARWITNESS_SLOTS"]), int(said["EARWITNESS_STREAMS"])

    assert template(service)["max_instance_request_concurrency"] > places + streams


@pytest.mark.parametrize("variant", ["images", "no GPU", "everything"])
def test_weights_are_mounted_where_the_service_looks_and_cannot_be_written(topology, variant):
    for name, service in services(topology(variant)).items():
        if name == "gateway":
            assert not template(service)["volumes"]
            continue
        [volume], [mount] = template(service)["volumes"], container(service)["volume_mounts"]

        assert volume["gcs"][0]["read_only"]
        assert mount["mount_path"] == variables(service)["EARWITNESS_WEIGHTS"]


def test_whisper_runs_on_the_gpu_where_there_is_one_with_what_it_was_calibrated_for(topology):
    def engines(variant: str, name: str) -> dict:
        return json.loads(variables(services(topology(variant))[name])["EARWITNESS_ENGINES"])

    on_gpu = {"kind": "whisper", "device": "cuda", "dtype": "int8"}
    assert engines("images", "service") == {"whisper": on_gpu}
    assert engines("no GPU", "service") == {}
    assert engines("everything", "service-high").keys() == {"whisper", "qwen"}


def test_a_secrets_value_is_nowhere_and_is_given_only_where_it_is_said_to_be(topology):
    def given(variant: str) -> set[str]:
        found = services(topology(variant)).items()
        return {n for n, one in found for e in container(one)["env"] if e["value_source"]}

    assert given("images") == set()
    assert given("everything") == {"service-high", "service-low"}
    assert not topology("everything").all("google_secret_manager_secret_version")


@pytest.mark.parametrize(
    ("variant", "host", "ingress", "shut"),
    [
        ("images", "run.app", "INGRESS_TRAFFIC_ALL", False),
        ("everything", "hear.example.com", BEHIND_A_BALANCER, True),
    ],
)
def test_the_gateway_has_one_door_with_the_proxy_before_it(topology, variant, host, ingress, shut):
    gateway = services(topology(variant))["gateway"]
    [named] = json.loads(variables(gateway)["EARWITNESS_PUBLIC_HOSTS"])

    assert gateway.values["iap_enabled"]
    assert gateway.values["ingress"] == ingress
    assert bool(gateway.values["default_uri_disabled"]) is shut
    assert named.endswith(host)
    assert variables(gateway)["EARWITNESS_VIEWER_AUDIENCE"].endswith(
        f"/locations/europe-west4/services/{PREFIX}-gateway"
    )


def test_the_viewers_and_nobody_else_come_through_the_proxy(topology):
    grants = topology("images").all("google_iap_web_cloud_run_service_iam_member")

    assert [(g["member"], g["role"]) for g in grants] == [
        ("group:listeners@example.com", "roles/iap.httpsResourceAccessor")
    ]
