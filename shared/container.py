"""One process in a container: where it listens, how it ends, what it says of wrong settings."""

import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from shared import logs
from shared.errors import EarwitnessError
from shared.settings import Settings, load

log = logging.getLogger("earwitness.container")

#: Cloud Run says the port in PORT. Source: Cloud Run, "Container runtime contract".
PORT = "8080"


def run(serve: Callable[[Settings, str, int], None]) -> None:
    """Serve on every address until SIGTERM, then exit with 0; wrong settings exit with 1."""
    # The first process of a container has no default for it: unhandled, it would be ignored. The
    # server takes it over while it serves, and hands it on to this once it has stopped.
    signal.signal(signal.SIGTERM, _leave)
    logs.set_up()
    try:
        serve(load(), "0.0.0.0", int(os.environ.get("PORT", PORT)))  # noqa: S104  # IAM is before it
    except EarwitnessError as error:
        log.critical("%s", error)
        sys.exit(1)


def _leave(*_: Any) -> None:
    sys.exit(0)
