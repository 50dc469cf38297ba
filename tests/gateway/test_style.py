"""Colours that everybody can read."""

import re
from pathlib import Path

import pytest

STYLE = Path(__file__).parents[2] / "gateway" / "static" / "app.css"


def colours(block: str) -> dict[str, str]:
    named = re.findall(r"--([a-z0-9-]+): #([0-9a-f]{6}|[0-9a-f]{3})[;\s]", block)
    return {
        name: value if len(value) == 6 else "".join(c * 2 for c in value) for name, value in named
    }


def luminance(colour: str) -> float:
    """Relative luminance. Source: WCAG 2.2, definition of relative luminance."""
    shares = [int(colour[n : n + 2], 16) / 255 for n in (0, 2, 4)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """Contrast ratio. Source: WCAG 2.2, success criterion 1.4.3."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


TEXT_ON = [
    *[(text, ground) for text in ("ink", "soft", "accent") for ground in ("ground", "card")],
    *[(text, "card") for text in ("good", "warn", "bad", "c1", "c2", "c3")],
    *[("accent-ink", "accent"), ("accent", "tint"), ("ink", "tint"), ("ink", "mark")],
    *[("warn", "warn-tint"), ("bad", "bad-tint")],
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), TEXT_ON)
def test_text_can_be_read(scheme, text, ground):
    """WCAG AA: 4.5 to 1, in both schemes."""
    light, dark = STYLE.read_text(encoding="utf-8").split("prefers-color-scheme: dark", 1)
    palette = colours(light) | (colours(dark.split("*, ::before")[0]) if scheme == "dark" else {})

    assert contrast(palette[text], palette[ground]) >= 4.5
