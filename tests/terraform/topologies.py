"""What Terraform would make of a set of variables, as data.

The real terraform plans and then applies against the stand-in provider, where an apply makes up
what Google would answer: so that members, addresses and ids in the state are known, and who may do
what can be read from it.
"""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
    "no GPU": {"images": IMAGES, "gpu": None, "archive_after_days": None},
    "two regions": {"images": IMAGES, "regions": {"us": {"region": "us-east4"}}},
    "everything": {
        "images": IMAGES,
        "alert_emails": ["ops@example.com"],
        "budget": {"billing_account": "012345-6789AB-CDEF01", "amount": 100},
        "cascade": {"transcribe": ["qwen", "whisper"]},
        "cmek": True,
        "edge": {"domain": "hear.example.com", "allow": ["192.0.2.0/24"]},
        "engines": {"qwen": {"kind": "qwen2_audio", "checkpoint": "gs://weights/qwen"}},
        "gpu": {"accelerator": "nvidia-rtx-pro-6000", "services": "two", "max_instances": 2},
        "high_min_instances": 1,
        "openai": True,
        "repository": {
            "owner": "example",
            "name": "earwitness",
            "approvers": ["group:approvers@example.com"],
        },
        "state_bucket": f"{PROJECT}-{PREFIX}-state",
        "tenants": {
            "acme": {
                "tier": "pro",
                "writers": ["serviceAccount:drops@acme.iam.gserviceaccount.com"],
            }
        },
        "vpc": True,
        "zonal_redundancy": True,
    },
}
#: A word of the stand-in's own, after its argument: addresses and members read otherwise.
MADE_UP = re.compile(r"fake-\w+-[0-9a-f]{8}")


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

    @property
    def stack(self) -> str:
        """The key of the stack it is part of; empty for what is the project's."""
        found = re.match(r'module\.stack\["(\w+)"\]', self.address)
        return found[1] if found else ""

    def with_values(self, arguments: Mapping[str, Any]) -> "Entity":
        assert arguments.keys() <= self.values.keys()
        return replace(self, values={**self.values, **arguments})


@dataclass(frozen=True, slots=True)
class Topology:
    """Everything one apply makes."""

    entities: tuple[Entity, ...]
    plan: Path  #: its plan, as JSON
    variables: Mapping[str, Any]
    written: Mapping[str, Any]  #: the configuration it is of, as the plan has it

    def all(self, *kinds: str) -> list[Entity]:
        return [e for e in self.entities if e.kind in kinds]

    def one(self, address: str) -> Entity:
        (found,) = (e for e in self.entities if e.address == address)
        return found

    def with_change(self, address: str, **arguments: Any) -> "Topology":
        """The same, but for some arguments of one entity: what a test must notice."""
        changed = self.one(address).with_values(arguments)
        rest = tuple(e for e in self.entities if e.address != address)
        return replace(self, entities=(*rest, changed))

    def with_more(self, *entities: Entity) -> "Topology":
        return replace(self, entities=(*self.entities, *entities))

    def without(self, address: str) -> "Topology":
        self.one(address)
        return replace(self, entities=tuple(e for e in self.entities if e.address != address))


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
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def topology(self, variant: str, variables: Mapping[str, Any]) -> Topology:
        return read(self.made(variant, variables), variables)

    def made(self, variant: str, variables: Mapping[str, Any]) -> Path:
        """Plan and apply; gives the plan as JSON, beside which the state lies."""
        own = self.folder / variant.replace(" ", "-")
        given = own.with_suffix(".tfvars.json")
        given.write_text(json.dumps({**GIVEN, **variables}))
        plan, state = f"{own}.plan", f"{own}.tfstate"
        self.run("plan", "-no-color", f"-var-file={given}", f"-state={state}", f"-out={plan}")
        own.with_suffix(".plan.json").write_text(self.run("show", "-json", plan))
        self.run("apply", "-no-color", f"-state={state}", plan)
        own.with_suffix(".state.json").write_text(self.run("show", "-json", state))
        return own.with_suffix(".plan.json")


def read(plan: Path, variables: Mapping[str, Any]) -> Topology:
    shown = json.loads(plan.with_name(plan.name.replace(".plan.", ".state.")).read_text())
    entities = tuple(_entities(shown["values"]["root_module"]))
    configuration = json.loads(plan.read_text())["configuration"]["root_module"]
    return Topology(entities, plan, {**GIVEN, **variables}, configuration)


def _entities(module: Mapping[str, Any]) -> Iterator[Entity]:
    for one in module.get("resources", []):
        if one["mode"] == "managed":
            yield Entity(one["address"], one["type"], _told(one["values"]))
    for child in module.get("child_modules", []):
        yield from _entities(child)


def _told(value: Any) -> Any:
    """Without the words that the stand-in makes up where nobody says anything."""
    if isinstance(value, dict):
        return {name: _told(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_told(part) for part in value]
    return None if isinstance(value, str) and MADE_UP.fullmatch(value) else value
