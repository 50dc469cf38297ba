"""`earwitness erase` and `receipt`: what they do, say and exit with."""

import json

import pytest
from click.testing import CliRunner

from local.cli import cli
from shared import wiring
from shared.adapters.embedded.home_signer import HomeSigner
from shared.domain.recording import Hold
from shared.domain.states import State
from shared.domain.tenants import Tier
from shared.settings import Settings
from tests.builders import NOW
from tests.flows.erasing import CANARIES, WHO, filled, found_in, parts_in


@pytest.fixture
def parts(tmp_path):
    return parts_in(tmp_path)


@pytest.fixture
def run(parts):
    def run(*args):
        return CliRunner().invoke(cli, [*args, "--home", str(parts.settings.home)])

    return run


@pytest.fixture
def receipt(parts, run, tmp_path_factory):
    """A receipt in a file outside of HOME."""
    id = filled(parts)
    run("erase", id)
    path = tmp_path_factory.mktemp("receipts") / "receipt.json"
    path.write_text(run("receipt", "show", id).stdout)
    return path


def test_erasing_says_where_the_receipt_is_and_leaves_nothing(parts, run):
    id = filled(parts)

    done = run("erase", id)

    assert (done.exit_code, done.stdout) == (0, "")
    assert f"{id} is erased" in done.stderr
    assert found_in(parts.settings.home) == set()
    assert run("show", id).exit_code == 3


def test_as_json_it_is_one_document(parts, run):
    id = filled(parts)

    [told] = json.loads(run("erase", id, "--json").stdout)["erasures"]

    assert (told["recording_id"], told["state"]) == (id, "done")
    assert told["receipt"]["recording_id"] == id


def test_what_is_held_waits(parts, run):
    id = filled(parts)
    parts.retention.hold(id, Hold("court", "cli", NOW))

    asked = run("erase", id)

    assert "under hold" in asked.stderr
    assert parts.recordings.get(id).state is State.DONE
    assert run("receipt", "show", id).exit_code == 3
    assert "is released; it is erased now" in run("release", id).stderr


def test_by_subject(parts, run):
    id = filled(parts)

    run("erase", "--subject", CANARIES["subject"], "--tenant", WHO)

    assert parts.recordings.get(id).state is State.ERASED


def test_a_whole_tenant_is_asked_about_first(parts, run):
    id = filled(parts)

    refused = run("erase", "--tenant", WHO)
    kept = parts.recordings.get(id).state
    done = run("erase", "--tenant", WHO, "--yes")

    assert (refused.exit_code, kept) == (1, State.DONE)
    assert done.exit_code == 0
    assert parts.tenants.get(WHO) is None
    assert found_in(parts.settings.home) == set()


@pytest.mark.parametrize("args", [[], ["some-id", "--tenant", "acme"]], ids=["nothing", "both"])
def test_it_wants_to_know_what(run, args):
    assert run("erase", *args).exit_code == 2


def test_a_receipt_is_verified_offline(run, receipt):
    verified = run("receipt", "verify", str(receipt))

    assert verified.exit_code == 0
    assert "Genuine" in verified.stderr


def test_a_receipt_that_was_changed_is_told(run, receipt):
    said = json.loads(receipt.read_text())
    receipt.write_text(json.dumps(said | {"erased_at": "2020-01-01T00:00:00+00:00"}))

    assert run("receipt", "verify", str(receipt)).exit_code == 1


def test_a_receipt_of_an_unknown_key_is_told(receipt, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    args = ["receipt", "verify", str(receipt), "--home", str(elsewhere)]

    assert CliRunner().invoke(cli, args).exit_code == 3
    assert list(elsewhere.iterdir()) == []


def test_the_key_inside_a_receipt_is_not_believed(receipt, tmp_path, run):
    """A forger brings a key of its own."""
    forger = HomeSigner(tmp_path / "forger")
    said = json.loads(receipt.read_text())
    forged = said | {"key_id": forger.key_id, "public_key": forger.public_key().decode()}
    receipt.write_text(json.dumps(forged))

    assert run("receipt", "verify", str(receipt)).exit_code == 1


def test_another_key_can_be_believed(receipt, parts, tmp_path):
    pem = tmp_path / "testimony.pem"
    pem.write_bytes(HomeSigner(parts.settings.home / "keys").public_key())
    args = ["receipt", "verify", str(receipt), "--key", str(pem), "--home", str(tmp_path / "none")]

    assert CliRunner().invoke(cli, args).exit_code == 0


def test_what_is_no_receipt_is_wrong_usage(run, tmp_path):
    other = tmp_path / "other.json"
    other.write_text("{}")

    assert run("receipt", "verify", str(other)).exit_code == 2


def test_a_tenant_that_was_erased_is_not_made_anew_by_starting(parts, run):
    """The first run makes `demo`; a later one finds that it was erased."""
    run("erase", "--tenant", "demo", "--yes")

    again = wiring.parts(Settings(home=parts.settings.home))

    assert again.tenants.get("demo") is None
    assert not again.tenants.ensure("demo", Tier.ENTERPRISE, NOW)


def test_where_no_backup_was_put_back_nothing_is_erased_again(parts, run):
    id = filled(parts)
    run("erase", id)

    again = run("erase", "--restored")

    assert (again.exit_code, again.stdout) == (0, "")
    assert "0 came back" in again.stderr


@pytest.mark.parametrize("more", [("some-id",), ("--tenant", "acme"), ("--subject", "anna")])
def test_what_was_restored_is_erased_by_itself(run, more):
    assert run("erase", "--restored", *more).exit_code == 2
