"""A curve as a picture: time and cost of a task by memory.

**Input:** a `Curve`. **Output:** SVG, alone or in an HTML page without scripts.
"""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from dolambda.wording import dollars, duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dolambda.tuning.curve import Curve, Point

_WIDTH, _HEIGHT = 720, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 90, 50, 80
_STYLE = """
svg { font: 13px system-ui, sans-serif; color: #222; background: #fff; }
text { fill: currentColor; } line { stroke: #8886; }
.time { fill: #2a78d6; } path.time, circle.time { stroke: #2a78d6; }
.cost { fill: #c2570c; } path.cost, circle.cost { stroke: #c2570c; }
path { fill: none !important; stroke-width: 2; }
@media (prefers-color-scheme: dark) { svg { color: #ddd; background: #16181c; } }
"""
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">
<title>{title}</title><style>body {{ font: 15px/1.45 system-ui, sans-serif; margin: 2em; }}</style>
</head><body><h1>{title}</h1>{svg}<p>{summary}</p></body></html>
"""


def html(curve: Curve) -> str:
    """Return a page with the picture."""
    title = escape(f"Memory sizes of the stack {curve.stack}")
    return _PAGE.format(title=title, svg=svg(curve), summary=escape(curve.summary()))


def svg(curve: Curve) -> str:
    """Return the picture: time on the left, cost of 1,000 tasks on the right."""
    points = [point for point in curve.points if point.tasks]
    parts = [f"<style>{_STYLE}</style>"]
    if points:
        parts += _axis(curve, points)
        parts += _line(points, "time", lambda point: point.seconds, duration)
        parts += _line(points, "cost", lambda point: 1000 * point.cost, dollars)
    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
    space = 'xmlns="http://www.w3.org/2000/svg"'
    return f'<svg {space} {size} role="img">{"".join(parts)}</svg>'


def _axis(curve: Curve, points: Sequence[Point]) -> list[str]:
    base = _HEIGHT - _BOTTOM
    parts = [
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{base}" y2="{base}"/>',
        _text("time", _LEFT, 24, "start", "time of a task"),
        _text("cost", _WIDTH - _RIGHT, 24, "end", "cost of 1,000 tasks"),
    ]
    for point in points:
        x = _x(point, points)
        label = f"{point.memory:,}" + (" deployed" if point.memory == curve.deployed else " MB")
        parts.append(
            f'<text x="{x:.1f}" y="{base + 20}" text-anchor="end" '
            f'transform="rotate(-30 {x:.1f} {base + 20})">{label}</text>'
        )
    return parts


def _line(
    points: Sequence[Point],
    name: str,
    value: Callable[[Point], float],
    shown: Callable[[float], str],
) -> list[str]:
    most = max(map(value, points)) or 1.0
    left = name == "time"
    places = [
        (_x(point, points), _TOP + (1 - value(point) / most) * (_HEIGHT - _TOP - _BOTTOM))
        for point in points
    ]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    label_x, anchor = (_LEFT - 8, "end") if left else (_WIDTH - _RIGHT + 8, "start")
    parts = [
        f'<path class="{name}" d="M {path}"/>',
        _text(name, label_x, _TOP + 4, anchor, shown(most)),
        _text(name, label_x, _HEIGHT - _BOTTOM + 4, anchor, "0"),
    ]
    for (x, y), point in zip(places, points, strict=True):
        title = f"{point.memory:,} MB: {shown(value(point))}"
        parts.append(
            f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" '
            f'r="4"><title>{title}</title></circle>'
        )
    return parts


def _text(name: str, x: float, y: float, anchor: str, text: str) -> str:
    return f'<text class="{name}" x="{x}" y="{y}" text-anchor="{anchor}">{text}</text>'


def _x(point: Point, points: Sequence[Point]) -> float:
    low, high = math.log(points[0].memory), math.log(points[-1].memory)
    share = (math.log(point.memory) - low) / (high - low) if high > low else 0.5
    return _LEFT + 20 + share * (_WIDTH - _LEFT - _RIGHT - 40)
