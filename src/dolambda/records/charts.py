"""Charts of a record that need no script: for printing, and for browsers without scripts.

**Input:** the times of tasks. **Output:** HTML with SVG. Labels are HTML, so that they keep their
size on narrow screens.
"""

from __future__ import annotations

import math
from collections import Counter
from html import escape
from typing import TYPE_CHECKING

from dolambda.records.timeline import busy_shares, runs_of_levels, short_name
from dolambda.wording import count, duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from dolambda.records.timeline import TaskTime

_WIDTH, _ROW, _LEFT = 1000, 14, 90
_BINS, _LEVELS = 500, 4
_MAX_ROWS, _MAX_MARKS = 100, 1000
_BARS = 30
_LOAD_BINS = 200


def timeline_chart(times: Sequence[TaskTime], span: float, listed: set[int]) -> str:
    """Return the load of each worker over time. Failed tasks that are ``listed`` are links."""
    shares = busy_shares(list(times), span, _BINS)
    rows = {worker: row for row, worker in enumerate(list(shares)[:_MAX_ROWS])}
    scale = (_WIDTH - _LEFT) / _BINS
    parts = []
    for worker, row in rows.items():
        label = escape(short_name(worker))
        parts.append(f'<text x="0" y="{_ROW * row + 11}">{label}</text>')
        for first, length, level in runs_of_levels(shares[worker], _LEVELS):
            parts.append(
                f'<rect class="busy" x="{_LEFT + first * scale:.1f}" y="{_ROW * row + 1}" '
                f'width="{length * scale:.1f}" height="{_ROW - 2}" opacity="{level / _LEVELS}"/>'
            )
    failed = [one for one in times if one.kind and one.worker in rows]
    for one in failed[:_MAX_MARKS]:
        x = _LEFT + (one.begin + one.seconds) / span * (_WIDTH - _LEFT)
        mark = (
            f'<rect class="bad" x="{x - 1.5:.1f}" y="{_ROW * rows[one.worker]}" width="3" '
            f'height="{_ROW}"><title>task {one.task} failed</title></rect>'
        )
        is_link = one.task in listed
        parts.append(f'<a href="#failed-{one.task}">{mark}</a>' if is_link else mark)
    height = _ROW * len(rows) + 18
    parts.append(f'<text x="{_LEFT}" y="{height - 3}">0 s</text>')
    parts.append(f'<text x="{_WIDTH}" y="{height - 3}" text-anchor="end">{duration(span)}</text>')
    left = len(shares) - len(rows)
    note = f'<p class="note">{count(left, "more worker")} not drawn.</p>' if left else ""
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img">{"".join(parts)}</svg>{note}'


def load_chart(times: Sequence[TaskTime], span: float) -> str:
    """Return how many workers were busy over time."""
    shares = busy_shares(list(times), span, _LOAD_BINS)
    load = [sum(column) for column in zip(*shares.values(), strict=True)]
    most = len(shares)
    steps = "".join(
        f"V{100 - 100 * one / most:.1f}H{number + 1}" for number, one in enumerate(load)
    )
    area = f'<path class="busy" d="M0 100{steps}V100Z"/>'
    axis = [duration(span * part / 4) if part else "0 s" for part in range(5)]
    return _plot(area, _LOAD_BINS, top=count(most, "worker"), axis=axis)


def duration_chart(seconds: Sequence[float]) -> str:
    """Return how many tasks took how long. The scale is logarithmic."""
    positive = [one for one in seconds if one > 0]
    if not positive:
        return ""
    low, high = math.log10(min(positive)), math.log10(max(positive))
    if high - low < 0.1:  # noqa: PLR2004 - all the same: some room on both sides
        low, high = low - 0.1, high + 0.1
    chart = _histogram(
        [math.log10(one) for one in positive], low, high, lambda power: duration(10**power)
    )
    ranked = sorted(positive)
    middle, most = ranked[len(ranked) // 2], ranked[(9 * len(ranked)) // 10]
    note = f"Median {duration(middle)}, nine of ten within {duration(most)}. Logarithmic scale."
    return f'{chart}<p class="note">{note}</p>'


def memory_chart(peak: Sequence[float], paid: float) -> str:
    """Return how many tasks used how much of the memory that is paid for."""
    return _histogram(peak, 0.0, max(paid, *peak), lambda mb: f"{mb:,.0f} MB")


def _histogram(
    values: Sequence[float], low: float, high: float, words: Callable[[float], str]
) -> str:
    width = (high - low) / _BARS
    counts = Counter(min(_BARS - 1, int((one - low) / width)) for one in values)
    heights = [counts[number] for number in range(_BARS)]
    titles = [
        f"{count(counts[number], 'task')}: {words(low + number * width)} "
        f"to {words(low + (number + 1) * width)}"
        for number in range(_BARS)
    ]
    most = max(counts.values())
    axis = [words(low + (high - low) * part / 4) for part in range(5)]
    bars = "".join(
        f'<rect class="busy" x="{number + 0.08:g}" y="{100 - 100 * height / most:.1f}" '
        f'width="0.84" height="{100 * height / most:.1f}"><title>{escape(title)}</title></rect>'
        for number, (height, title) in enumerate(zip(heights, titles, strict=True))
        if height
    )
    return _plot(bars, _BARS, top=count(most, "task"), axis=axis)


def _plot(shapes: str, width: int, *, top: str, axis: Iterable[str]) -> str:
    labels = "".join(f"<span>{escape(label)}</span>" for label in axis)
    return (
        f'<figure class="bars"><div class="top">{escape(top)}</div>'
        f'<svg viewBox="0 0 {width} 100" preserveAspectRatio="none" role="img">{shapes}</svg>'
        f'<div class="axis">{labels}</div></figure>'
    )
