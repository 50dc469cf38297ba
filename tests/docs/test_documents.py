"""The documents tell the truth: their commands run, their links lead somewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from local.cli import cli as earwitness
from tests.journeys.running import ECHO, Up

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")


def blocks(language):
    return [
        pytest.param(text, id=f"{page.name}-{n}")
        for page in PAGES
        for n, (kind, text) in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")))
        if kind == language
    ]


@pytest.mark.whisper
@pytest.mark.parametrize("script", blocks("bash"))
def test_a_bash_block_runs(script, tmp_path):
    env = os.environ | {"EARWITNESS_HOME": str(tmp_path / "home")}

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    """What the examples speak to. Echo answers: they are about the calls, not the words."""
    home = tmp_path_factory.mktemp("examples") / "home"
    home.mkdir()
    running = Up(home, **ECHO)
    try:
        yield running.start()
    finally:
        running.stop()
        running.end()


@pytest.mark.parametrize("program", blocks("python"))
def test_a_python_block_runs(program, up):
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=up.environment,
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(("done ", "echo "))


@pytest.mark.parametrize("shown", blocks("console"))
def test_a_console_block_names_commands_there_are(shown):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in (x[2:] for x in shown.splitlines() if x.startswith("$ ")):
        program, *words = line.split()
        if program == "make":
            assert words[0] in targets, line
        else:
            assert program in (".venv/bin/earwitness", "earwitness"), line
            assert words[0] in earwitness.commands, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    targets = [page.parent / target for target in LINK.findall(page.read_text(encoding="utf-8"))]

    assert [t for t in targets if not t.exists()] == []
