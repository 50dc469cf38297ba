"""Whose code ships, and under what terms: `python -m deploy.licences` writes docs/licences.md.

A package's licence is what its own metadata says, of the installed version, in SPDX's words. Where
that is ambiguous ("BSD License") or the package is not installed here (CUDA's), it stands in
licences.json, read from the wheel's metadata or from its LICENSE file by a person.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/licences.md"
BY_HAND = ROOT / "deploy/licences.json"
#: What ships -> its list in requirements/.
LISTS = {
    "functions": "functions.txt",
    "gateway": "gateway.txt",
    "service": "service.txt",
    "service (cuda)": "service-cuda.txt",
}
#: Where it runs; packages for other machines are in the lists, and not in the images.
TARGET = {
    "platform_machine": "x86_64",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
    "platform_system": "Linux",
    "python_full_version": "3.11.0",
    "python_version": "3.11",
    "sys_platform": "linux",
    "extra": "",
}
#: What packages' metadata says instead of SPDX's words, where that is unambiguous.
SPDX = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache Software License": "Apache-2.0",
    "MIT License": "MIT",
}
#: Terms we took a look at. Code under another one is a decision, not a version bump.
ALLOWED = frozenset(
    {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "CNRI-Python", "ISC"}
    | {"LGPL-2.1-only", "LicenseRef-NVIDIA", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0", "Zlib"}
)
#: Likewise of the libraries inside wheels.
ALLOWED_INSIDE = ALLOWED | {
    "BSD-3-Clause-Clear",
    "GPL-2.0-or-later",
    "GPL-3.0-or-later WITH GCC-exception-3.1",
    "LGPL-2.0-or-later",
    "LGPL-2.1-or-later",
    "LGPL-3.0-or-later",
}
#: `libx264-d6533a8d.so.165` -> `libx264`: wheels write a digest behind the name.
_LIBRARY = re.compile(r"(lib[A-Za-z0-9_+-]+?)-?(?:-[0-9a-f]{8})*\.so(?:[.\d]*)")


class UnknownLicence(Exception):
    """A package or library that ships has no licence we know, or one nobody took a look at."""


@dataclass(frozen=True, slots=True)
class Shipped:
    name: str
    version: str
    licence: str
    where: tuple[str, ...]


def listed(name: str) -> Iterator[tuple[str, str]]:
    """(package, version) of a compiled list, as they are installed on TARGET."""
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    for line in re.findall(r"^[\w.-]+==.*?(?= \\$|$)", text, re.M):
        wanted = Requirement(line)
        if wanted.marker is None or wanted.marker.evaluate(TARGET):
            yield canonicalize_name(wanted.name), str(wanted.specifier).removeprefix("==")


def by_hand(kind: str) -> Mapping[str, str]:
    said: Mapping[str, str] = json.loads(BY_HAND.read_text(encoding="utf-8"))[kind]
    return said


def licence_of(name: str, version: str) -> str:
    """In SPDX's words.

    Raises:
        UnknownLicence: neither the package nor licences.json says.
    """
    found = by_hand("packages").get(name) or _own(name)
    if not found:
        raise UnknownLicence(f"{name} {version} says no licence; look, and write it into {BY_HAND}")
    return found


def _own(name: str) -> str:
    try:
        metadata = distribution(name).metadata
    except PackageNotFoundError:
        return ""
    classifiers = metadata.get_all("Classifier") or []
    said = [c.split(" :: ")[-1] for c in classifiers if c.startswith("License :: OSI Approved")]
    [expression, *_] = metadata.get_all("License-Expression") or [""]
    [written, *_] = metadata.get_all("License") or [""]
    text = expression or (said[0] if len(said) == 1 else "") or written.partition("\n")[0]
    return SPDX.get(text, text)


def allowed(expression: str, terms: frozenset[str] = ALLOWED) -> bool:
    """Whether somebody took a look at these terms: all of AND, one of OR."""
    parts = expression.split(" AND ")
    return all(any(one in terms for one in part.split(" OR ")) for part in parts)


def packages() -> list[Shipped]:
    """Everything that ships, by name and version.

    Raises:
        UnknownLicence: names all that have none, or one that is not allowed.
    """
    where: dict[tuple[str, str], list[str]] = {}
    for what, file in LISTS.items():
        for package in listed(file):
            where.setdefault(package, []).append(what)
    found = [Shipped(*one, licence_of(*one), tuple(there)) for one, there in where.items()]
    strangers = [f"{s.name}: {s.licence}" for s in found if not allowed(s.licence)]
    if strangers:
        raise UnknownLicence(f"Not looked at yet: {', '.join(sorted(strangers))}")
    return sorted(found, key=lambda s: (s.name, s.version))


def inside(package: Distribution) -> set[str]:
    """Names of the shared libraries that the wheel carries, beside its own modules."""
    files = (file.name for file in package.files or ())
    return {match[1] for name in files if (match := _LIBRARY.fullmatch(name))}


def libraries() -> list[Shipped]:
    """What lies inside the wheels of gateway and service that are installed here.

    Raises:
        UnknownLicence: names all that licences.json lacks, or whose terms are not allowed.
    """
    known, found = by_hand("libraries"), []
    for name, version in dict.fromkeys([*listed("gateway.txt"), *listed("service.txt")]):
        for library in inside(distribution(name)):
            found.append(Shipped(library, version, known.get(library, ""), (name,)))
    strangers = [
        f"{s.name} of {s.where[0]}" for s in found if not allowed(s.licence, ALLOWED_INSIDE)
    ]
    if strangers:
        raise UnknownLicence(f"Not looked at yet: {', '.join(sorted(strangers))}")
    return sorted(found, key=lambda s: (s.where, s.name))


PAGE_TEXT = """\
# What ships, and under what terms

Written by `python -m deploy.licences` from the lists in requirements/ that the images and the
functions are made of; a test compares. Weights are not in the images: whoever mounts some has
their terms to look at. Nor are the packages of the base image listed here.

| package | version | licence | in |
|---|---|---|---|
{packages}

`LicenseRef-NVIDIA` is NVIDIA's own: its CUDA and cuDNN agreements let an application carry these
libraries and be handed on with them, to run on NVIDIA's GPUs.

## Inside the wheels

Libraries that packages of gateway and service carry. x264 and x265 come with av (FFmpeg) under
the GPL: an image in a registry of your own is handed to nobody; whoever gives one to others passes
these terms on with it. The wheels of the variant cuda carry more, which was not looked into: they
are not installed where this is written.

| library | licence | inside |
|---|---|---|
{libraries}
"""


def page() -> str:
    """docs/licences.md.

    Raises:
        UnknownLicence: see `packages` and `libraries`.
    """
    rows = [f"| {s.name} | {s.version} | {s.licence} | {', '.join(s.where)} |" for s in packages()]
    within = [f"| {s.name} | {s.licence} | {s.where[0]} |" for s in libraries()]
    return PAGE_TEXT.format(packages="\n".join(rows), libraries="\n".join(within))


def main() -> int:
    try:
        PAGE.write_text(page(), encoding="utf-8")
    except UnknownLicence as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
