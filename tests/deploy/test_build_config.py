"""The files Cloud Build reads are builds, and say what they seem to say."""

import re
import shutil

import pytest
import yaml

from deploy import build_config
from deploy.build_config import FILES, ROOT, faults

TEXT = {name: (ROOT / name).read_text(encoding="utf-8") for name in FILES}
BUILD = TEXT["cloudbuild.yaml"]


@pytest.mark.parametrize("name", FILES)
def test_cloud_build_takes_it_and_it_says_what_it_means(name):
    assert faults(TEXT[name]) == []


def broken(old, new, text=BUILD):
    """A copy with one thing wrong; what was to be replaced must be there."""
    assert text.count(old) >= 1, old
    return text.replace(old, new, 1)


WRONG = {
    "an unknown key of the build": (("\noptions:", "\noptoins:"), "optoins"),
    "an unknown key of a step": (("    timeout:", "    timeOut:"), "timeOut"),
    "an unknown option": (("  diskSizeGb:", "  diskSize:"), "diskSize"),
    "a machine there is not": (("E2_HIGHCPU_8", "E2_HIGHCPU_9"), "E2_HIGHCPU_9"),
    "a time that is none": (("timeout: 10800s", "timeout: 3h"), "3h"),
    "less time than the steps have": (
        ("timeout: 10800s", "timeout: 3600s"),
        "The build's timeout is shorter than its steps' one after another",
    ),
    "a step that may hang": (("    timeout: 600s\n", ""), "lint has no timeout."),
    "waiting for nobody": (
        ("waitFor: [environment]", "waitFor: [enviroment]"),
        "lint waits for enviroment, which is no step above it.",
    ),
    "waiting for a step below": (
        ("waitFor: [environment]", "waitFor: [keep]"),
        "lint waits for keep, which is no step above it.",
    ),
    "not saying what it waits for": (
        ("    waitFor: [environment]\n", ""),
        "lint does not say what it waits for.",
    ),
    "two steps of one name": (("id: types", "id: lint"), "Two steps have the id lint."),
    "a step without a name": (("  - id: lint\n    name", "  - name"), "Each step has an id."),
    "a substitution nobody declared": (
        ('"$_REGISTRY/$image', '"$_REGISTER/$image'),
        "$_REGISTER is used and not declared under substitutions.",
    ),
    "a builder nobody declared": (
        ("name: ${_PYTHON}", "name: ${_PYHTON}"),
        "$_PYHTON is used and not declared under substitutions.",
    ),
    "a substitution that is gone": (
        ("  _STATE: ''", "  _STAET: ''"),
        "$_STATE is used and not declared under substitutions.",
    ),
    "a substitution nobody uses": (
        ("substitutions:\n", "substitutions:\n  _MODE: fast\n"),
        "_MODE is declared under substitutions and used nowhere.",
    ),
    "substitutions that scripts cannot see": (
        ("  automapSubstitutions: true\n", ""),
        "Scripts see substitutions as variables only with options.automapSubstitutions.",
    ),
    "a builder of today": (
        ("hashicorp/terraform:1.11.4", "hashicorp/terraform:latest"),
        "The builder ${_TERRAFORM} is not pinned to a version or a digest.",
    ),
    "a builder without a version": (
        ("docker:27.5.1-cli", "docker"),
        "The builder ${_DOCKER} is not pinned to a version or a digest.",
    ),
    "logs nowhere": (
        ("  logging: CLOUD_LOGGING_ONLY\n", ""),
        "A build with an identity of its own says where its logs go: options.logging.",
    ),
    "a secret nobody keeps": (
        ("  - id: lint\n", "  - id: lint\n    secretEnv: [TOKEN]\n"),
        "lint asks for the secret TOKEN, which no one declared.",
    ),
    "a script that is none": (("      make types\n", "      if make types\n"), "types: "),
    "a script without a shell": (
        ("#!/bin/sh\n      set -eu\n      mkdir -p /workspace/.build/bin", "set -eu"),
        "terraform does not say which shell reads its script.",
    ),
    "a script and arguments": (
        ("  - id: lint\n", "  - id: lint\n    args: [make]\n"),
        "lint has a script, and therefore neither args nor entrypoint.",
    ),
    "a target there is not": (
        ("make lint contracts", "make lint contarcts"),
        "lint makes contarcts, which the Makefile does not know.",
    ),
    "a module there is not": (
        ("-m deploy.vulnerabilities", "-m deploy.vulnerability"),
        "gate runs deploy.vulnerability, which is not there.",
    ),
}


@pytest.mark.parametrize(("change", "said"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_named(change, said):
    found = faults(broken(*change))

    assert any(said in fault for fault in found), found


def test_every_file_is_read_and_a_mistake_ends_it(monkeypatch, tmp_path, capsys):
    for name in (*FILES, "Makefile"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / FILES[1]).write_text(broken("waitFor: [drift]", "waitFor: [d]", TEXT[FILES[1]]))
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    monkeypatch.setattr(build_config, "ROOT", tmp_path)

    assert build_config.main([]) == 1
    assert f"{FILES[1]}: apply waits for d" in capsys.readouterr().err


def steps(name):
    return {step["id"]: step for step in yaml.safe_load(TEXT[name])["steps"]}


def ancestors(steps, id):
    """Every step that ended before this one began."""
    before = {other for other in steps[id]["waitFor"] if other != "-"}
    return before.union(*(ancestors(steps, other) for other in before))


def test_nothing_is_pushed_before_lint_types_terraform_and_tests_passed():
    assert {"lint", "types", "form", "tests"} <= ancestors(steps("cloudbuild.yaml"), "push")


def test_nothing_is_planned_that_the_vulnerability_gate_did_not_let_through():
    before = ancestors(steps("cloudbuild.yaml"), "plan")

    assert {"archive", "push", "scan", "gate", "sbom", "weights"} <= before
    assert "plan" in ancestors(steps("cloudbuild.yaml"), "keep")


def test_the_hash_is_compared_before_anything_of_the_bundle_is_read():
    apply = steps("cloudbuild.apply.yaml")
    fetch = apply["fetch"]["script"]

    assert fetch.index("sha256sum --check") < fetch.index("tar -x")
    assert all("fetch" in ancestors(apply, id) for id in apply if id != "fetch")
    assert {"apply", "environment"} <= ancestors(apply, "smoke")


def test_independent_steps_run_side_by_side():
    waits = {id: step["waitFor"] for id, step in steps("cloudbuild.yaml").items()}

    assert waits["lint"] == waits["types"] == waits["archive"] == ["environment"]
    assert waits["image-service"] == waits["image-gateway"] == ["base"]


def test_a_proposed_change_passes_what_a_pushed_one_does():
    checked, built = steps("cloudbuild.check.yaml"), steps("cloudbuild.yaml")

    assert checked == {id: built[id] for id in checked}
    assert {"lint", "types", "form", "tests"} <= checked.keys()


def test_images_are_built_as_the_dockerfile_wants_them():
    """A stage or an argument of another name would be found after an hour of building."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    stages = set(re.findall(r"^FROM \S+ AS (\S+)$", dockerfile, re.MULTILINE))
    arguments = set(re.findall(r"^ARG (\w+)", dockerfile, re.MULTILINE))

    for image in ("service", "gateway"):
        script = steps("cloudbuild.yaml")[f"image-{image}"]["script"]
        assert set(re.findall(r"--target (\S+)", script)) == {image} <= stages
        assert set(re.findall(r'--build-arg "(\w+)=', script)) <= arguments


def test_the_three_files_run_the_same_builders():
    pinned = [yaml.safe_load(text)["substitutions"] for text in TEXT.values()]
    builders = {"_PYTHON", "_TERRAFORM", "_GCLOUD", "_DOCKER"}

    for name in builders:
        assert len({one[name] for one in pinned if name in one}) == 1, name


def test_the_terraform_of_builds_is_one_the_configuration_takes():
    wanted = re.search(
        r'required_version = ">= ([\d.]+)"', (ROOT / "terraform/versions.tf").read_text()
    )
    image = yaml.safe_load(BUILD)["substitutions"]["_TERRAFORM"]

    built = image.partition(":")[2].split(".")
    assert [int(n) for n in built[:2]] >= [int(n) for n in wanted[1].split(".")]


def test_a_bundle_holds_what_the_apply_build_runs():
    """The apply build reads the bundle, not the sources of some later commit."""
    packed = re.search(r"-czf \S+ \\\n\s+(.+)", steps("cloudbuild.yaml")["keep"]["script"])[
        1
    ].split()

    for path in ("plan.tfplan", "terraform", "deploy", "shared", "requirements", "local"):
        assert path in packed
    assert "dist/functions.zip" in packed
