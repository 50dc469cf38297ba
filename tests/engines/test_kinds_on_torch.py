"""Engines whose models need torch are described, and their settings checked, without it."""

import json
import subprocess
import sys

import pytest

KINDS = ("qwen2_audio", "whisper_hf", "ast")
#: With `None` in its place an import of torch fails, wherever this runs.
WITHOUT = """
import json, sys
from pathlib import Path
sys.modules |= {"torch": None, "transformers": None}
from gpu_service.engines.registry import EngineSettings, build, parse
settings = EngineSettings(kind=sys.argv[1], checkpoint="owner/name", revision="abc")
told = build("x", settings, cache=Path("/nonexistent")).capabilities()
parse({"x": settings.model_dump()})
print(json.dumps([sorted(told.tasks), told.versions]))
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_on_torch_says_what_it_can_do_without_it(kind: str) -> None:
    out = subprocess.run([sys.executable, "-c", WITHOUT, kind], capture_output=True, text=True)

    assert out.returncode == 0, out.stderr
    tasks, versions = json.loads(out.stdout)
    assert tasks
    assert (versions["checkpoint"], versions["revision"]) == ("owner/name", "abc")
    assert versions["dtype"] == "float32"
