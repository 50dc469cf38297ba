"""Print how much of the code the tests reach; fail below EARWITNESS_COVERAGE_FLOOR percent.

Lines and branches are counted apart: a high share of one must not hide a low one of the other.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        coverage = [sys.executable, "-m", "coverage"]
        subprocess.run([*coverage, "json", "-q", "-o", str(report)], check=True)
        files = json.loads(report.read_text())
    subprocess.run([*coverage, "report", "--sort=cover"], check=True)
    totals = files["totals"]
    lines = 100 * totals["covered_lines"] / totals["num_statements"]
    branches = 100 * totals["covered_branches"] / max(totals["num_branches"], 1)
    floor = float(os.environ.get("EARWITNESS_COVERAGE_FLOOR", "0"))
    print(f"coverage: {lines:.1f} % of lines, {branches:.1f} % of branches")
    if min(lines, branches) <= floor < 100 and floor:
        print(f"coverage is not above {floor:.0f} %; test what the report names")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
