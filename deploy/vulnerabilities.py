"""Whether an image may be deployed, by what a scan found in it: `python -m deploy.vulnerabilities`.

It may not if something grave is known of it that somebody has mended already: then a newer package
is the answer. What cannot be mended yet is printed and let through. An exception stands in
deploy/vulnerabilities.json with its reason and the day it ends.

The report is what `gcloud artifacts docker images list-vulnerabilities SCAN --format=json` prints:
a list of Grafeas occurrences. Source: https://grafeas.io, v1, VulnerabilityOccurrence.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

#: How grave is too grave. The distribution's own judgement where it has one: `effectiveSeverity`.
GRAVE = ("CRITICAL", "HIGH")
UNRATED = "SEVERITY_UNSPECIFIED"
EXCEPTIONS = Path(__file__).with_suffix(".json")


class UnreadableReport(Exception):
    """The report or the exceptions are not what they should be; nothing was decided."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One flaw in one package of an image."""

    flaw: str  #: CVE-2026-1234
    package: str
    severity: str
    version: str
    mended_in: str  #: a version, or empty: nobody has mended it

    def __str__(self) -> str:
        there = f"{self.flaw} ({self.severity.lower()}) in {self.package} {self.version}"
        return f"{there}, mended in {self.mended_in}" if self.mended_in else f"{there}, not mended"


@dataclass(frozen=True, slots=True)
class Leave:
    """A flaw that somebody decided to live with, until a day."""

    flaw: str
    package: str
    reason: str
    until: date

    def covers(self, finding: Finding, today: date) -> bool:
        known = (self.flaw, self.package) == (finding.flaw, finding.package)
        return known and today <= self.until


@dataclass(frozen=True, slots=True)
class Decision:
    blocking: tuple[Finding, ...]
    excused: tuple[Finding, ...]
    unmended: tuple[Finding, ...]  #: grave, and nothing to be done yet


def decide(findings: Iterable[Finding], leaves: Sequence[Leave], today: date) -> Decision:
    """What of the grave ones stops the deployment. The last day of a leave still counts."""
    grave = [f for f in findings if f.severity in GRAVE]
    excused = [f for f in grave if any(leave.covers(f, today) for leave in leaves)]
    rest = [f for f in grave if f not in excused]
    return Decision(
        blocking=tuple(f for f in rest if f.mended_in),
        excused=tuple(excused),
        unmended=tuple(f for f in rest if not f.mended_in),
    )


def findings(report: Any) -> list[Finding]:
    """Every package with every flaw in it, each once.

    Raises:
        UnreadableReport: it is no list of vulnerability occurrences.
    """
    if not isinstance(report, list):
        raise UnreadableReport("The report is no list of occurrences.")
    try:
        found = [f for occurrence in report for f in _in(occurrence["vulnerability"])]
    except (KeyError, TypeError, AttributeError) as error:
        raise UnreadableReport(f"An occurrence of the report lacks {error}.") from error
    return list(dict.fromkeys(found))


def _in(vulnerability: Mapping[str, Any]) -> Iterable[Finding]:
    for issue in vulnerability["packageIssue"]:
        yield Finding(
            flaw=vulnerability["shortDescription"],
            package=issue["affectedPackage"],
            severity=_severity(vulnerability, issue),
            version=_spelt(issue.get("affectedVersion", {})),
            mended_in=_mended(issue),
        )


def _severity(vulnerability: Mapping[str, Any], issue: Mapping[str, Any]) -> str:
    """The distribution's judgement of its package, else of the flaw, else its discoverer's."""
    said = (
        issue.get("effectiveSeverity"),
        vulnerability.get("effectiveSeverity"),
        vulnerability.get("severity"),
    )
    return next((one for one in said if one and one != UNRATED), UNRATED)


def _mended(issue: Mapping[str, Any]) -> str:
    """The version it is mended in. MAXIMUM is Grafeas' word for: in none there is."""
    fixed = issue.get("fixedVersion", {})
    if fixed.get("kind") == "MAXIMUM" or not (fixed or issue.get("fixAvailable")):
        return ""
    return _spelt(fixed) or "a newer version"


def _spelt(version: Mapping[str, Any]) -> str:
    if said := version.get("fullName"):
        return str(said)
    epoch, name, revision = (str(version.get(k, "")) for k in ("epoch", "name", "revision"))
    return f"{epoch}:" * (epoch not in ("", "0")) + name + f"-{revision}" * bool(revision)


def leaves(text: str) -> list[Leave]:
    """The exceptions, as the file has them.

    Raises:
        UnreadableReport: one lacks its flaw, its package, its reason or the day it ends.
    """
    try:
        read = [Leave(**{**one, "until": _day(one["until"])}) for one in json.loads(text)]
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableReport(f"{EXCEPTIONS.name} cannot be read: {error}.") from error
    for one in read:
        if not one.reason.strip():
            raise UnreadableReport(f"{EXCEPTIONS.name}: {one.flaw} has no reason.")
    return read


def _day(text: str) -> date:
    return date.fromisoformat(text)


def read(path: Path) -> list[Finding]:
    try:
        return findings(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UnreadableReport(f"{path} cannot be read: {error}.") from error


def main(arguments: Sequence[str], today: date) -> int:
    """0: it may be deployed; 1: it may not; 2: that could not be told."""
    parser = argparse.ArgumentParser(prog="deploy.vulnerabilities", description=__doc__)
    parser.add_argument("report", nargs="+", type=Path, help="what a scan of one image found")
    parser.add_argument("--except", dest="exceptions", type=Path, default=EXCEPTIONS)
    asked = parser.parse_args(arguments)
    try:
        excused = leaves(asked.exceptions.read_text(encoding="utf-8"))
        decisions = {path: decide(read(path), excused, today) for path in asked.report}
    except (OSError, UnreadableReport) as error:
        print(f"Nothing was decided: {error}", file=sys.stderr)
        return 2
    for path, decision in decisions.items():
        _tell(path, decision)
    return 1 if any(decision.blocking for decision in decisions.values()) else 0


def _tell(path: Path, decision: Decision) -> None:
    told = (("stops it", decision.blocking), ("excused", decision.excused))
    for word, some in (*told, ("nothing to be done yet", decision.unmended)):
        for finding in some:
            print(f"{path.name}: {finding}: {word}")
    if decision.blocking:
        print(f"{path.name}: take the newer packages, or say why not in deploy/{EXCEPTIONS.name}.")
    else:
        print(f"{path.name}: nothing grave that is mended elsewhere.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], datetime.now(UTC).date()))
