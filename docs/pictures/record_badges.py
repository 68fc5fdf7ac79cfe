"""Draw the badges of README: `python docs/pictures/record_badges.py`.

A test compares them with pyproject.toml. They need no service that counts or draws.

**Input:** pyproject.toml. **Output:** pictures in badges/.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

_HERE = Path(__file__).parent
_BADGE = """\
<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img"
    aria-label="{label}: {value}">
  <title>{label}: {value}</title>
  <clipPath id="r"><rect width="{width}" height="20" rx="3"/></clipPath>
  <g clip-path="url(#r)">
    <rect width="{split}" height="20" fill="#555"/>
    <rect x="{split}" width="{rest}" height="20" fill="{colour}"/>
  </g>
  <g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">
    <text x="{first}" y="14" textLength="{label_length}">{label}</text>
    <text x="{second}" y="14" textLength="{value_length}">{value}</text>
  </g>
</svg>
"""
_LETTER = 6.1
"""Width of a letter."""


def badges() -> dict[str, str]:
    """Return each badge's picture by its name."""
    project = tomllib.loads((_HERE.parents[1] / "pyproject.toml").read_text())["project"]
    ends = [text.rpartition(" :: ")[2] for text in project["classifiers"]]
    versions = [end for end in ends if end.startswith("3.")]
    status = next(text for text in project["classifiers"] if text.startswith("Development"))
    return {
        "python": _badge("python", " | ".join(versions), "#2f6f9f"),
        "licence": _badge("licence", project["license"].partition(" AND ")[0], "#3c7a3c"),
        "status": _badge("status", status.rpartition(" - ")[2].lower(), "#a8620e"),
    }


def _badge(label: str, value: str, colour: str) -> str:
    lengths = [round(len(text) * _LETTER) for text in (label, value)]
    split, rest = (length + 12 for length in lengths)
    return _BADGE.format(
        label=label,
        value=value,
        colour=colour,
        split=split,
        rest=rest,
        width=split + rest,
        first=split / 2,
        second=split + rest / 2,
        label_length=lengths[0],
        value_length=lengths[1],
    )


if __name__ == "__main__":
    for name, picture in badges().items():
        (_HERE / "badges" / f"{name}.svg").write_text(picture)
