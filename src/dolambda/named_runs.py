"""Runs that outlive their client: the data of earlier clients, read and checked.

**Input:** a name, a bucket, the stack's key. **Output:** replies to earlier clients, and a record
of the run.

    outs/run.<name>/000000/<n>    replies, kept until they are cleaned or expire in the bucket
    runs/<name>                   origin, start, inputs and progress of the run
    runs/<name>.order             the earlier reply for each task of the last start
    jobs/00/run.<name>/000000/<n> jobs that wait or run

All objects are signed, and name their run and place: objects copied from elsewhere in the bucket
are ignored. The record contains neither arguments nor environment, which may be secret.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING

from dolambda.errors import ConfigurationError, EnvelopeError, RunTakenOverError
from dolambda.named_run_record import Record
from dolambda.scheduler.stored import Stored
from dolambda.transport.lease.client import Leases
from dolambda.wire import envelope, keys
from dolambda.wire.lease import Lease
from dolambda.wire.reply import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from dolambda.aws.objects import Bucket
    from dolambda.scheduler.report import Report
    from dolambda.transport.base import Transport
    from dolambda.transport.factory import TransportFactory
    from dolambda.wire.outcome import PackedOutcome

log = logging.getLogger("dolambda")

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}\Z")
_AT_ONCE = 32
_NUMBERS = 900_000_000
"""Largest job number that counts: a key far above is not the run's own, and would leave it no
numbers to use.
"""

_BLOCK = 50_000
"""Distance between the job numbers of two starts, so that they differ even if both run for a
moment.
"""

_KEPT_S = 6 * 86_400.0
"""Time in which a missing record was removed by somebody. Later, it may have expired."""

_ORDER_EVERY_S = 5.0
_MOVED = "Another object of the bucket was copied over it. Nothing in it was used."


@dataclass(frozen=True)
class Results:
    """Outcomes of the last start by the position of their tasks.

    ``others`` have no position in that start.
    """

    outcomes: Mapping[int, PackedOutcome]
    others: int


def check_name(name: object) -> str:
    """Return a run's name.

    Raises:
        ConfigurationError: ``name`` is not a name for a run.
    """
    if not isinstance(name, str) or not _NAME.match(name):
        raise ConfigurationError(
            f"run={name!r} is not a name for a run",
            hint="Use up to 40 lower-case letters, digits, hyphens and underscores: nightly-17.",
        )
    return name


def names(bucket: Bucket) -> list[str]:
    """Return the names of the runs that have objects in the bucket."""
    there = (key.removeprefix(keys.RUNS) for key in bucket.list(keys.RUNS))
    return [name for name in there if _NAME.match(name)]


class NamedRun:
    """The run of a name, as it is in the bucket."""

    def __init__(self, name: str, bucket: Bucket, key: bytes) -> None:
        """Check the name. No request is sent.

        Raises:
            ConfigurationError: ``name`` is not a name for a run.
        """
        self.client = f"run.{check_name(name)}"
        self.run = keys.run_name(self.client, 0)
        self._name = name
        self._bucket = bucket
        self._key = key
        self._record = keys.RUNS + name
        self._order = f"{self._record}.order"
        self.began: Record | None = None
        self.stored: Stored | None = None

    def begin(self) -> Stored:
        """Take over the run.

        Write the record, so that another client that has it open ends. Withdraw the jobs of an
        earlier client, and read its replies.

        Raises:
            RunTakenOverError: Another client began it at the same time.
        """
        before = self.record()
        self.began = Record.from_script(self._name, _NUMBERS, before)
        self.write(self.began)
        jobs = keys.numbered(self.jobs(), keys.jobs_prefix(self.run))
        self._withdraw(jobs)
        replies = self.reply_keys()
        taken = [*jobs, *keys.numbered(replies, f"{keys.OUTS}{self.run}/"), *self._withdrawn()]
        if before:
            taken.append(before.first + _BLOCK)
        first = 1 + max((number for number in taken if number < _NUMBERS), default=-1)
        self.stored = Stored.from_replies(self.replies(replies), first)
        if taken_over := self.taken_over():
            raise taken_over
        self.began = replace(self.began, first=first)
        self.write(self.began)
        return self.stored

    def taken_over(self) -> RunTakenOverError | None:
        """Return an error if this start is no longer the run's last one, else None."""
        began = self.began
        sealed = self._found(self._record)
        if began is None or (sealed is None and time.time() - began.changed > _KEPT_S):
            return None
        what = "was removed by `dolambda runs clean`"
        if sealed is not None:
            try:
                header, _ = envelope.unseal("record", sealed, self._key)
            except EnvelopeError:  # not a record: the others ignore it too
                return None
            if header.get("name") != self._name or header.get("start") == began.start:
                return None
            what = "was cancelled by `dolambda runs cancel`"
            if header.get("start"):
                where = f" on {header['host']}" if header.get("host") else ""
                what = f"was begun again by another program{where}"
        return RunTakenOverError(
            f"run {self._name} {what}, so it ended in this program",
            hint="Tasks that have a reply are kept, unless the run was cleaned. Use another name "
            "for a run of its own.",
        )

    def _withdrawn(self) -> list[int]:
        """Return the last number of each range that the run's lease withdraws.

        These numbers must not be used again.
        """
        sealed = self._found(keys.lease_key(self.run))
        try:
            found = Lease.from_bytes(sealed, self._key, self.run) if sealed else None
        except EnvelopeError:  # workers ignore it too
            found = None
        return [last for _, last in found.withdrawn] if found else []

    def reply_keys(self) -> list[str]:
        """Return the keys of the replies, in the order of their jobs."""
        stem = f"{keys.OUTS}{self.run}/"
        there = self._bucket.list(keys.replies_prefix(self.client))
        return list(keys.numbered(there, stem).values())

    def replies(self, there: list[str]) -> Iterator[Reply]:
        """Read the replies.

        A reply that does not belong to this run and this key is left out with a warning.
        """
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="dolambda-stored") as pool:
            for key, sealed in zip(there, pool.map(self._found, there), strict=True):
                if sealed is None:  # it has expired, or was cleaned, since the listing
                    continue
                try:
                    yield self._opened(key, sealed)
                except EnvelopeError as refused:
                    log.warning("%s is left out: %s", key, refused)

    def _opened(self, key: str, sealed: bytes) -> Reply:
        reply = Reply.from_bytes(sealed, self._key)
        if keys.reply_key(reply.run, reply.number) != key:
            raise EnvelopeError(
                f"it is the reply to job {reply.number} of {reply.run}", hint=_MOVED
            )
        return reply

    def _found(self, key: str) -> bytes | None:
        try:
            return self._bucket.get(key)
        except FileNotFoundError:
            return None

    def record(self) -> Record | None:
        """Return the record. Return None, with a warning, if it is not the run's own."""
        header, _ = self._own("record", self._record)
        known = {field.name for field in fields(Record)}
        with contextlib.suppress(TypeError):  # written by a version whose records hold less
            return Record(**{name: value for name, value in header.items() if name in known})
        return None

    def write(self, record: Record) -> None:
        """Store a record."""
        self._bucket.put(self._record, envelope.seal("record", asdict(record), [], self._key))

    def write_order(self, first: int, restored: Mapping[int, str]) -> None:
        """Store the earlier reply for each task of the start whose jobs begin at ``first``."""
        body = json.dumps(list(restored.items()), separators=(",", ":")).encode()
        header = {"name": self._name, "first": first}
        self._bucket.put(self._order, envelope.seal("order", header, [body], self._key))

    def _own(self, kind: str, key: str) -> tuple[envelope.Header, memoryview]:
        """Return header and body of one of its objects, or nothing if it is missing or foreign."""
        sealed = self._found(key)
        if sealed is None:
            return {}, memoryview(b"")
        try:
            header, body = envelope.unseal(kind, sealed, self._key)
            self._refuse_another(header)
        except EnvelopeError as refused:
            log.warning("%s is left out: %s", key, refused)
            return {}, memoryview(b"")
        return header, body

    def _refuse_another(self, header: envelope.Header) -> None:
        if header.get("name") != self._name:
            raise EnvelopeError(f"it belongs to run {header.get('name')!r}", hint=_MOVED)

    def results(self) -> Results:
        """Return the outcomes that have a reply.

        Replies to earlier starts count if the last start reused them. Without a record it is not
        known which start a reply belongs to.
        """
        record = self.record()
        first = record.first if record else _NUMBERS
        header, body = self._own("order", self._order)
        order: list[tuple[int, str]] = (
            json.loads(bytes(body)) if header.get("first") == first else []
        )
        places = {identity: index for index, identity in order}
        outcomes: dict[int, PackedOutcome] = {}
        others: set[str] = set()
        for reply in self.replies(self.reply_keys()):
            for one in reply.outcomes:
                at = one.index if reply.number >= first else places.get(one.task)
                if one.kind != "lost" and at is not None:
                    outcomes[at] = one
                elif one.kind != "lost":
                    others.add(one.task)
        others -= {one.task for one in outcomes.values()}
        return Results(dict(sorted(outcomes.items())), len(others))

    def jobs(self) -> list[str]:
        """Return the keys of the jobs that wait or run."""
        stem = keys.jobs_prefix(self.run)
        return list(keys.numbered(self._bucket.list(keys.jobs_prefix(self.client)), stem).values())

    def cancel(self) -> int:
        """Withdraw the jobs: workers stop within seconds.

        Returns:
            The number of jobs.
        """
        if record := self.record():  # a client that is still running ends
            self.write(replace(record, start=""))
        jobs = keys.numbered(self.jobs(), keys.jobs_prefix(self.run))
        self._withdraw(jobs)
        return len(jobs)

    def _withdraw(self, jobs: Mapping[int, str]) -> None:
        if jobs:
            Leases(self._bucket, self._key).withdraw(self.run, jobs)
            self._bucket.delete(list(jobs.values()))

    def clean(self) -> int:
        """Remove all objects of the run, and stop its jobs.

        A lease that workers may still have to read stays. It expires after a day.

        Returns:
            The number of objects.
        """
        jobs = self.jobs()
        self._withdraw(keys.numbered(jobs, keys.jobs_prefix(self.run)))
        own = [key for key in self._bucket.list(keys.RUNS) if key in (self._record, self._order)]
        parts = [
            key
            for key in self._bucket.list(keys.parts_prefix(self.run))
            if keys.parse_part_key(self.run, key)
        ]
        there = [*jobs, *self.reply_keys(), *parts, *own]
        lease = [] if self._withdrawn() else [keys.lease_key(self.run)]
        self._bucket.delete([*there, *lease])
        return len(there)


class OpenNamedRuns:
    """The named runs that a session has open, each with a transport that keeps its replies.

    Args:
        bucket: Keeps the replies. None without a bucket.
        key: Signs them.
        transports: Makes the transports.
    """

    def __init__(
        self, bucket: Bucket | None, key: bytes, transports: TransportFactory | None
    ) -> None:
        self._bucket = bucket
        self._key = key
        self._transports = transports
        self._lock = threading.Lock()
        self._open: dict[str, Transport | None] = {}  # None while it begins

    def take_over(self, name: str, way: Transport) -> tuple[NamedRun, Stored, Transport]:
        """Begin or continue the run of that name.

        Args:
            name: The name that the user gave the run.
            way: The transport of other runs.

        Returns:
            The run, the results of earlier clients, and its transport.

        Raises:
            ConfigurationError: Nothing keeps its replies, or it is already open.
        """
        if self._bucket is None or not way.queues:
            raise ConfigurationError(
                f"run={name!r} was given with a transport that keeps no replies",
                hint='Named runs go through the bucket: transport="queue".',
            )
        named = NamedRun(name, self._bucket, self._key)
        with self._lock:
            if named.run in self._open:
                raise ConfigurationError(
                    f"run={name!r} is already open in this session",
                    hint="Use another name, or wait for its end.",
                )
            self._open[named.run] = None
        try:
            stored = named.begin()
            if self._transports:
                keeping = self._transports.keeping(named.client, named.taken_over)
                way = self._open[named.run] = keeping
        except BaseException:
            self.release(named.run)
            raise
        if len(stored):
            log.info("run %s: %s tasks have been done before", name, len(stored))
        return named, stored, way

    def release(self, run: str) -> None:
        """Close the transport of a run that has ended, if it is a named run."""
        if kept := self._open.pop(run, None):
            kept.close()

    def close(self) -> None:
        """Close all transports."""
        for run in list(self._open):
            self.release(run)


class Recorder:
    """Recorder of a run's progress in the bucket, which also shows its reports."""

    def __init__(self, named: NamedRun, show: Callable[[Report], None] | None) -> None:
        """Record the progress of ``named``, which has begun. ``show`` gets each report too."""
        self._named = named
        self._show = show
        self._lock = threading.Lock()
        self._written = 0
        self._next = 0.0

    def __call__(self, report: Report) -> None:
        """Process a report."""
        if self._show:
            self._show(report)
        with self._lock:
            if report.over or time.monotonic() >= self._next:
                self._keep_order()
        began = self._named.began
        if report.over and began and not self._named.taken_over():
            over = report.done + report.failed == report.tasks
            now = replace(
                began, changed=time.time(), over=over, tasks=report.tasks, done=report.done
            )
            self._named.write(replace(now, failed=report.failed, restored=report.restored))

    def _keep_order(self) -> None:
        stored = self._named.stored
        grown = stored is not None and len(stored.restored) > self._written
        if stored is not None and grown and not self._named.taken_over():
            restored = stored.restored.copy()
            self._named.write_order(stored.first, restored)
            self._written = len(restored)
            self._next = time.monotonic() + _ORDER_EVERY_S
