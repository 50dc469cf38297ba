"""The committed pages are what the code says today."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from docs import generate
from shared.errors import AudioTooLong, EarwitnessError, Layer, Severity

DOCS = Path(generate.__file__).parent


@pytest.mark.parametrize("name", generate.pages())
def test_committed_page_is_current(name):
    committed = (DOCS / name).read_text(encoding="utf-8")

    assert committed == generate.pages()[name], "run python -m docs.generate and commit"


def test_writing_replaces_what_is_there(tmp_path):
    (tmp_path / "errors.md").write_text("old")

    generate.write(tmp_path)

    assert {p.name: p.read_text(encoding="utf-8") for p in tmp_path.iterdir()} == generate.pages()


def test_module_entry_writes_the_pages(tmp_path):
    command = [sys.executable, "-m", "docs.generate", str(tmp_path)]

    subprocess.run(command, check=True, cwd=DOCS.parent)

    assert {p.name: p.read_text(encoding="utf-8") for p in tmp_path.iterdir()} == generate.pages()


def test_errors_of_other_modules_are_not_documented():
    class OnlyHere(EarwitnessError, layer=Layer.EXECUTION, severity=Severity.INFO, retryable=False):
        """Declared by a test."""

    assert OnlyHere.code not in generate.errors_page()


def test_errors_page_says_code_layer_severity_retry_and_message():
    row = next(r for r in generate.errors_page().splitlines() if AudioTooLong.code in r)

    assert row == f"| `audio_too_long` | validation | WARNING | no | {AudioTooLong()} |"


def test_errors_table_has_five_cells_in_every_row():
    rows = [r for r in generate.errors_page().splitlines() if r.startswith("|")]

    assert {len(r.replace(r"\|", "").split("|")) for r in rows} == {7}


def test_schema_is_a_valid_draft_2020_12_schema():
    schema = json.loads(generate.pages()["result.schema.json"])

    jsonschema.Draft202012Validator.check_schema(schema)
