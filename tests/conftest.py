"""What every test leans on, and the rule that nothing is skipped in silence."""

import os

import pytest
from hypothesis import settings

from tests.emulators import (  # noqa: F401  # here, so that each is started once for all tests
    bigquery_emulator,
    firestore_emulator,
    pubsub_emulator,
    storage_emulator,
)
from tests.functions.deployment import deployed  # noqa: F401  # so too: it takes half a minute

#: Seconds after which a slow test hangs; nothing is judged by it.
HANGS_S = 3_600
ALLOWED_SKIPS = ("gpu",)
# No test fails on a clock, not even on a busy machine.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
# As `shared.wiring.google`: else a client of Cloud Storage asks for its bucket, too, in a thread.
os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
#: Where Google's emulators are leaned on without naming their fixtures.
EMULATED = ("/cloud/", "/contracts/", "test_emulated.py", "test_emulators.py")


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in a hook of its own
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deal the tests to processes (`pytest -n 2 --dist loadgroup`): a file to one of them.

    Whatever leans on an emulator goes to the same one, so that each is started once; the
    longest goes first, then what takes minutes, and what takes milliseconds last, so that no
    process is left with much at the end. xdist would deal the files with most tests first, and
    the journeys, few and long, last: hence `--no-loadscope-reorder` in the Makefile.
    """
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(HANGS_S))
    items.sort(key=_urgency)


def _group(item: pytest.Item) -> str:
    path = item.path.as_posix()
    names = getattr(item, "fixturenames", ())
    leans = any(name == "deployed" or name.endswith("_emulator") for name in names)
    return "emulators" if leans or any(part in path for part in EMULATED) else path


def _urgency(item: pytest.Item) -> tuple[bool, bool, bool]:
    path = item.path.as_posix()
    return _group(item) != "emulators", "/journeys/" not in path, "/domain/" in path


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in _forbidden(terminalreporter):
        terminalreporter.write_line(f"skipped under CI: {report.nodeid}: {report.longrepr}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With CI=true a skip is a failure: there, everything a test needs must be installed."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus == 0 and reporter is not None and _forbidden(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _forbidden(reporter: pytest.TerminalReporter) -> list[pytest.TestReport]:
    if os.environ.get("CI") != "true":
        return []
    skipped = reporter.stats.get("skipped", [])
    return [r for r in skipped if not any(mark in r.keywords for mark in ALLOWED_SKIPS)]
