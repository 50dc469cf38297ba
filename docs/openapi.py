"""Write the description of the gateway's API, from its routes.

`python -m docs.openapi` replaces the committed one; with a folder, writes it there.
"""

import json
import sys
from pathlib import Path

from gateway.main import described

HERE = Path(__file__).parent
NAME = "openapi.json"


def document() -> str:
    """The OpenAPI 3.1 document; no store is opened for it."""
    return json.dumps(described().openapi(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if sys.argv[1:] else HERE
    (folder / NAME).write_text(document(), encoding="utf-8", newline="\n")
