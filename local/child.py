"""`python -m local.child functions|service|gateway --port N`: one of the three processes."""

import argparse
import importlib.util
import json
import logging
import signal
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local import lifeline
from local.child_log import write_lines
from local.supervisor import SETTLED
from shared.errors import EarwitnessError
from shared.settings import load

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger("earwitness.child")

HOST = "127.0.0.1"
#: As many events as `local/storage_events.py` (8) and `local/announcements.py` (4) have on their
#: way, one for letters, and one for each function that listens to ticks.
FUNCTION_THREADS = 18


def functions(port: int) -> None:
    """All functions in one functions-framework process, each under its name."""
    import waitress

    app = mounted(applications())
    _raise_at_sigterm()
    waitress.serve(app, host=HOST, port=port, threads=FUNCTION_THREADS, ident=None)


def applications() -> dict[str, "WSGIApplication"]:
    """Path -> the framework's app of that function."""
    source = str(_archive() / "main.py")
    return {f"/{name}": _framework_app(name, source) for name in entry_points()}


def entry_points() -> tuple[str, ...]:
    """The functions that local/ rings, from the one list; terraform deploys them one by one."""
    return tuple(json.loads((_archive() / "functions.json").read_text(encoding="utf-8")))


def _framework_app(name: str, source: str) -> "WSGIApplication":
    from functions_framework import create_app

    app: WSGIApplication = create_app(name, source, "cloudevent")  # type: ignore[no-untyped-call]
    return app


def _archive() -> Path:
    spec = importlib.util.find_spec("functions")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def mounted(apps: dict[str, "WSGIApplication"]) -> "WSGIApplication":
    """Each app below its path. `/name` counts as `/name/`: the framework would answer 308,
    which a push takes for a refusal."""
    from werkzeug.middleware.dispatcher import DispatcherMiddleware

    inner = DispatcherMiddleware(_nothing_here, apps)

    def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if environ["PATH_INFO"] in apps:
            environ["PATH_INFO"] += "/"
        return inner(environ, start_response)

    return app


def _nothing_here(environ: "WSGIEnvironment", start: "StartResponse") -> Iterable[bytes]:
    start("404 Not Found", [("content-length", "0")])
    return [b""]


def _raise_at_sigterm() -> None:
    """waitress knows SystemExit: it answers what runs and leaves."""

    def leave(*_: Any) -> None:
        sys.exit(0)

    signal.signal(signal.SIGTERM, leave)


def service(port: int) -> None:
    settings = load()  # before the heavy imports: wrong settings are said at once
    from gpu_service.main import serve

    serve(settings, HOST, port)


def gateway(port: int) -> None:
    settings = load()  # before the heavy imports: wrong settings are said at once
    from gateway.main import serve

    serve(settings, HOST, port)


PARTS: dict[str, Callable[[int], None]] = {
    "functions": functions,
    "service": service,
    "gateway": gateway,
}


def main() -> None:
    """Run one part until SIGTERM, or until the supervisor is gone."""
    lifeline.follow()
    write_lines()
    parser = argparse.ArgumentParser(prog="local.child", description=__doc__)
    parser.add_argument("part", choices=sorted(PARTS))
    parser.add_argument("--port", type=int, required=True)
    asked = parser.parse_args()
    try:
        PARTS[asked.part](asked.port)
    except EarwitnessError as error:
        log.critical("%s", error)
        sys.exit(1 if error.retryable else SETTLED)
    # The last door of this process: what nobody foresaw is said in a line, then as it came.
    except Exception as error:
        log.critical("%s: %s", type(error).__name__, error)
        raise
    finally:
        lifeline.end_what_is_left()


if __name__ == "__main__":
    main()
