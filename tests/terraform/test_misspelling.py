"""A misspelt argument does not get through: `terraform validate` objects to each there is."""

import shutil
from dataclasses import asdict, replace
from typing import Any

import pytest

from deploy import terraform as checks
from tests.terraform import misspelling

#: Blocks whose arguments are names of our own: a new name is as good as the old one, until
#: somebody reads it.
OWN_NAMES = {
    "required_providers": "the provider is known by its source, whatever it is called here"
}


#: What validate does not look into, by file and name: a further block of the same kind, after
#: one whose number hangs on a variable. The plan does.
BEHIND = {
    ("build.tf", "branch"),
    *(("modules/run_service/main.tf", name) for name in ("name", "secret", "version")),
}


@pytest.fixture(scope="module")
def copy(workshop, tmp_path_factory):
    folder = tmp_path_factory.mktemp("misspelt")
    checks.lay_out(checks.ROOT, folder)
    shutil.copytree(workshop.folder / ".terraform", folder / "terraform" / ".terraform")
    shutil.copy(workshop.folder / "ci_override.tf", folder / "terraform")
    return replace(workshop, folder=folder / "terraform")


@pytest.fixture(scope="module")
def overlooked(copy, once):
    """What validate says nothing about."""

    def found() -> list[dict[str, Any]]:
        every = misspelling.of_folder(copy.folder)
        tried = [a for a in every if not OWN_NAMES.keys() & set(a.block)]
        assert len(tried) > 1000
        return [asdict(a) for a in misspelling.unseen(copy, tried, misspelling.validate)]

    return [misspelling.argument(said) for said in once("misspelt", found)]


def test_validate_objects_to_every_misspelt_argument(overlooked):
    assert [str(a) for a in overlooked if (a.file, a.name) not in BEHIND] == []


def test_the_plan_objects_to_the_others(copy, overlooked):
    assert overlooked != []
    assert misspelling.unseen(copy, overlooked, misspelling.plan) == []


def test_an_argument_that_validate_does_not_see_is_found(copy):
    """A local that nobody reads may be called anything."""
    extra = copy.folder / "extra.tf"
    extra.write_text("locals {\n  idle = 1\n}\n")

    found = list(misspelling.arguments(extra.name, extra.read_text()))
    left = misspelling.unseen(copy, found, misspelling.validate)
    extra.unlink()

    assert left == found


def test_arguments_are_found_at_any_depth():
    text = """
locals {
  a = { key = "no argument", other = [1, 2] } # b = 1
  c = <<-END
    d = 1
    END
}
resource "kind" "name" {
  e = "${local.a["key"]} f = {"
  dynamic "inner" {
    for_each = [for x in [] : x if x == 1]
    content { g = 1 }
  }
}
"""

    found = [(a.name, a.line, a.block[-1]) for a in misspelling.arguments("x.tf", text)]

    assert found == [
        ("a", 3, "locals"),
        ("c", 4, "locals"),
        ("e", 9, "resource kind name"),
        ("for_each", 11, "dynamic inner"),
        ("g", 12, "content"),
    ]
