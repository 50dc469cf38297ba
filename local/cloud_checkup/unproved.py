"""What no checkup can settle: the commands of docs/unproved.md, with this project's names."""

import re
from collections.abc import Iterator
from pathlib import Path

from local.cloud_checkup.deployment import Deployment
from local.cloud_checkup.findings import Finding, left_open

PAGE = Path(__file__).parents[2] / "docs" / "unproved.md"
_CELL = re.compile(r"(?<!\\)\|")


def unproved(d: Deployment, page: Path = PAGE) -> list[Finding]:
    if not page.exists():
        return [left_open("unproved", "docs/unproved.md of the sources lists what is left")]
    names = placeholders(d)
    return [
        left_open("unproved", f"{what}: {filled(command, names)}")
        for what, command in rows(page.read_text(encoding="utf-8"))
    ]


def rows(text: str) -> Iterator[tuple[str, str]]:
    """What is open, and what settles it: the first and third cells of each table's rows."""
    for line in text.splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in _CELL.split(line)[1:-1]]
        if len(cells) == 3 and not set(cells[0]) <= set("-") and cells[0] != "what":
            yield cells[0], cells[2]


def placeholders(d: Deployment) -> dict[str, str]:
    return {
        "PROJECT": d.settings.project,
        "DATABASE": d.settings.firestore_database,
        "BUCKET": d.settings.uploads_bucket,
        "PREFIX": d.named("").rstrip("-"),
        "PUSHER": d.identity("push"),
        "AUDIENCE": d.settings.push_audience,
    }


def filled(command: str, names: dict[str, str]) -> str:
    known = re.compile(rf"\b({'|'.join(names)})\b")
    return known.sub(lambda found: names[found[0]], command)
