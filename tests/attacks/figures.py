"""A6 in figures: attacks by way and language. `python -m tests.attacks.figures` writes them.

They count what `test_attacks` tries; the tests themselves say that none has an effect.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.attacks.house import Attack, attacks

FIGURES = Path(__file__).parents[2] / "truth" / "results" / "attacks.json"


def figures(tried: Sequence[Attack]) -> dict[str, Any]:
    ways = Counter(a.way for a in tried)
    both = Counter((a.way, str(a["language"])) for a in tried)
    return {
        "attacks": len(tried),
        "by_language": dict(sorted(Counter(str(a["language"]) for a in tried).items())),
        "by_way": dict(sorted(ways.items())),
        "by_way_and_language": {
            way: {lang: n for (w, lang), n in sorted(both.items()) if w == way}
            for way in sorted(ways)
        },
    }


if __name__ == "__main__":
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps(figures(attacks()), indent=1) + "\n", encoding="utf-8")
    print(FIGURES.read_text(encoding="utf-8"))
