"""What stops an image, and what does not."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from google.protobuf.json_format import ParseDict
from grafeas.grafeas_v1.types import Occurrence

from deploy import vulnerabilities
from deploy.vulnerabilities import EXCEPTIONS, Leave, UnreadableReport, decide, findings, leaves

TODAY = date(2026, 11, 21)
REPORT = json.loads(Path(__file__).with_name("vulnerabilities.json").read_text())
OPENSSL = "CVE-2026-10001"


def found(**changes):
    """A report of one grave flaw that is mended, but for the changes."""
    issue = {
        "affectedPackage": "openssl",
        "affectedVersion": {"name": "3.0.15", "revision": "1", "fullName": "3.0.15-1"},
        "fixedVersion": {"kind": "NORMAL", "fullName": "3.0.16-1"},
        "fixAvailable": True,
        "effectiveSeverity": "HIGH",
        **changes,
    }
    flaw = {"shortDescription": OPENSSL, "severity": "HIGH", "packageIssue": [issue]}
    return [{"kind": "VULNERABILITY", "vulnerability": flaw}]


def blocking(report, *excused):
    return [f.flaw for f in decide(findings(report), excused, TODAY).blocking]


def test_the_recorded_report_has_googles_form():
    for occurrence in REPORT:
        ParseDict(occurrence, Occurrence.pb()(), ignore_unknown_fields=False)


def test_of_the_recorded_report_only_what_is_grave_and_mended_stops_it():
    decision = decide(findings(REPORT), (), TODAY)

    assert [f.flaw for f in decision.blocking] == [OPENSSL, "CVE-2026-10002"]
    assert [f.flaw for f in decision.unmended] == ["CVE-2026-10003"]


@pytest.mark.parametrize("severity", ["CRITICAL", "HIGH"])
def test_what_is_grave_and_mended_stops_it(severity):
    assert blocking(found(effectiveSeverity=severity)) == [OPENSSL]


@pytest.mark.parametrize("severity", ["MEDIUM", "LOW", "MINIMAL"])
def test_what_is_not_grave_does_not(severity):
    assert blocking(found(effectiveSeverity=severity)) == []


def test_what_nobody_has_mended_does_not():
    assert blocking(found(fixedVersion={"kind": "MAXIMUM"}, fixAvailable=False)) == []
    assert blocking(found(fixedVersion={}, fixAvailable=False)) == []


def test_a_fix_without_a_version_is_a_fix():
    assert blocking(found(fixedVersion={}, fixAvailable=True)) == [OPENSSL]


def test_the_distributions_judgement_goes_before_the_discoverers():
    assert blocking(found(effectiveSeverity="LOW")) == []


def test_where_the_distribution_has_none_the_discoverers_counts():
    assert blocking(found(effectiveSeverity="SEVERITY_UNSPECIFIED")) == [OPENSSL]


def leave(flaw=OPENSSL, package="openssl", until=TODAY):
    return Leave(flaw, package, "The affected function is never called.", until)


def test_an_exception_holds_through_its_last_day():
    assert blocking(found(), leave(until=TODAY)) == []
    assert blocking(found(), leave(until=TODAY - timedelta(days=1))) == [OPENSSL]


def test_an_exception_is_for_one_flaw_in_one_package():
    assert blocking(found(), leave(flaw="CVE-2026-10002")) == [OPENSSL]
    assert blocking(found(), leave(package="libssl3")) == [OPENSSL]


@pytest.mark.parametrize(
    "report",
    [{}, None, [{"kind": "VULNERABILITY"}], [{"vulnerability": {"packageIssue": [{}]}}], ["text"]],
    ids=["an object", "nothing", "no vulnerability", "no package", "no occurrence"],
)
def test_another_report_is_not_taken_for_a_clean_one(report):
    with pytest.raises(UnreadableReport):
        findings(report)


@pytest.mark.parametrize(
    "text",
    [
        "no JSON",
        '[{"flaw": "CVE-1", "package": "p", "reason": "r"}]',
        '[{"flaw": "CVE-1", "package": "p", "reason": "r", "until": "soon"}]',
        '[{"flaw": "CVE-1", "package": "p", "reason": " ", "until": "2026-12-01"}]',
        '[{"flaw": "CVE-1", "package": "p", "reason": "r", "until": "2026-12-01", "by": "me"}]',
    ],
    ids=["no JSON", "no end", "an end that is no day", "no reason", "something else"],
)
def test_an_exception_without_reason_or_end_is_none(text):
    with pytest.raises(UnreadableReport):
        leaves(text)


def test_the_exceptions_of_this_house_can_be_read():
    assert all(one.reason for one in leaves(EXCEPTIONS.read_text()))


@pytest.fixture
def report(tmp_path):
    def write(content):
        path = tmp_path / "service.json"
        path.write_text(json.dumps(content))
        return str(path)

    return write


def test_it_says_what_stops_an_image_and_what_to_do(report, capsys):
    assert vulnerabilities.main([report(REPORT)], TODAY) == 1

    said = capsys.readouterr().out
    assert f"service.json: {OPENSSL} (critical) in openssl 3.0.15-1~deb12u1, mended in" in said
    assert "CVE-2026-10003 (high) in zlib1g 1:1.2.13.dfsg-1, not mended: nothing to be done" in said
    assert "take the newer packages" in said


def test_a_clean_image_passes(report):
    assert vulnerabilities.main([report([])], TODAY) == 0


def test_one_bad_image_of_two_stops_both(report, tmp_path):
    clean = tmp_path / "gateway.json"
    clean.write_text("[]")

    assert vulnerabilities.main([str(clean), report(found())], TODAY) == 1


def test_nothing_is_decided_without_a_report(tmp_path, capsys):
    assert vulnerabilities.main([str(tmp_path / "none.json")], TODAY) == 2
    assert "Nothing was decided" in capsys.readouterr().err
