"""`make check` runs Terraform's own checks where it can, and says so where it cannot."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import terraform as checks


@pytest.fixture
def unreachable(tmp_path) -> dict[str, str]:
    """No stand-in, and providers from where nobody answers."""
    nobody = 'network_mirror {\n    url = "https://127.0.0.1:1/"\n  }'
    (tmp_path / "rc").write_text(f"provider_installation {{\n  {nobody}\n}}\n")
    return {"OFFLINE_TERRAFORM": "nowhere", "TF_CLI_CONFIG_FILE": str(tmp_path / "rc")}


def run(**variables: str) -> subprocess.CompletedProcess[str]:
    told = {k: v for k, v in os.environ.items() if k != "CI"}
    return subprocess.run(
        [sys.executable, "-m", "deploy.terraform"],
        cwd=checks.ROOT,
        env={**told, **variables},
        capture_output=True,
        text=True,
    )


def left_behind() -> set[Path]:
    return set((checks.ROOT / "terraform").rglob("*"))


def test_without_terraform_they_are_left_out_and_that_is_said(tmp_path):
    done = run(PATH=str(tmp_path))

    assert done.returncode == 0
    assert done.stderr == "terraform/ was not checked: there is no terraform here.\n"


def test_without_terraform_ci_fails(tmp_path):
    assert run(PATH=str(tmp_path), CI="true").returncode == 1


def test_without_a_provider_they_are_left_out_and_that_is_said(workshop, unreachable):
    before = left_behind()

    done = run(**unreachable)

    assert left_behind() == before
    assert done.returncode == 0
    assert done.stderr.endswith("terraform/ was not checked: its provider cannot be had.\n")


def test_without_a_provider_ci_fails(workshop, unreachable):
    assert run(**unreachable, CI="true").returncode == 1


@pytest.fixture
def copy(workshop, tmp_path) -> Path:
    """With one short test instead of Terraform's own, which take a minute and a half."""
    folder = checks.lay_out(checks.ROOT, tmp_path)
    for file in (folder / "tests").glob("*.tftest.hcl"):
        file.unlink()
    (folder / "tests" / "one").mkdir()
    (folder / "tests" / "one" / "main.tf").write_text('output "said" {\n  value = "yes"\n}\n')
    (folder / "tests" / "one.tftest.hcl").write_text(ONE)
    return folder


ONE = """run "one" {
  command = plan

  module {
    source = "./tests/one"
  }

  assert {
    condition     = output.said == "yes"
    error_message = "It does not hold."
  }
}
"""


def test_what_is_right_passes(copy, capfd):
    assert checks.check(copy) == 0
    assert "1 passed, 0 failed" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ('locals {\n      wide = "indented"\n}\n', "extra.tf"),
        ("locals {\n", "extra.tf"),
        ('resource "google_pubsub_topic" "extra" {\n  nam = "extra"\n}\n', '"nam"'),
    ],
    ids=["form", "syntax", "argument"],
)
def test_what_is_wrong_fails(copy, capfd, written, said):
    (copy / "extra.tf").write_text(written)

    assert checks.check(copy) != 0
    assert said in "".join(capfd.readouterr())


def test_a_test_that_fails_is_a_failure(copy, capfd):
    (copy / "tests" / "one.tftest.hcl").write_text(ONE.replace("yes", "no"))

    assert checks.check(copy) != 0
    assert "It does not hold." in "".join(capfd.readouterr())
