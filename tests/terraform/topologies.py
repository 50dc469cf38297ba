"""What Terraform would make of a set of variables, as data.

The real terraform plans and then applies against the stand-in provider, where an apply makes up
what Google would answer: so that members, addresses and ids in the state are known, and who may do
what can be read from it.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = "my-recordings-4711"
PREFIX = "ew"
GIVEN = {"project": PROJECT, "region": "europe-west4", "viewers": ["group:listeners@example.com"]}
DIGEST = "sha256:" + "0123456789abcdef" * 4
IMAGES = {
    noun: f"europe-west4-docker.pkg.dev/{PROJECT}/{PREFIX}-images/{noun}@{DIGEST}"
    for noun in ("service", "gateway")
}
#: Variables beside those of GIVEN, by the name of the variant.
VARIANTS: dict[str, dict[str, Any]] = {
    "first apply": {},
    "images": {"images": IMAGES},
    "no GPU": {"images": IMAGES, "gpu": None},
    "two services": {"images": IMAGES, "gpu": {"services": "two"}},
    "two regions": {"images": IMAGES, "regions": {"us": {"region": "us-central1"}}},
}


@dataclass(frozen=True, slots=True)
class Entity:
    """One resource of the state."""

    address: str
    kind: str
    values: Mapping[str, Any]

    def __getitem__(self, argument: str) -> Any:
        """An argument; of a block that may stand once, the block itself."""
        value = self.values[argument]
        return value[0] if isinstance(value, list) and len(value) == 1 else value


@dataclass(frozen=True, slots=True)
class Topology:
    """Everything one apply makes."""

    variables: Mapping[str, Any]
    entities: tuple[Entity, ...]
    plan: Path  #: its plan, as JSON

    def all(self, *kinds: str) -> list[Entity]:
        return [e for e in self.entities if e.kind in kinds]

    @property
    def names(self) -> list[str]:
        """What the names of each stack begin with."""
        return [PREFIX, *(f"{PREFIX}-{key}" for key in self.variables.get("regions", {}))]


@contextmanager
def serving(stand_in: Path) -> Iterator[dict[str, str]]:
    """One stand-in provider for all calls of terraform; gives the variables that lead to it."""
    told = 'echo "$TF_REATTACH_PROVIDERS"; cat'
    pipe = subprocess.PIPE
    with subprocess.Popen([stand_in, "sh", "-c", told], stdin=pipe, stdout=pipe, text=True) as it:
        assert it.stdin is not None
        assert it.stdout is not None
        reattach = it.stdout.readline().strip()
        assert reattach, "the stand-in did not start"
        yield {
            **os.environ,
            "TF_REATTACH_PROVIDERS": reattach,
            "TF_CLI_CONFIG_FILE": os.devnull,
            "CHECKPOINT_DISABLE": "1",
            "TF_IN_AUTOMATION": "1",
        }
        it.stdin.close()


@dataclass(frozen=True, slots=True)
class Workshop:
    """A copy of terraform/ with its modules installed, and a provider to run it with."""

    folder: Path
    environment: Mapping[str, str]

    def run(self, *words: str, folder: Path | None = None, check: bool = True) -> str:
        """What terraform prints; its complaints are the assertion's."""
        done = subprocess.run(
            ["terraform", *words],
            cwd=folder or self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def topology(self, variant: str, variables: Mapping[str, Any]) -> Topology:
        """Plan and apply; each variant has files of its own."""
        own = self.folder / variant.replace(" ", "-")
        given = own.with_suffix(".tfvars.json")
        given.write_text(json.dumps({**GIVEN, **variables}))
        plan, state = f"{own}.plan", f"{own}.tfstate"
        self.run("plan", "-no-color", f"-var-file={given}", f"-state={state}", f"-out={plan}")
        written = own.with_suffix(".plan.json")
        written.write_text(self.run("show", "-json", plan))
        self.run("apply", "-no-color", f"-state={state}", plan)
        shown = json.loads(self.run("show", "-json", state))
        return Topology(variables, tuple(_entities(shown["values"]["root_module"])), written)


def _entities(module: Mapping[str, Any]) -> Iterator[Entity]:
    for one in module.get("resources", []):
        if one["mode"] == "managed":
            yield Entity(one["address"], one["type"], one["values"])
    for child in module.get("child_modules", []):
        yield from _entities(child)
