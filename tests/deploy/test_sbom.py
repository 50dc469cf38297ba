"""The bill of materials names every package of an image, with its version and its hashes."""

import json
import subprocess

import pytest

from tests.deploy.dockerfile import ROOT
from tests.deploy.test_image import LISTS, versions

TOOLS = ROOT / ".venv-images/bin"


def tool(name: str) -> str:
    if not (TOOLS / name).exists():
        pytest.skip(f"{name} is not there: make env-images")
    return str(TOOLS / name)


@pytest.mark.parametrize("name", LISTS)
def test_everything_of_an_image_is_in_its_bill(name, tmp_path):
    tool("cyclonedx-py")
    done = subprocess.run(
        ["make", "--no-print-directory", "sbom", f"SBOM={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr

    bill = json.loads((tmp_path / name.replace(".txt", ".cdx.json")).read_text())

    parts = bill["components"]
    assert {(part["name"], part["version"]) for part in parts} == versions(name)
    assert all(part["purl"].startswith("pkg:pypi/") for part in parts)
    assert all(reference["hashes"] for part in parts for reference in part["externalReferences"])


def test_the_dockerfile_is_as_hadolint_wants_it():
    done = subprocess.run(
        [tool("hadolint"), "--no-color", "Dockerfile"], cwd=ROOT, capture_output=True, text=True
    )

    assert (done.returncode, done.stdout) == (0, "")
