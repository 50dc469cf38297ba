"""terraform/ planned once a run and variant, for every test here."""

import fcntl
import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from deploy import terraform as checks
from tests.terraform.topologies import VARIANTS, Topology, Workshop, read, serving

#: State stays in the copy. The deployed backend is a bucket, which nobody has here.
LOCAL = 'terraform {\n  backend "local" {}\n}\n'
#: A name, and how to make what JSON can hold.
Once = Callable[[str, Callable[[], Any]], Any]


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
def once(tmp_path_factory) -> Once:
    """What takes long is made by whichever process of a run asks first, and read by the others.

    Source: pytest-xdist, "Making session-scoped fixtures execute only once": the processes'
    folders have one parent.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def made(name: str, make: Callable[[], Any]) -> Any:
        kept = shared / f"terraform-{name.replace(' ', '-')}.json"
        with kept.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                kept.write_text(json.dumps(make()))
        return json.loads(kept.read_text())

    return made


@pytest.fixture(scope="session")
def topology(workshop, once) -> Callable[[str], Topology]:
    """The topology of a variant, made when first asked for."""

    def tried(variant: str) -> dict[str, str]:
        try:
            return {"plan": str(workshop.made(variant, VARIANTS[variant]))}
        except AssertionError as refused:  # kept too: it takes as long as a success
            return {"refused": str(refused)}

    @cache
    def of(variant: str) -> Topology:
        found = once(variant, lambda: tried(variant))
        assert "refused" not in found, found["refused"]
        return read(Path(found["plan"]), VARIANTS[variant])

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
