"""Every package that ships has terms somebody took a look at, and the page says them all."""

import json
import platform
import sys

import pytest

from deploy import licences
from deploy.licences import LISTS, UnknownLicence, allowed, licence_of, listed

HERE = (sys.platform, platform.machine(), sys.version_info[:2])
WRITTEN_ON = ("linux", "x86_64", (3, 11))


@pytest.mark.skipif(
    HERE != WRITTEN_ON, reason="Wheels of another machine carry other libraries than the page says."
)
def test_the_page_is_what_ships():
    assert licences.PAGE.read_text(encoding="utf-8") == licences.page(), (
        "docs/licences.md is old: run python -m deploy.licences"
    )


@pytest.mark.parametrize("file", LISTS.values())
def test_every_package_has_terms_that_are_allowed(file):
    terms = {name: licence_of(name, version) for name, version in listed(file)}

    assert terms
    assert {name: said for name, said in terms.items() if not allowed(said)} == {}


def test_what_stands_by_hand_ships():
    ships = {name for file in LISTS.values() for name, _ in listed(file)}

    assert set(licences.by_hand("packages")) - ships == set()


def test_a_package_without_a_licence_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(licences, "BY_HAND", tmp_path / "licences.json")
    (tmp_path / "licences.json").write_text(json.dumps({"packages": {}, "libraries": {}}))

    with pytest.raises(UnknownLicence, match=r"nvidia-cublas-cu12 12\.8"):
        licence_of("nvidia-cublas-cu12", "12.8")


def test_a_library_inside_a_wheel_that_nobody_looked_at_is_named(tmp_path, monkeypatch):
    known = json.loads(licences.BY_HAND.read_text())
    del known["libraries"]["libcrc32c"]
    monkeypatch.setattr(licences, "BY_HAND", tmp_path / "licences.json")
    (tmp_path / "licences.json").write_text(json.dumps(known))

    with pytest.raises(UnknownLicence, match="libcrc32c of google-crc32c"):
        licences.libraries()


@pytest.mark.parametrize(
    ("expression", "fine"),
    [
        ("MIT", True),
        ("AGPL-3.0-only", False),
        ("MIT AND AGPL-3.0-only", False),
        ("MIT OR AGPL-3.0-only", True),
        ("Apache-2.0 AND BSD-2-Clause", True),
        ("", False),
    ],
)
def test_all_of_and_one_of(expression, fine):
    assert allowed(expression) is fine


def test_packages_for_other_machines_are_not_said_to_ship():
    assert "colorama" not in {name for name, _ in listed("service.txt")}
    assert [name for name, _ in listed("service.txt")].count("numpy") == 1
