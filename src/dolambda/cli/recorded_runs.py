"""Runs that this machine has recorded, for `dolambda runs`.

**Input:** the directory of records. **Output:** facts of runs, for a table, a script or a user.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dolambda.errors import ConfigurationError
from dolambda.records.file_format import RunRecord
from dolambda.records.state import run_state
from dolambda.records.store import LAST, RecordStore, read_ends, records_directory
from dolambda.wording import count, dollars, duration, moment

if TYPE_CHECKING:
    from dolambda.records.file_format import Block

_SHOWN_ERRORS = 5


def recorded_runs() -> list[dict[str, Any]]:
    """Return the facts of all runs, the latest first. Files that are no records are left out."""
    found = []
    for path in RecordStore(records_directory()).paths():
        try:
            header, footer = read_ends(path)
        except (OSError, ConfigurationError):  # it was just removed, or has another version
            continue
        found.append(_facts(header, footer, path))
    return found


def record_of(name: str) -> Path | None:
    """Return the record named by an id, the beginning of one, or "last".

    Return None without such a record, or if it belongs to a named run: the bucket has more facts.

    Raises:
        ConfigurationError: Several records fit.
    """
    path = any_record_of(name)
    if path is None:
        return None
    header, _ = read_ends(path)
    named = header.get("name")
    exact = RecordStore.id_of(path) == name
    return None if named and not exact and (name == LAST or named.startswith(name)) else path


def any_record_of(name: str) -> Path | None:
    """Return the record named by an id, the beginning of one, or "last", of named runs too.

    Raises:
        ConfigurationError: Several records fit.
    """
    store = RecordStore(records_directory())
    known = [store.id_of(path) for path in store.paths()]
    fits = name == LAST or any(one.startswith(name) for one in known)
    return store.find(name) if known and fits else None


def run_in_log(name: str) -> str:
    """Return the name that workers write of a run.

    A run is also found by the id of its record, the beginning of one, or "last".

    Raises:
        ConfigurationError: No run is recorded, so there is no last one.
    """
    store = RecordStore(records_directory())
    fitting = [path for path in store.paths() if store.id_of(path).startswith(name)]
    path = store.find(name) if name == LAST or len(fitting) == 1 else None
    return str(read_ends(path)[0]["run"]) if path else name


def show_record(path: Path, *, as_json: bool) -> None:
    """Print the facts of a run."""
    record = RunRecord.from_file(path)
    facts = _facts(record.header, record.footer, path) | _measured(record.tasks)
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    print(f"{facts['run']}: {facts['state']}, begun {moment(record.header['begun'])}")
    if facts["program"]:
        print(f"  program: {facts['program']} on {facts['host']}")
    replied, tasks = len(record.tasks), facts["tasks"] or 0
    said = f"{replied:,} of {count(tasks, 'task')}" if tasks > replied else count(replied, "task")
    print(f"  replies: {said} in {count(facts['jobs'], 'job')}")
    if facts["failed"]:
        types = Counter(error.type for error in record.tasks.errors)
        listed = ", ".join(f"{n:,} {kind}" for kind, n in types.most_common(_SHOWN_ERRORS))
        print(f"  failed: {count(facts['failed'], 'task')}" + (f" ({listed})" if listed else ""))
    workers, cold = count(facts["workers"], "worker"), count(facts["cold"], "cold start")
    memory = f", {facts['memory']:,} MB each" if facts["memory"] else ""
    print(f"  workers: {workers}, {cold}{memory}")
    print(
        f"  a task took {duration(facts['mean_seconds'])} on average, "
        f"{duration(facts['max_seconds'])} at most, and {facts['peak_mb']:,.0f} MB at most"
    )
    for name, times in (facts["throttled"] or {}).items():
        print(f"  throttled: {name}, {count(times, 'time')}")
    if facts["elapsed"] is not None:
        print(f"  time: {duration(facts['elapsed'])}; cost: {dollars(facts['cost'])}")


def _facts(header: dict[str, Any], footer: dict[str, Any] | None, path: Path) -> dict[str, Any]:
    ended = footer or {}
    script = header.get("program")
    return {
        "run": header["id"],
        "kind": "recorded",
        "name": header.get("name"),
        "state": run_state(header, footer),
        "begun": _iso(header["begun"]),
        "changed": _iso(ended.get("ended") or path.stat().st_mtime),
        "host": header.get("host"),
        "program": str(Path(header["directory"], script)) if script else None,
        "stack": header.get("stack"),
        "emulated": header.get("emulated"),
        "memory": header.get("memory"),
        "tasks": ended.get("expected") or ended.get("tasks"),  # joblib submits a few at a time
        **{name: ended.get(name) for name in ("done", "failed", "restored", "retried")},
        **{name: ended.get(name) for name in ("resent", "throttled", "elapsed", "cost", "bill")},
        "replies": None,
        "jobs": ended.get("jobs"),
    }


def _measured(tasks: Block) -> dict[str, Any]:
    """Return the measures in the replies."""
    number = len(tasks)
    return {
        "jobs": len(tasks.jobs),
        "failed": sum(kind == 1 for kind in tasks.kinds),
        "workers": len({job.worker for job in tasks.jobs}),
        "cold": sum(job.cold for job in tasks.jobs),
        "mean_seconds": sum(tasks.seconds) / number if number else 0.0,
        "max_seconds": max(tasks.seconds, default=0.0),
        "cpu_seconds": sum(tasks.cpu),
        "peak_mb": max(tasks.peak, default=0.0),
    }


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
