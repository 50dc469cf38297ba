"""What Terraform itself says of terraform/: `python -m deploy.terraform`; `make check` runs it.

Everything happens on a copy, so that nothing is left behind in terraform/. The provider is the
offline stand-in where one lies beside the project, else Google's where the registry answers. Where
neither is to be had the checks are left out, and that is said; with CI=true it is a failure.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy import archive, entry_points

ROOT = entry_points.ROOT
#: Runs a command with the provider answered from its published schema: no cloud, no network.
STAND_IN = ROOT / os.environ.get("OFFLINE_TERRAFORM", "../shared/tf/offline-terraform")
#: What the files of terraform/ read outside of it, besides the archive.
READ = ("functions", "shared")
#: What Terraform itself writes.
WRITTEN = shutil.ignore_patterns(".terraform*", "*.tfstate*")

FORM = ["terraform", "fmt", "-check", "-diff", "-recursive"]
INIT = ["terraform", "init", "-backend=false", "-input=false", "-no-color"]
REST = "terraform validate && terraform test"
#: What init says where the registry does not answer.
UNREACHED = "Failed to query available provider packages"


def lay_out(root: Path, folder: Path) -> Path:
    """A copy of terraform/ in `folder`, beside what it reads; the archive is built there."""
    shutil.copytree(root / "terraform", folder / "terraform", ignore=WRITTEN)
    for room in READ:
        (folder / room).symlink_to(root / room, target_is_directory=True)
    archive.build(root, folder / archive.TARGET)
    return folder / "terraform"


def missing() -> str:
    """Why nothing can be checked here; empty if it can."""
    return "" if shutil.which("terraform") else "there is no terraform here"


def check(copy: Path) -> int:
    provider = [str(STAND_IN)] if STAND_IN.exists() else []
    if wrong := subprocess.call(FORM, cwd=copy):
        return wrong
    made = subprocess.run([*provider, *INIT], check=False, cwd=copy, capture_output=True, text=True)
    if made.returncode:
        print(made.stdout + made.stderr, file=sys.stderr)
        return left_out("its provider cannot be had") if UNREACHED in made.stderr else 1
    return subprocess.call([*provider, "sh", "-c", REST], cwd=copy)


def left_out(why: str) -> int:
    print(f"terraform/ was not checked: {why}.", file=sys.stderr)
    return int(os.environ.get("CI") == "true")


def main() -> int:
    if why := missing():
        return left_out(why)
    with tempfile.TemporaryDirectory() as folder:
        return check(lay_out(ROOT, Path(folder)))


if __name__ == "__main__":
    sys.exit(main())
