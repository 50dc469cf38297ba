"""The functions we deploy: listed in one file, written in one room, exported by one module.

`python -m deploy.entry_points` names every disagreement and exits 1; `make check` runs it.
"""

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
#: The one list; Terraform and local/ read it too.
LIST = Path("functions/functions.json")
#: What the framework loads: it lies at the root of the archive.
MAIN = Path("functions/main.py")


def listed(root: Path) -> dict[str, Any]:
    """Name -> description and trigger, as functions.json has them."""
    found: dict[str, Any] = json.loads((root / LIST).read_text(encoding="utf-8"))
    return found


def written(root: Path) -> dict[str, Path]:
    """Name -> file of every function that is decorated for the functions framework."""
    return {
        node.name: path.relative_to(root)
        for path in sorted((root / "functions").rglob("*.py"))
        for node in _tree(path).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if any(map(_of_the_framework, node.decorator_list))
    }


def exported(root: Path) -> set[str]:
    """What main.py offers by name: the only functions that the framework finds."""
    names = {name for node in _tree(root / MAIN).body for name in _bound(node)}
    return names & (set(listed(root)) | set(written(root)))


def faults(root: Path) -> list[str]:
    """One sentence for each disagreement; none if the three are one."""
    known, there, offered = listed(root), written(root), exported(root)
    return [
        *(f"{there[n]}: {n} is missing from {LIST}." for n in sorted(there.keys() - known.keys())),
        *(f"{LIST}: nothing in functions/ is {n}." for n in sorted(known.keys() - there.keys())),
        *(f"{MAIN}: {n} is not exported." for n in sorted(there.keys() & known.keys() - offered)),
    ]


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _of_the_framework(decorator: ast.expr) -> bool:
    """`@functions_framework.cloud_event`, `@functions_framework.http`, called or not."""
    named = decorator.func if isinstance(decorator, ast.Call) else decorator
    return ast.unparse(named).startswith("functions_framework.")


def _bound(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom):
        yield from (alias.asname or alias.name for alias in node.names)
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        yield node.name


def main() -> int:
    found = faults(ROOT)
    for fault in found:
        print(fault, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
