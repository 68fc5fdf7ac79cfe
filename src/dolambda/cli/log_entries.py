"""The lines of the workers' log, for users and scripts.

**Input:** events as CloudWatch returns them. Workers write JSON: the event, and the job's object.
Other lines are Lambda's own or the Python runtime's. **Output:** `Entry`.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from dolambda.aws.account import translated
from dolambda.errors import ConfigurationError
from dolambda.wire.keys import parse_job_key
from dolambda.wording import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

_LAMBDAS_OWN = ("START ", "END ", "REPORT ", "INIT_START ", "EXTENSION ")
_DURATION = re.compile(r"(\d{1,9})\s*([smhdw])\Z")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LATE_MS = 60_000  # CloudWatch may take this long to show a line
_LONGEST = timedelta(days=3660)  # the longest time that CloudWatch keeps a log


@dataclass(frozen=True)
class Entry:
    """One line. ``run``, ``job`` and ``tasks`` are those that it names, if any."""

    milliseconds: int
    text: str
    stream: str = ""
    run: str = ""
    job: int | None = None
    tasks: tuple[int, ...] = ()

    @classmethod
    def from_event(cls, event: dict[str, Any]) -> Entry:
        """Return the entry of a CloudWatch event."""
        said = str(event["message"]).rstrip()
        when, stream = int(event["timestamp"]), str(event.get("logStreamName", ""))
        found = _written_by_worker(said)
        if found is None:
            return cls(when, said, stream)
        place = parse_job_key(str(found.get("object", "")))
        run, job = place or (str(found.get("run", "")), found.get("job"))
        return cls(
            when,
            str(found["dolambda"]),
            stream,
            run,
            job if isinstance(job, int) else None,
            _numbers(found.get("tasks", found.get("task"))),
        )

    @property
    def is_lambdas_own(self) -> bool:
        """True for the lines that Lambda writes for each invocation."""
        return self.text.startswith(_LAMBDAS_OWN)

    def is_of(self, run: str | None, task: int | None) -> bool:
        """Return whether it is about a run, named at least by the beginning, and a task."""
        if task is not None and task not in self.tasks:
            return False
        return run is None or any(
            whole == run or whole.startswith(f"{run}/") for whole in (self.run, self.name)
        )

    @property
    def name(self) -> str:
        """The run's name as users write it: that of a named run without prefix and suffix."""
        named = self.run.startswith("run.")
        return self.run.removeprefix("run.").removesuffix("/000000") if named else self.run

    def __str__(self) -> str:
        """Return the line for a user: local date and time, the event, and its job."""
        parts = [f"run {self.name}"] if self.run else []
        parts += [f"job {self.job:,}"] if self.job is not None else []
        parts += [f"task{'s' if len(self.tasks) > 1 else ''} {_ranges(self.tasks)}"] * bool(
            self.tasks
        )
        about = f"  ({', '.join(parts)})" if parts else ""
        lines = [line.strip() for line in self.text.splitlines()]
        # So that a search for the run finds the line.
        text = " - ".join(lines) if self.run else self.text
        return f"{moment(self.milliseconds / 1000, exact=True)}  {text}{about}"

    def to_json(self) -> str:
        """Return the line for a script: one JSON object."""
        when = datetime.fromtimestamp(self.milliseconds / 1000, UTC)
        facts: dict[str, Any] = {"time": when.isoformat(timespec="milliseconds"), "text": self.text}
        facts |= {"run": self.name or None, "job": self.job, "tasks": list(self.tasks)}
        return json.dumps({**facts, "stream": self.stream})


def since(text: str, now: datetime) -> datetime:
    """Return the time that "90s", "30m", "2h", "3d" or a date means.

    Raises:
        ConfigurationError: The text means no time of the last ten years.
    """
    found = _DURATION.match(text.strip())
    try:
        if found:
            back = timedelta(**{_UNITS[found[2]]: int(found[1])})
            moment_then = now - back
        else:
            moment_then = datetime.fromisoformat(text.strip()).astimezone()
    except (ValueError, OverflowError):
        raise ConfigurationError(
            f"--since {text!r} is neither a duration nor a date",
            hint="Write 90s, 30m, 2h or 3d, or a date such as 2026-11-25 or '2026-11-25 14:30'.",
        ) from None
    if not now - _LONGEST <= moment_then <= now:
        raise ConfigurationError(
            f"--since {text!r} is not within the last ten years",
            hint="A log begins at most ten years ago, and has no lines of the future.",
        )
    return moment_then


def entries(client: Any, group: str, start: datetime, *, follow: float | None) -> Iterator[Entry]:
    """Yield the lines of a log group, each once.

    With ``follow``, the seconds between two polls, do not end.
    """
    first = int(start.timestamp() * 1000)
    seen: dict[str, int] = {}
    while True:
        with translated():
            pages = client.get_paginator("filter_log_events").paginate(
                logGroupName=group, startTime=first
            )
            for page in pages:
                for event in page["events"]:
                    identity = str(event.get("eventId") or sorted(event.items()))
                    if identity not in seen:
                        seen[identity] = event["timestamp"]
                        yield Entry.from_event(event)
        if follow is None:
            return
        time.sleep(follow)
        first = max(first, max(seen.values(), default=0) - _LATE_MS)
        seen = {identity: when for identity, when in seen.items() if when >= first}


def _written_by_worker(line: str) -> dict[str, Any] | None:
    """Return the JSON that a worker wrote, or None for any other line."""
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and "dolambda" in found else None


def _numbers(found: object) -> tuple[int, ...]:
    listed = found if isinstance(found, list) else [found]
    return tuple(one for one in listed if isinstance(one, int))


def _ranges(numbers: tuple[int, ...]) -> str:
    """Return numbers with consecutive ones joined: "0 to 4, 7"."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(
        f"{part[0]:,}" if len(part) == 1 else f"{part[0]:,} to {part[-1]:,}" for part in parts
    )
