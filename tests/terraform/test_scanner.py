"""checkov finds nothing in the plans but what we meant, each with its reason.

It reads `make env-checkov`'s environment. It does not see a public invoker of Cloud Run v2, nor
what is unknown before an apply: test_roles.py and test_options.py look at those.
"""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploy.terraform import ROOT

CHECKOV = ROOT / ".venv-checkov/bin/checkov"
#: Checks, the addresses where they may fail, and why that is meant.
MEANT = {
    "CKV2_GCP_18": (
        r".*google_compute_network\.stack",
        "Nothing listens in this network: without a rule Google lets nobody in.",
    ),
    "CKV_GCP_15": (
        r".*google_bigquery_dataset\.measurements",
        "Who may read it is said by grants, which test_roles.py weighs, and by no access block.",
    ),
    "CKV_GCP_41": (
        r"google_project_iam_member\.apply\[.*",
        "Who applies gives each workload its identity; it runs approved plans only.",
    ),
    "CKV_GCP_49": (
        r"google_project_iam_member\.(agent|apply)\[.*",
        "Google's own agents have their usual roles, and who applies makes identities.",
    ),
    "CKV_GCP_62": (
        r".*google_storage_bucket\..*",
        "Reading and writing is in the audit log (audit.tf), which says more than access logs.",
    ),
    "CKV_GCP_63": (r".*google_storage_bucket\..*", "As CKV_GCP_62: there is no log bucket."),
    "CKV_GCP_73": (
        r".*google_compute_security_policy\.edge\[0\]",
        "Nothing behind it is Java; the policy lets only named networks in.",
    ),
    "CKV_GCP_78": (
        r".*google_storage_bucket\.(archive|artefacts|audit|results|temp|uploads|weights)",
        "An old generation could outlive an erasure; soft delete ends by itself (storage.tf).",
    ),
    "CKV_GCP_80": (r".*", "Keys are `cmek`; its plan does not know the key's id yet."),
    "CKV_GCP_81": (r".*", "As CKV_GCP_80."),
    "CKV_GCP_83": (r".*", "As CKV_GCP_80."),
    "CKV_GCP_84": (r".*", "As CKV_GCP_80."),
    "CKV_GCP_121": (
        r".*google_bigquery_table\.measurements",
        "A view holds nothing; the table under it is protected.",
    ),
}
SCANNED = ("images", "everything")
#: A plan with an open bucket.
OPEN = "open"


def scanned(plans: dict[str, Path]) -> dict[str, list[tuple[str, str]]]:
    """Each failed check and where, of each plan."""
    asked = [word for plan in plans.values() for word in ("-f", str(plan))]
    how = ["--framework", "terraform_plan", "--skip-download", "-o", "json"]
    done = subprocess.run([CHECKOV, *asked, *how], capture_output=True, text=True)
    answer = json.loads(done.stdout)
    assert answer["summary"]["parsing_errors"] == 0
    failed = answer["results"]["failed_checks"]
    looked_at = {one["file_abs_path"] for one in answer["results"]["passed_checks"] + failed}
    assert looked_at == {str(plan) for plan in plans.values()}
    return {
        name: [(f["check_id"], f["resource"]) for f in failed if f["file_abs_path"] == str(plan)]
        for name, plan in plans.items()
    }


def unmeant(failed: set[tuple[str, str]]) -> set[tuple[str, str]]:
    return {
        (check, where)
        for check, where in failed
        if check not in MEANT or not re.fullmatch(MEANT[check][0], where)
    }


@pytest.fixture(scope="module")
def scans(topology, once, tmp_path_factory):
    if not CHECKOV.exists():
        pytest.skip("checkov is not here: run make env-checkov")

    def made() -> dict[str, list[tuple[str, str]]]:
        plans = {variant: topology(variant).plan for variant in SCANNED}
        opened = tmp_path_factory.mktemp("scanner") / "open.json"
        opened.write_text(json.dumps(with_open_bucket(json.loads(plans["images"].read_text()))))
        return scanned({**plans, OPEN: opened})

    return {name: {(c, w) for c, w in failed} for name, failed in once("scans", made).items()}


BUCKET = 'module.stack["home"].google_storage_bucket.uploads'


def with_open_bucket(plan: dict[str, Any]) -> dict[str, Any]:
    stack = next(
        child
        for child in plan["planned_values"]["root_module"]["child_modules"]
        if child["address"] == 'module.stack["home"]'
    )
    [bucket] = [one for one in stack["resources"] if one["address"] == BUCKET]
    bucket["values"] |= {
        "public_access_prevention": "inherited",
        "uniform_bucket_level_access": False,
    }
    return plan


@pytest.mark.parametrize("variant", SCANNED)
def test_nothing_fails_but_what_is_meant(scans, variant):
    assert unmeant(scans[variant]) == set()


def test_no_exception_is_idle(scans):
    failed = {check for variant in SCANNED for check, _ in scans[variant]}

    assert MEANT.keys() - failed == set()


def test_a_bucket_that_is_open_is_found(scans):
    assert unmeant(scans[OPEN]) == {("CKV_GCP_114", BUCKET), ("CKV_GCP_29", BUCKET)}
