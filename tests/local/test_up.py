"""What `up` decides before and while everything runs."""

import threading
from dataclasses import replace

import pytest

from local.bell import Bell
from local.cli.up import _fall_together, _hear_sample, inbox_of
from shared.errors import DiskFull
from shared.settings import default_home, load
from shared.wiring import parts
from tests.local.receiver import PATIENCE_S


@pytest.fixture
def hook():
    before = threading.excepthook
    yield
    threading.excepthook = before


def test_thread_that_dies_of_something_unknown_ends_everything(hook):
    stopped = Bell()
    trouble = _fall_together(stopped)

    def die():
        raise ZeroDivisionError("odd")

    threading.Thread(target=die).start()

    assert stopped.wait(PATIENCE_S)
    assert [str(t) for t in trouble] == ["odd"]


@pytest.mark.parametrize(
    ("checkout", "own_home", "beside"),
    [(True, True, True), (True, False, False), (False, True, False)],
    ids=["checkout", "checkout, other HOME", "elsewhere"],
)
def test_inbox_lies_beside_a_checkouts_own_home_only(
    tmp_path, monkeypatch, checkout, own_home, beside
):
    monkeypatch.chdir(tmp_path)
    if checkout:
        (tmp_path / "local" / "cli").mkdir(parents=True)
        (tmp_path / "pyproject.toml").touch()
    home = default_home() if own_home else tmp_path / "other"

    found = inbox_of(load(home=home))

    assert found == (tmp_path / "inbox" if beside else home.resolve() / "inbox")


class FullDisk:
    def put(self, name, content, **_):
        raise DiskFull


def test_a_full_disk_leaves_the_sample_out_and_the_start_goes_on(tmp_path, capsys):
    opened = replace(parts(load(home=tmp_path)), inlet=FullDisk())

    _hear_sample(opened, Bell())

    assert "The sample was left out: The disk is full." in capsys.readouterr().err
