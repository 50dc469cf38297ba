"""What was planned is what is applied: the scripts of the builds themselves, run one after another.

Terraform is the real one, on a configuration of one resource that needs no provider; the buckets
are folders, kept by a stand-in for gcloud that knows the three commands these scripts call.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from deploy.entry_points import ROOT

CONFIGURATION = """
terraform {
  backend "local" {
    path = "STATE"
  }
}
variable "images" {
  type = object({ service = string, gateway = string })
}
variable "project" {
  type = string
}
resource "terraform_data" "service" {
  input = var.images.service
}
output "environments" {
  value = { home = { EARWITNESS_PROJECT = var.project } }
}
"""
#: gs://BUCKET/NAME is a file below $CLOUD; create-only as the service does it.
GCLOUD = """#!/usr/bin/env bash
set -euo pipefail
[[ "$1 $2" == "storage cp" ]] && {
  [[ " $* " == *" --if-generation-match=0 "* ]] && only=1
  from="${@: -2:1}" to="${@: -1}"
  from="${from/#gs:\\/\\//$CLOUD/}" to="${to/#gs:\\/\\//$CLOUD/}"
  [[ -z ${only:-} || ! -e $to ]] || { echo "412: there is one" >&2; exit 1; }
  mkdir -p "$(dirname "$to")"
  exec cp "$from" "$to"
}
[[ "$1 $2 $3" == "pubsub topics publish" ]] && { echo "$5" > "$CLOUD/published"; exit; }
echo "unknown: $*" >&2
exit 2
"""
#: Everything but the address of the bucket, which a local backend has none of.
TERRAFORM = """#!/usr/bin/env bash
for word; do [[ $word == -backend-config=* ]] || words+=("$word"); done
exec REAL "${words[@]}"
"""
IMAGES = {"service": "registry/service@sha256:" + "1" * 64, "gateway": "registry/gateway@sha256:2"}


class Builds:
    """A workspace for each build, and what is shared by them: buckets, state, tools."""

    def __init__(self, folder):
        self.folder, self.cloud, self.tools = folder, folder / "cloud", folder / "tools"
        self.state = folder / "state.tfstate"
        for path in (self.cloud, self.tools):
            path.mkdir()
        self._tool("gcloud", GCLOUD)
        self._tool("terraform", TERRAFORM.replace("REAL", shutil.which("terraform")))

    def _tool(self, name, text):
        (self.tools / name).write_text(text)
        (self.tools / name).chmod(0o755)

    def sources(self, name, images=IMAGES):
        """The workspace of a build that has its images, before it plans."""
        workspace = self.folder / name
        for path in ("terraform", "dist", ".build", "functions", "shared", "deploy", "local"):
            (workspace / path).mkdir(parents=True)
        (workspace / "requirements").mkdir()
        (workspace / "dist/sbom").mkdir()
        (workspace / "dist/sbom/gateway.cdx.json").write_text("{}")
        (workspace / "dist/functions.zip").write_text("the archive")
        (workspace / "terraform/main.tf").write_text(
            CONFIGURATION.replace("STATE", str(self.state))
        )
        (workspace / "terraform/terraform.tfvars").write_text('project = "my-recordings-4711"')
        (workspace / ".build/images.auto.tfvars.json").write_text(json.dumps({"images": images}))
        for image in images:
            (workspace / f".build/{image}.vulnerabilities.json").write_text("[]")
        return workspace

    def run(self, file, step, workspace, **substitutions):
        """One step of a build's file as Cloud Build runs it, /workspace being `workspace`."""
        config = yaml.safe_load((ROOT / file).read_text())
        (found,) = (s for s in config["steps"] if s["id"] == step)
        return subprocess.run(
            ["bash", "-c", found["script"].replace("/workspace", str(workspace))],
            cwd=workspace / found.get("dir", "."),
            env=os.environ
            | config["substitutions"]
            | {"_ARTEFACTS": "artefacts", "_STATE": "state", "BUILD_ID": workspace.name}
            | {"CLOUD": str(self.cloud), "PATH": f"{self.tools}:{os.environ['PATH']}"}
            | substitutions,
            capture_output=True,
            text=True,
        )

    def planned(self, name, **images):
        """The hash of what a build keeps."""
        workspace = self.sources(name, {**IMAGES, **images})
        for step in ("plan", "keep"):
            done = self.run("cloudbuild.yaml", step, workspace, _PLANS="plans")
            assert done.returncode == 0, done.stderr
        message = (self.cloud / "published").read_text().partition("=")[2]
        return json.loads(message)["plan"]

    def apply(self, name, plan, *steps):
        workspace = self.folder / name
        workspace.mkdir(exist_ok=True)
        for step in steps:
            done = self.run("cloudbuild.apply.yaml", step, workspace, _PLAN=plan)
            if done.returncode:
                return done
        return done

    def bundle(self, plan):
        return self.cloud / f"artefacts/plans/{plan}.tar.gz"

    def applied(self):
        """The image that the one resource was last given."""
        resources = json.loads(self.state.read_text())["resources"]
        return resources[0]["instances"][0]["attributes"]["input"]["value"]


@pytest.fixture
def builds(tmp_path):
    if shutil.which("terraform") is None:
        pytest.skip("there is no terraform here")
    return Builds(tmp_path)


def test_the_approved_bundle_is_applied_with_the_images_it_was_planned_for(builds):
    plan = builds.planned("one")

    done = builds.apply("two", plan, "fetch", "drift", "apply")

    assert done.returncode == 0, done.stderr
    assert builds.applied() == IMAGES["service"]
    told = json.loads((builds.folder / "two/environments.json").read_text())
    assert told == {"home": {"EARWITNESS_PROJECT": "my-recordings-4711"}}


def test_a_bundle_is_named_by_its_hash_and_its_plan_can_be_read_beside_it(builds):
    plan = builds.planned("one")

    assert hashlib.sha256(builds.bundle(plan).read_bytes()).hexdigest() == plan
    text = (builds.cloud / f"artefacts/plans/{plan}.txt").read_text()
    assert "1 to add" in text
    assert IMAGES["service"] in text
    kept = json.loads((builds.cloud / "artefacts/builds/one/images.auto.tfvars.json").read_text())
    assert kept == {"images": IMAGES}
    assert (builds.cloud / "artefacts/builds/one/gateway.cdx.json").exists()


def test_a_bundle_that_was_changed_is_not_unpacked(builds):
    plan, other = builds.planned("one"), builds.planned("other", service="evil@sha256:3")
    shutil.copy(builds.bundle(other), builds.bundle(plan))

    done = builds.apply("two", plan, "fetch")

    assert done.returncode != 0
    assert not (builds.folder / "two/bundle").exists()


@pytest.mark.parametrize("plan", ["", "latest", "../" + "a" * 61, "A" * 64, "a" * 63])
def test_a_plan_is_asked_for_by_a_hash_and_by_nothing_else(builds, plan):
    done = builds.apply("two", plan, "fetch")

    assert done.returncode == 1
    assert "_PLAN is the hash of a plan" in done.stderr


def test_a_plan_older_than_the_last_apply_changes_nothing(builds):
    first, second = builds.planned("one"), builds.planned("two", service="second@sha256:4")
    assert builds.apply("three", second, "fetch", "drift", "apply").returncode == 0

    done = builds.apply("four", first, "fetch", "drift", "apply")

    assert done.returncode == 1
    assert "stale" in done.stderr
    assert builds.applied() == "second@sha256:4"


def test_a_kept_object_is_never_written_again(builds):
    builds.planned("one")

    again = builds.run("cloudbuild.yaml", "keep", builds.folder / "one", _PLANS="plans")

    assert again.returncode != 0
    assert "412" in again.stderr


def test_without_a_state_images_are_kept_and_nothing_is_planned(builds):
    workspace = builds.sources("one")

    planned = builds.run("cloudbuild.yaml", "plan", workspace, _STATE="")
    kept = builds.run("cloudbuild.yaml", "keep", workspace, _STATE="", _PLANS="plans")

    assert planned.returncode == kept.returncode == 0
    assert "No plan" in planned.stdout
    assert not (builds.cloud / "artefacts/plans").exists()
    assert not (builds.cloud / "published").exists()


def test_a_plan_without_the_variables_of_the_deployment_is_refused(builds):
    workspace = builds.sources("one")
    (workspace / "terraform/terraform.tfvars").unlink()

    done = builds.run("cloudbuild.yaml", "plan", workspace)

    assert done.returncode == 1
    assert "terraform/terraform.tfvars is not in the repository" in done.stderr


# --- the commands of gcloud that scripts call -----------------------------------------------------

COMMAND = re.compile(r"gcloud ((?:[a-z][a-z-]* )+)([^|;)\n]*(?:\\\n[^|;)\n]*)*)")


def known_to_gcloud():
    """Google's own tree of commands and flags, as its SDK completes them."""
    program = shutil.which("gcloud")
    if program is None:
        pytest.skip("there is no gcloud here")
    root = Path(program).resolve().parents[1]
    tree = {}
    exec((root / "data/cli/gcloud_completions.py").read_text(), tree)
    return tree["STATIC_COMPLETION_CLI_TREE"]


def called():
    for name in ("cloudbuild.yaml", "cloudbuild.apply.yaml"):
        for step in yaml.safe_load((ROOT / name).read_text())["steps"]:
            for words, rest in COMMAND.findall(step.get("script", "")):
                flags = re.findall(r"(--[a-z-]+)", rest)
                yield pytest.param(words.split(), flags, id=f"{step['id']}-{words.strip()}")


@pytest.mark.parametrize(("words", "flags"), list(called()))
def test_gcloud_knows_the_commands_and_flags_of_scripts(words, flags):
    place = known_to_gcloud()
    everywhere = set(place["flags"])
    for word in words:
        assert word in place["commands"], word
        place = place["commands"][word]

    # A flag that is switched off is listed by its name alone.
    known = set(place["flags"]) | everywhere
    assert [f for f in flags if f not in known and f.replace("--no-", "--") not in known] == []
