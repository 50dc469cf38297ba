"""A misspelt argument does not get through: `terraform validate` objects to each there is."""

import shutil
from dataclasses import replace

import pytest

from tests.terraform import misspelling

#: Blocks whose arguments are names of our own: a new name is as good as the old one, until
#: somebody reads it.
OWN_NAMES = {
    "required_providers": "the provider is known by its source, whatever it is called here"
}


@pytest.fixture
def copy(workshop, tmp_path):
    folder = shutil.copytree(workshop.folder, tmp_path / "terraform")
    return replace(workshop, folder=folder)


def test_validate_objects_to_every_misspelt_argument(copy):
    found = misspelling.of_folder(copy.folder)
    tried = [a for a in found if not OWN_NAMES.keys() & set(a.block)]

    assert len(tried) > 100
    assert [str(a) for a in misspelling.unseen(copy, tried)] == []


def test_an_argument_that_validate_does_not_see_is_found(copy):
    """A local that nobody reads may be called anything."""
    (copy.folder / "extra.tf").write_text("locals {\n  idle = 1\n}\n")

    found = [a for a in misspelling.of_folder(copy.folder) if a.file == "extra.tf"]

    assert misspelling.unseen(copy, found) == found


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
