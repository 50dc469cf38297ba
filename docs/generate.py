"""Write the pages of documentation that follow from the code.

`python -m docs.generate` replaces the committed ones; with a folder, writes them there.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from shared import errors
from shared.domain.result import schema_document

HERE = Path(__file__).parent

ERRORS_HEAD = """\
# Errors

Generated from `shared/errors.py` by `python -m docs.generate`; do not edit.

A code stands in results, HTTP errors and metrics and never changes once released.
What is retried is tried again by itself, a bounded number of times; the rest is settled.

| code | layer | severity | retried | message |
|---|---|---|---|---|
"""


def errors_page() -> str:
    """`errors.md`: every failure we understand, in the order of declaration."""
    # Other modules (tests, for one) may declare failures of their own: not documented here.
    ours = (e for e in errors.leaves() if e.__module__ == errors.__name__)
    return ERRORS_HEAD + "".join(map(_row, ours))


def _row(error: type[errors.EarwitnessError]) -> str:
    retried = "yes" if error.retryable else "no"
    message = str(error()).replace("|", r"\|")
    return f"| `{error.code}` | {error.layer} | {error.severity} | {retried} | {message} |\n"


def pages() -> Mapping[str, str]:
    """Every generated file's name with its content."""
    schema = json.dumps(schema_document(), indent=2, ensure_ascii=False)
    return {"errors.md": errors_page(), "result.schema.json": schema + "\n"}


def write(folder: Path) -> None:
    """Write every page into `folder`, replacing what is there."""
    for name, content in pages().items():
        (folder / name).write_text(content, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if sys.argv[1:] else HERE)
