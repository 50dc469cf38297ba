"""The description of the API: current, complete, and kept to (S8)."""

import json
import subprocess
import sys
import warnings

import hypothesis
import msgspec
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from docs import openapi
from gateway.main import described
from tests.gateway.serving import BEHIND, gateway
from tests.streaming.conftest import given
from tests.streaming.serving import running

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
#: An endless stream has no answer to check; test_events.py reads it.
ENDLESS = "/v1/events"
DESCRIBED = described().openapi()
#: Requests an operation and mode.
EXAMPLES = 25
USUAL = hypothesis.settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)


def test_committed_description_is_current():
    committed = (openapi.HERE / openapi.NAME).read_text(encoding="utf-8")

    assert committed == openapi.document(), "run python -m docs.openapi and commit"


def test_module_entry_writes_the_description(tmp_path):
    command = [sys.executable, "-m", "docs.openapi", str(tmp_path)]

    subprocess.run(command, check=True, cwd=openapi.HERE.parent)

    assert (tmp_path / openapi.NAME).read_text(encoding="utf-8") == openapi.document()


def test_a_gateway_describes_itself_so(app):
    assert app.openapi() == DESCRIBED


def test_every_operation_describes_its_failures():
    paths = json.loads(openapi.document())["paths"]

    undescribed = [
        (path, method)
        for path, operations in paths.items()
        for method, operation in operations.items()
        if "ErrorBody" not in json.dumps(operation["responses"].get("default", {}))
    ]
    assert undescribed == []


def test_page_is_no_part_of_the_api():
    assert all(p.startswith(("/v1/", "/healthz")) for p in json.loads(openapi.document())["paths"])


def operations():
    """Every operation, asked rightly and wrongly; where nothing is asked nothing can be wrong."""
    paths = DESCRIBED["paths"]
    return [
        (path, method, mode)
        for path in paths
        if path != ENDLESS
        for method in paths[path]
        for mode in GenerationMode
        if mode is GenerationMode.POSITIVE or "parameters" in paths[path][method] or method != "get"
    ]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with running(given(tmp_path_factory.mktemp("service"))) as up:
        yield up


@pytest.fixture
def passed_on(service, tmp_path):
    """The schema over a gateway with a service behind it; the line needs one event loop."""
    found = given(tmp_path / "home", service_url=f"http://{service.address}")
    keys = service.app.state.house.settings
    with gateway(msgspec.structs.replace(found, signing_key=keys.signing_key)) as url:
        yield schemathesis.openapi.from_url(f"{url}/openapi.json")


@pytest.fixture
def api(app, store):
    """The schema over a store that has something in each state."""
    store.done()
    store.dead()
    store.rejected()
    app.openapi_schema = DESCRIBED  # an app of its own makes its own, for a quarter of a second
    # The client of schemathesis speaks to port 80, where our Host goes without one.
    return schemathesis.openapi.from_asgi("/openapi.json", app, headers={"Host": "127.0.0.1"})


HERE, PASSED_ON = [], []
for operation in operations():
    (PASSED_ON if operation[0].startswith(BEHIND) else HERE).append(operation)


@pytest.mark.parametrize(("path", "method", "mode"), PASSED_ON, ids=str)
def test_what_is_passed_on_is_answered_as_described(passed_on, path, method, mode):
    @USUAL
    @hypothesis.given(case=passed_on[path][method].as_strategy(generation_mode=mode))
    def ask(case):
        case.call_and_validate(checks=CHECKS)

    with warnings.catch_warnings(action="ignore"):
        ask()


@pytest.mark.parametrize(("path", "method", "mode"), HERE, ids=str)
def test_no_request_is_a_server_error_and_every_answer_is_as_described(
    api, app, store, path, method, mode
):
    headers = {"Host": "127.0.0.1", "X-Earwitness-Token": app.state.page_token}
    ids = [known.id for known in store.parts.recordings.page()]
    strange = iter(range(EXAMPLES * 10))

    @USUAL
    @hypothesis.given(case=api[path][method].as_strategy(generation_mode=mode))
    def ask(case):
        if "recording_id" in path and (turn := next(strange) % 4) < len(ids):
            case.path_parameters["recording_id"] = ids[turn]  # three in four exist
        case.call_and_validate(checks=CHECKS, headers=headers)

    with warnings.catch_warnings(action="ignore"):
        ask()
