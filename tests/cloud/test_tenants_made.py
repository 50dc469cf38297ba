"""docs/deploy.md: who may drop recordings in the cloud is said with the command line."""

from click.testing import CliRunner

from local.cli import cli
from shared import wiring
from shared.domain.states import State
from shared.errors import UnknownTenant
from tests.sounds import tone_wav


def test_a_drop_is_refused_until_its_tenant_was_made(cloud, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    intake = wiring.intake(cloud.parts)
    before = intake(cloud.drop(tone_wav(1), "uploads/newcomer/one.wav"))

    made = CliRunner().invoke(cli, ["tenants", "set", "newcomer", "--tier", "pro"])
    after = intake(cloud.drop(tone_wav(1), "uploads/newcomer/two.wav"))

    assert (before.state, before.error.code) == (State.REJECTED, UnknownTenant.code)
    assert (made.exit_code, made.stderr[:13]) == (0, "newcomer: pro")
    assert after.error is None
    assert "newcomer" in CliRunner().invoke(cli, ["tenants", "ls"]).stdout
