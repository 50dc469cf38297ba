"""The Earwitness that runs on this machine: where it answers, and the token it wants."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from shared.errors import NotRunning


@dataclass(frozen=True, slots=True)
class Here:
    url: str
    token: str


def here(home: Path | None = None) -> Here:
    """Read `HOME/up.json` and `HOME/keys/page.token`.

    HOME is `home`, else `EARWITNESS_HOME`, else `./.earwitness` where there is one, else
    `~/.local/share/earwitness`.

    Raises:
        NotRunning: nothing runs there, or nothing that serves a page.
    """
    folder = home or _home()
    try:
        url = json.loads((folder / "up.json").read_bytes())["url"]
        token = (folder / "keys" / "page.token").read_text(encoding="ascii").strip()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotRunning from error
    if not isinstance(url, str) or not url:
        raise NotRunning
    return Here(url, token)


def _home() -> Path:
    said = os.environ.get("EARWITNESS_HOME")
    if said:
        return Path(said)
    beside = Path(".earwitness")
    return beside if beside.is_dir() else Path("~/.local/share/earwitness").expanduser()
