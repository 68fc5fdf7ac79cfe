"""Runs that outlive their client. On entry: a name, a bucket, a key; on leaving: replies of earlier clients, and a record of the run.

    outs/run.<name>/000000/<n>    replies, kept until they are cleaned, or expire by the bucket's rules
    runs/<name>                   who began it, when, with what, and how far it is; signed as replies are
    jobs/run.<name>/000000/<n>    jobs under way

The record holds neither arguments nor environment: what stands in them may be secret.
"""

from __future__ import annotations

import contextlib
import logging
import platform
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dolambda.dispatch.stored import Stored
from dolambda.errors import ConfigurationError, EnvelopeError
from dolambda.version import VERSION
from dolambda.wire import envelope, keys
from dolambda.wire.outcome import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dolambda.aws.objects import Bucket
    from dolambda.dispatch.report import Report

log = logging.getLogger("dolambda")

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}\Z")
_AT_ONCE = 32


@dataclass(frozen=True)
class Record:
    """What is known of a run. ``begun`` and ``changed`` are in seconds since the epoch, counts those of the last client."""

    name: str
    begun: float
    changed: float
    host: str = ""
    directory: str = ""
    script: str = ""
    version: str = VERSION
    tasks: int = 0
    done: int = 0
    failed: int = 0
    restored: int = 0
    over: bool = False


def check_name(name: str) -> str:
    """Give a run's name back. Raises `ConfigurationError`."""
    if not _NAME.match(name):
        raise ConfigurationError(
            f"run={name!r} is no name for a run",
            hint="Give up to 40 small letters, digits, hyphens and underscores, such as nightly-17.",
        )
    return name


def names(bucket: Bucket) -> list[str]:
    """The runs that have left anything."""
    return [key.removeprefix(keys.RUNS) for key in bucket.list(keys.RUNS)]


class NamedRun:
    """One run of that name, as it is in the bucket."""

    def __init__(self, name: str, bucket: Bucket, key: bytes) -> None:
        """Raises `ConfigurationError` for what is no name. Nothing is asked."""
        self.client = f"run.{check_name(name)}"
        self.run = keys.run_name(self.client, 0)
        self._name = name
        self._bucket = bucket
        self._key = key
        self._record = keys.RUNS + name

    def begin(self) -> Stored:
        """Take over: jobs that an earlier client has left are withdrawn, its replies are read. Writes the record."""
        left = self._bucket.list(f"{keys.JOBS}{self.client}/")
        self._bucket.delete(left)
        replies = self.reply_keys()
        stored = Stored.from_replies(
            self.replies(replies), 1 + max((int(key[-9:]) for key in [*left, *replies]), default=-1)
        )
        before = self.record()
        script = Path(sys.argv[0])
        now = time.time()
        self.write(
            Record(
                self._name,
                before.begun if before else now,
                now,
                platform.node(),
                str(script.resolve().parent) if script.is_file() else "",
                script.name if script.is_file() else "",
            )
        )
        return stored

    def reply_keys(self) -> list[str]:
        """Where the replies are that there are."""
        return self._bucket.list(keys.replies_prefix(self.client))

    def replies(self, there: list[str]) -> Iterator[Reply]:
        """Read replies; those that are not signed by this stack are left out, with a warning."""
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="dolambda-stored") as pool:
            for key, sealed in zip(there, pool.map(self._bucket.get, there), strict=True):
                try:
                    yield Reply.from_bytes(sealed, self._key)
                except EnvelopeError as refused:
                    log.warning("%s is left out: %s", key, refused)

    def record(self) -> Record | None:
        """What is known of it; None if it has no record, or one that is not this stack's."""
        with contextlib.suppress(FileNotFoundError, EnvelopeError, TypeError):
            header, _ = envelope.unseal("record", self._bucket.get(self._record), self._key)
            return Record(
                **{name: value for name, value in header.items() if name not in ("kind", "format")}
            )
        return None

    def write(self, record: Record) -> None:
        """Keep a record."""
        self._bucket.put(self._record, envelope.seal("record", asdict(record), [], self._key))

    def jobs(self) -> list[str]:
        """Its jobs that wait or are at work."""
        return self._bucket.list(f"{keys.JOBS}{self.client}/")

    def cancel(self) -> int:
        """Withdraw its jobs: workers stop within seconds. Tells how many there were."""
        jobs = self.jobs()
        self._bucket.delete(jobs)
        return len(jobs)

    def clean(self) -> int:
        """Remove all of it; tell how many objects there were."""
        there = [*self.jobs(), *self.reply_keys(), self._record]
        self._bucket.delete(there)
        return len(there)


def recorded(named: NamedRun, show: Callable[[Report], None] | None) -> Callable[[Report], None]:
    """Give what shows a run's reports, and keeps the last one with the run."""

    def call(report: Report) -> None:
        if show:
            show(report)
        if report.over and (record := named.record()):
            over = report.done + report.failed == report.tasks
            now = replace(
                record, changed=time.time(), over=over, tasks=report.tasks, done=report.done
            )
            named.write(replace(now, failed=report.failed, restored=report.restored))

    return call
