"""What every test leans on, and the rule that nothing is skipped in silence."""

import os

import pytest

from tests.emulators import (  # noqa: F401  # here, so that each is started once for all tests
    bigquery_emulator,
    firestore_emulator,
    pubsub_emulator,
    storage_emulator,
)
from tests.functions.deployment import deployed  # noqa: F401  # so too: it takes half a minute

ALLOWED_SKIPS = ("gpu",)


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
