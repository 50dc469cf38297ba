"""export -> one file -> import: as people type it."""

import json
import zipfile

import pytest
from click.testing import CliRunner

from local.cli import cli, exits
from shared import wiring
from shared.domain.tenants import Tier
from shared.domain.ulids import ENTROPY_BYTES
from shared.flows.export_plans import ExportPlans
from shared.settings import load
from tests.builders import NOW
from tests.gateway.testimony import Filled


@pytest.fixture
def parts(tmp_path):
    return wiring.parts(load(home=tmp_path / "home"))


@pytest.fixture
def store(parts):
    made = Filled(parts)
    parts.tenants.ensure("acme", Tier.PRO, NOW)
    made.done("talk.wav", tenant="acme")
    made.dead(tenant="acme")
    return made


@pytest.fixture
def earwitness(tmp_path, store, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*words, home="home"):
        return CliRunner().invoke(cli, [*map(str, words), "--home", str(tmp_path / home)])

    return run


def test_what_is_exported_is_listed_alike_where_it_is_imported(earwitness, tmp_path):
    done = earwitness("export", "--tenant", "acme", "--originals")
    assert done.exit_code == exits.DONE, done.output

    back = earwitness("import", "earwitness-acme.zip", home="other")

    assert back.exit_code == exits.DONE, back.output
    assert "2 recordings of acme" in back.stderr
    for words in (("ls", "--json"), ("find", "dog bark"), ("dead", "ls", "--json")):
        assert earwitness(*words, home="other").stdout == earwitness(*words).stdout


def test_the_file_is_for_its_owner_alone_and_nothing_is_left_beside_it(earwitness, tmp_path):
    earwitness("export", "--tenant", "acme", "-o", "all.zip")

    assert (tmp_path / "all.zip").stat().st_mode & 0o777 == 0o600
    assert sorted(one.name for one in tmp_path.iterdir()) == ["all.zip", "home"]
    assert not any(one.is_file() for one in (tmp_path / "home" / "tmp").rglob("*"))


def test_it_says_as_json_what_it_wrote(earwitness, tmp_path):
    said = json.loads(earwitness("export", "--tenant", "acme", "-o", "a.zip", "--json").stdout)

    assert said["recordings"] == 2
    assert said["size_bytes"] == (tmp_path / "a.zip").stat().st_size


def test_to_stdout_goes_the_archive_and_nothing_else(earwitness, tmp_path):
    done = earwitness("export", "--tenant", "acme", "-o", "-")

    (tmp_path / "piped.zip").write_bytes(done.stdout_bytes)
    assert zipfile.ZipFile(tmp_path / "piped.zip").testzip() is None
    assert "2 recordings" in done.stderr


def test_a_file_that_is_there_stays(earwitness, tmp_path):
    (tmp_path / "mine.zip").write_bytes(b"mine")

    assert earwitness("export", "--tenant", "acme", "-o", "mine.zip").exit_code == exits.USAGE
    assert (tmp_path / "mine.zip").read_bytes() == b"mine"


def broken_off(parts, folder, file, originals=False):
    """What an export to `file` leaves that was killed after 1,000 bytes."""
    plan = wiring.plan_export(parts)
    asked = plan.begin("acme", originals, bytes(ENTROPY_BYTES))
    while (index := plan.go_on(asked)) is None:
        pass
    whole = b"".join(wiring.zipped(parts, asked, index).read(0, index.size_bytes))
    (folder / f".{file}.{asked.id}.part").write_bytes(whole[:1_000])
    return whole


def test_what_broke_off_goes_on_where_it_stopped(parts, earwitness, tmp_path):
    whole = broken_off(parts, tmp_path, "a.zip")
    Filled(parts).done("later.wav", tenant="acme")

    done = earwitness("export", "--tenant", "acme", "-o", "a.zip")

    assert "Going on" in done.stderr
    assert (tmp_path / "a.zip").read_bytes() == whole
    assert list(tmp_path.glob(".*.part")) == []


def test_what_broke_off_of_another_export_is_left_alone(parts, earwitness, tmp_path):
    broken_off(parts, tmp_path, "a.zip", originals=True)

    done = earwitness("export", "--tenant", "acme", "-o", "a.zip")

    assert "Going on" not in done.stderr
    assert zipfile.ZipFile(tmp_path / "a.zip").testzip() is None


def test_what_broke_off_and_is_over_begins_anew(parts, earwitness, tmp_path):
    broken_off(parts, tmp_path, "a.zip")
    ExportPlans(parts.temporary).withdraw("acme")

    done = earwitness("export", "--tenant", "acme", "-o", "a.zip")

    assert done.exit_code == exits.DONE
    assert "Going on" not in done.stderr
    assert zipfile.ZipFile(tmp_path / "a.zip").testzip() is None
    assert list(tmp_path.glob(".*.part")) == []


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("export",), exits.USAGE),
        (("export", "--tenant", "nobody"), exits.REJECTED),
        (("import", "nowhere.zip"), exits.USAGE),
    ],
)
def test_what_cannot_be_done_is_said(earwitness, words, status):
    done = earwitness(*words)

    assert done.exit_code == status
    assert done.stderr


def test_a_file_that_is_no_export_is_refused(earwitness, tmp_path):
    (tmp_path / "note.txt").write_text("hello")

    done = earwitness("import", "note.txt", home="other")

    assert done.exit_code == exits.REJECTED
    assert "zip" in done.stderr


def test_another_name_may_be_given(earwitness):
    earwitness("export", "--tenant", "acme")

    done = earwitness("import", "earwitness-acme.zip", "--tenant", "acme-copy", "--json")

    assert json.loads(done.stdout)["tenant"] == "acme-copy"
    assert "acme-copy" in earwitness("ls", "--tenant", "acme-copy").stdout
