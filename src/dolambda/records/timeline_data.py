"""The times of all tasks as columns that a page's script reads.

**Input:** `TaskTimes` and errors. **Output:** HTML elements that no browser executes: the columns,
compressed, and a JSON object with the names of workers and the texts of errors.
"""

from __future__ import annotations

import base64
import json
import sys
import zlib
from array import array
from typing import TYPE_CHECKING, Any

from dolambda.records.timeline import short_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dolambda.records.file_format import ErrorEntry
    from dolambda.records.timeline import TaskTime

_MAX_WORKERS = 1 << 16
_MAX_TEXTS = 1000
_UNKNOWN = "failed"
_MASK = 0xFFFFFFFF


def timeline_data(times: Sequence[TaskTime], errors: Sequence[ErrorEntry], span: float) -> str:
    """Return the elements. Tasks are sorted by worker, and each worker's by their beginning."""
    workers = {worker: row for row, worker in enumerate(dict.fromkeys(one.worker for one in times))}
    texts, text_of = _texts(errors)
    drawn = sorted(
        (workers[one.worker], one.begin, one.seconds, one.task, one.kind)
        for one in times
        if workers[one.worker] < _MAX_WORKERS
    )
    columns = (
        array("f", [begin for _, begin, _, _, _ in drawn]),
        array("f", [seconds for _, _, seconds, _, _ in drawn]),
        array("I", [task & _MASK for _, _, _, task, _ in drawn]),
        array("H", [row for row, _, _, _, _ in drawn]),
        array("H", [text_of.get(task, 1) if kind else 0 for _, _, _, task, kind in drawn]),
    )
    if sys.byteorder == "big":
        for column in columns:
            column.byteswap()
    packed = base64.b64encode(zlib.compress(b"".join(column.tobytes() for column in columns)))
    facts = {
        "size": len(drawn),
        "span": span,
        "workers": [short_name(worker) for worker in list(workers)[:_MAX_WORKERS]],
        "errors": texts,
    }
    return (
        f'<script type="application/octet-stream" class="columns">{packed.decode()}</script>'
        f'<script type="application/json" class="facts">{_as_json(facts)}</script>'
    )


def _texts(errors: Sequence[ErrorEntry]) -> tuple[list[str], dict[int, int]]:
    """Return the texts of errors, and for each failed task the position of its text, from 1."""
    texts = {_UNKNOWN: 1}
    text_of = {}
    for error in errors:
        text = ": ".join(part for part in (error.type or error.kind, error.message) if part)
        if text not in texts and len(texts) < _MAX_TEXTS:
            texts[text] = len(texts) + 1
        text_of[error.task] = texts.get(text, 1)
    return list(texts), text_of


def _as_json(facts: dict[str, Any]) -> str:
    """Return JSON in which nothing ends the element around it."""
    text = json.dumps(facts, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
