"""What Cloud Build would refuse or misread in a build's file: `python -m deploy.build_config`.

Cloud Build itself looks only when a build starts, and a triggered build is never strict about
substitutions (`ALLOW_LOOSE`): a misspelt one is an empty string in the middle of a deployment.
"""

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from google.cloud.devtools.cloudbuild_v1.types import Build
from google.protobuf.json_format import (  # type: ignore[import-untyped]  # it brings no types
    ParseDict,
    ParseError,
)

from deploy import entry_points

ROOT = entry_points.ROOT
FILES = ("cloudbuild.yaml", "cloudbuild.apply.yaml", "cloudbuild.check.yaml")

Config = Mapping[str, Any]
Step = Mapping[str, Any]

#: What Cloud Build fills in for every build, whoever started it. Others exist for triggered builds
#: only, and ours are started by hand too. Source: "Substituting variable values".
BUILT_IN = frozenset({"PROJECT_ID", "BUILD_ID", "PROJECT_NUMBER", "LOCATION"})
#: Fields of a step in which Cloud Build replaces $NAME and ${NAME}; never in a script.
REPLACED = ("name", "args", "env", "dir", "entrypoint")
NAME = re.compile(r"(?<!\$)\$\{?([A-Z_][A-Z0-9_]*)")
#: In scripts our substitutions are variables; those that begin with _ can be nothing else.
VARIABLE = re.compile(r"\$\{?(_[A-Z0-9_]+)")
#: A version that is not "whatever is newest today".
PINNED = re.compile(r".+(@sha256:[0-9a-f]{64}|:[^:/]*\d[^:/]*)$")
MADE = re.compile(r"(?:^|[;&|]|\s)make +((?:[a-z][a-z-]*(?: +|$))+)", re.MULTILINE)
RUN = re.compile(r"python3? +-m +([a-z_]+(?:\.[a-z_]+)*)")
TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)
#: Where logs may go in a build with an identity of its own: not to Google's default bucket.
#: Source: "Configure user-specified service accounts", Set up build logs.
LOGGED = {"CLOUD_LOGGING_ONLY", "GCS_ONLY", "NONE"}
#: At the front of a step that waits for none.
AT_ONCE = "-"


def faults(text: str, root: Path = ROOT) -> list[str]:
    """One sentence for each thing that is wrong; none if the file says what it seems to say."""
    config = yaml.safe_load(text)
    if wrong := _misfits(config):
        return [wrong]
    steps: Sequence[Step] = config["steps"]
    return [
        *_nameless(steps),
        *_waits(steps),
        *_substituted(config),
        *_unpinned(config),
        *_secrets(config),
        *_unlogged(config),
        *_untimed(config),
        *(wrong for step in steps for wrong in _scripted(step, root)),
    ]


def _misfits(config: Any) -> str:
    """What Cloud Build's own message type says of it: an unknown key, a wrong kind of value."""
    try:
        ParseDict(config, Build.pb()(), ignore_unknown_fields=False)
    except (ParseError, AttributeError) as error:
        return f"This is no build: {error}"
    return "" if config.get("steps") else "This is no build: it has no steps."


def _nameless(steps: Sequence[Step]) -> Iterator[str]:
    ids = [step.get("id") for step in steps]
    if None in ids:
        yield "Each step has an id."
    for one in sorted({i for i in ids if i is not None and ids.count(i) > 1}):
        yield f"Two steps have the id {one}."


def _waits(steps: Sequence[Step]) -> Iterator[str]:
    """A step waits for steps above it; said of each, for silence means: for all above."""
    above: set[str] = set()
    for step in steps:
        for other in step.get("waitFor", []):
            if other != AT_ONCE and other not in above:
                yield f"{step.get('id')} waits for {other}, which is no step above it."
        if "waitFor" not in step:
            yield f"{step.get('id')} does not say what it waits for."
        above.add(step.get("id", ""))


def _substituted(config: Config) -> Iterator[str]:
    declared, used = set(config.get("substitutions", {})), set(_used(config))
    for name in sorted(used - declared - BUILT_IN):
        yield f"${name} is used and not declared under substitutions."
    for name in sorted(declared - used):
        yield f"{name} is declared under substitutions and used nowhere."
    if any("script" in step for step in config["steps"]) and not _automapped(config):
        yield "Scripts see substitutions as variables only with options.automapSubstitutions."


def _automapped(config: Config) -> bool:
    return bool(config.get("options", {}).get("automapSubstitutions"))


def _used(config: Config) -> Iterator[str]:
    for step in config["steps"]:
        yield from VARIABLE.findall(step.get("script", ""))
        for field in REPLACED:
            yield from NAME.findall(str(step.get(field, "")))
    for key in ("images", "tags", "artifacts", "logsBucket", "serviceAccount"):
        yield from NAME.findall(str(config.get(key, "")))


def _unpinned(config: Config) -> Iterator[str]:
    """A builder that changes by itself makes another build of the same sources."""
    known = config.get("substitutions", {})
    for name in sorted({step["name"] for step in config["steps"]}):
        image = NAME.sub(lambda match: str(known.get(match[1], "")), name).replace("}", "")
        if not PINNED.fullmatch(image):
            yield f"The builder {name} is not pinned to a version or a digest."


def _secrets(config: Config) -> Iterator[str]:
    kept = config.get("availableSecrets", {}).get("secretManager", [])
    declared = {secret["env"] for secret in kept}
    for step in config["steps"]:
        for name in step.get("secretEnv", []):
            if name not in declared:
                yield f"{step.get('id')} asks for the secret {name}, which no one declared."


def _unlogged(config: Config) -> Iterator[str]:
    if config.get("options", {}).get("logging") not in LOGGED and "logsBucket" not in config:
        yield "A build with an identity of its own says where its logs go: options.logging."


def _untimed(config: Config) -> Iterator[str]:
    """A step that hangs is ended by its own timeout; the build's leaves room for all of them."""
    ends: dict[str, float] = {AT_ONCE: 0.0}
    for step in config["steps"]:
        if "timeout" not in step:
            yield f"{step.get('id')} has no timeout."
        begins = max((ends.get(other, 0.0) for other in step.get("waitFor", [])), default=0.0)
        ends[step.get("id", "")] = begins + _seconds(step.get("timeout", "0s"))
    if max(ends.values()) > _seconds(config.get("timeout", "0s")):
        yield f"The build's timeout is shorter than its steps' one after another: {ends}."


def _seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))


def _scripted(step: Step, root: Path) -> Iterator[str]:
    """Whether a step's script can be read, and what it calls is there."""
    script, name = step.get("script"), step.get("id")
    if script is None:
        return
    if "args" in step or "entrypoint" in step:
        yield f"{name} has a script, and therefore neither args nor entrypoint."
    if not script.startswith("#!"):
        yield f"{name} does not say which shell reads its script."
    if said := _unread(script):
        yield f"{name}: {said}"
    for target in sorted(set(" ".join(MADE.findall(script)).split()) - _targets(root)):
        yield f"{name} makes {target}, which the Makefile does not know."
    for module in sorted(set(RUN.findall(script))):
        if (root / module.split(".")[0]).is_dir() and not _there(root, module):
            yield f"{name} runs {module}, which is not there."


def _unread(script: str) -> str:
    """What bash objects to; a script for sh is read by bash as well."""
    read = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    return read.stderr.strip()


@cache
def _targets(root: Path) -> frozenset[str]:
    return frozenset(TARGET.findall((root / "Makefile").read_text(encoding="utf-8")))


def _there(root: Path, module: str) -> bool:
    path = root.joinpath(*module.split("."))
    return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()


def main(arguments: Sequence[str]) -> int:
    found = [
        f"{name}: {fault}"
        for name in arguments or FILES
        for fault in faults((ROOT / name).read_text(encoding="utf-8"))
    ]
    for fault in found:
        print(fault, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
