"""terraform/ planned once a session and variant, for every test here."""

from collections.abc import Callable
from functools import cache

import pytest

from deploy import terraform as checks
from tests.terraform.topologies import VARIANTS, Topology, Workshop, serving

#: State stays in the copy. The deployed backend is a bucket, which nobody has here.
LOCAL = 'terraform {\n  backend "local" {}\n}\n'


@pytest.fixture(scope="session")
def workshop(tmp_path_factory):
    if why := checks.missing():
        pytest.skip(why)
    if not checks.STAND_IN.exists():
        pytest.skip("plans need the offline stand-in: OFFLINE_TERRAFORM names none")
    copy = checks.lay_out(checks.ROOT, tmp_path_factory.mktemp("terraform"))
    (copy / "ci_override.tf").write_text(LOCAL)
    with serving(checks.STAND_IN) as environment:
        made = Workshop(copy, environment)
        made.run("init", "-input=false", "-no-color")
        made.run("validate", "-no-color")
        yield made


@pytest.fixture(scope="session")
def topology(workshop) -> Callable[[str], Topology]:
    """The topology of a variant, made when first asked for."""

    @cache
    def made(variant: str) -> Topology | AssertionError:
        try:
            return workshop.topology(variant, VARIANTS[variant])
        except AssertionError as refused:  # kept too: it takes as long as a success
            return refused

    def of(variant: str) -> Topology:
        found = made(variant)
        if isinstance(found, AssertionError):
            raise found
        return found

    return of


@pytest.fixture(params=VARIANTS)
def every(request, topology) -> Topology:
    """Each variant in turn."""
    return topology(request.param)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test of a variant waits for its plan, and long where the machine is busy."""
    for item in items:
        if "/tests/terraform/" in item.path.as_posix():
            item.add_marker(pytest.mark.timeout(1800))
