"""Writer of the record of a run while it runs.

**Input:** opened replies, from any thread, and a report and a bill at the end. **Output:** a file.
A failure to write is one warning in each session, and never an error of the run.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import secrets
import sys
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dolambda.errors import ConfigurationError
from dolambda.local.place import limits_cpu
from dolambda.records.advice import advice_of
from dolambda.records.file_format import (
    Block,
    ErrorEntry,
    JobEntry,
    RunRecord,
    counts_frame,
    footer_frame,
    header_line,
)
from dolambda.records.store import RecordStore, records_directory
from dolambda.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.money.bill import Bill
    from dolambda.scheduler.limits import Limits
    from dolambda.scheduler.report import Report
    from dolambda.settings import Settings
    from dolambda.stack import Stack
    from dolambda.wire.reply import Reply

log = logging.getLogger("dolambda")

_BLOCK_TASKS = 8192
_BLOCK_S = 1.0
_MAX_MESSAGE = 500
_KIND = 0x0F
_MAX_KEPT = 200
_LIVE = (
    "tasks",
    "expected",
    "done",
    "failed",
    "retried",
    "resent",
    "restored",
    "running",
    "throttled",
    "elapsed",
)


@dataclass(frozen=True)
class Program:
    """The program that opened a run, without its arguments: they may be secret."""

    program: str
    directory: str
    host: str
    pid: int
    python: str
    version: str = VERSION

    @classmethod
    def from_interpreter(cls) -> Program:
        """Return the program of this interpreter."""
        script = Path(sys.argv[0]) if sys.argv and sys.argv[0] else Path()
        name = script.name if script.is_file() else ""
        where = str(script.resolve().parent) if name else ""
        return cls(name, where, platform.node(), os.getpid(), platform.python_version())


class SessionRecords:
    """Recorders of one session's runs. There are no more after a disk error."""

    def __init__(
        self, store: RecordStore | None, facts: dict[str, Any], *, keep_messages: bool = False
    ) -> None:
        """Prepare the records.

        Args:
            store: The directory. None records nothing.
            facts: Facts of the session, which go into each header.
            keep_messages: True to record messages of errors.
        """
        self._store = store
        self._facts = facts
        self._keep_messages = keep_messages
        self._lock = threading.Lock()
        self._failed = False
        self._runs: deque[str] = deque(maxlen=_MAX_KEPT)
        self._last: str | None = None  # the run that ended last
        self._advised: dict[str, str] | None = None  # what its record advises, once it was asked

    @classmethod
    def from_settings(cls, settings: Settings, stack: Stack | None) -> SessionRecords:
        """Return the records of a session with this stack."""
        facts = {
            "transport": settings.transport,
            "emulated": settings.endpoint_url is not None,
            "stack": stack.name if stack else None,
            "region": stack.region if stack else None,
            "memory": stack.memory if stack else None,
            "architecture": stack.architecture if stack else None,
            "timeout": stack.timeout if stack else None,
            "cpu_limited": limits_cpu(settings.endpoint_url),
        }
        store = RecordStore(records_directory()) if settings.record else None
        return cls(store, facts, keep_messages=settings.record_errors)

    def paths(self) -> list[Path]:
        """Return the files of the session's latest runs, the latest last."""
        store = self._store
        return [store.path_of(run) for run in tuple(self._runs)] if store else []

    def recorder(
        self, run: str, name: str | None, limits: Limits | None = None
    ) -> RunRecorder | None:
        """Return the recorder of a run, or None after a disk error.

        ``name`` is the name that the user gave the run. Some of its ``limits`` go into the header.
        """
        if self._failed or self._store is None:
            return None
        token = secrets.token_hex(4)
        record = f"{name}-{token}" if name else token
        self._runs.append(record)
        header = {
            "id": record,
            "run": run,
            "name": name,
            "begun": time.time(),
            **asdict(Program.from_interpreter()),
            **self._facts,
            "batch": limits.batch if limits else None,
            "task_timeout": limits.task_timeout if limits else None,
        }
        return RunRecorder(
            self._store,
            header,
            self._warn_once,
            keep_messages=self._keep_messages,
            on_written=self._note_written,
        )

    def advice(self) -> dict[str, str]:
        """Return what the record of the last run that has ended advises, by kind."""
        with self._lock:
            last, advised = self._last, self._advised
        if last is None or self._store is None:
            return {}
        if advised is None:
            try:
                data = self._store.find(last).read_bytes()
                advised = {one.kind: one.text for one in advice_of(RunRecord.from_bytes(data))}
            except (OSError, ConfigurationError):  # it was removed meanwhile
                return {}
            with self._lock:
                if self._last == last:
                    self._advised = advised
        return dict(advised)

    def _note_written(self, run: str) -> None:
        with self._lock:
            self._last, self._advised = run, None

    def _warn_once(self, error: OSError) -> None:
        with self._lock:
            failed, self._failed = self._failed, True
        if not failed:
            why, place = error.strerror or error, error.filename
            log.warning(
                "dolambda no longer records runs: %s%s (record=False turns it off)",
                why,
                f": {place}" if place else "",
            )


class RunRecorder:
    """The record of one run. Thread-safe.

    A reply is in the file a second after its arrival, so that others can watch the run. The file is
    created with the first reply, or a second after tasks were submitted.
    """

    def __init__(
        self,
        store: RecordStore,
        header: dict[str, Any],
        on_failure: Callable[[OSError], None],
        *,
        keep_messages: bool = False,
        on_written: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._on_written = on_written
        self._header = header
        self._on_failure = on_failure
        self._keep_messages = keep_messages
        self._lock = threading.Lock()
        self._block = Block()
        self._timer: threading.Timer | None = None
        self._counts: Callable[[], Report] | None = None
        self._file: int | None = None
        self._over = False
        self._largest_reply = 0

    def begin(self, counts: Callable[[], Report]) -> None:
        """Record the counts of an open run with each write."""
        with self._lock:
            self._counts = counts
            self._write_soon()

    def take(self, reply: Reply) -> None:
        """Record an opened reply."""
        try:
            with self._lock:
                if self._over:
                    return
                self._add(reply)
                if len(self._block) >= _BLOCK_TASKS:
                    self._write_block()
                elif self._timer is None:
                    self._write_soon()
        except OSError as error:
            self._fail(error)
        except Exception:  # a malformed reply: a record must not break a run
            log.debug("a reply was not recorded", exc_info=True)

    def _write_soon(self) -> None:
        self._timer = threading.Timer(_BLOCK_S, self._flush)
        self._timer.daemon = True
        self._timer.name = "dolambda-record"
        self._timer.start()

    def _flush(self) -> None:
        """Write new data and the counts, in the timer's thread."""
        try:
            report = self._counts() if self._counts else None
            with self._lock:
                self._timer = None
                if self._over:
                    return
                self._write_block()
                if report and (report.tasks or self._file is not None):
                    self._write(counts_frame(_live_counts(report)))
        except OSError as error:
            self._fail(error)
        except Exception:  # a record must not break a run
            log.debug("a block was not recorded", exc_info=True)

    def end(self, report: Report, bill: Bill) -> None:
        """Write the rest, and the footer. A run without replies has no file."""
        try:
            with self._lock:
                if self._over or not (self._file is not None or len(self._block)):
                    return
                self._write_block()
                facts = {**_footer(report, bill), "largest_reply": self._largest_reply}
                self._write(footer_frame(facts))
            self._on_written(self._header["id"])
        except OSError as error:
            self._fail(error)
        finally:
            self._close()

    def _add(self, reply: Reply) -> None:
        table, usage, block = reply.outcomes, reply.usage, self._block
        if not len(table):
            return
        self._largest_reply = max(self._largest_reply, len(table.payload))
        job = (reply.number, reply.attempt, usage.worker, bool(usage.cold), usage.started)
        block.jobs.append(JobEntry(*job, usage.seconds, table.spans))
        if any(table.kinds):
            block.kinds += bytes(kind & _KIND for kind in table.kinds)
            block.errors += self._errors(reply)
        else:
            block.kinds += table.kinds
        block.started.extend(table.started)
        block.seconds.extend(table.seconds)
        block.cpu.extend(table.cpu)
        block.peak.extend(table.peak)

    def _errors(self, reply: Reply) -> list[ErrorEntry]:
        errors = []
        for position, kind in enumerate(reply.outcomes.kinds):
            if kind & _KIND:
                outcome = reply.outcomes.outcome(position)
                note = outcome.note
                name = str(note.get("type") or note.get("reason") or "")[:_MAX_MESSAGE]
                message = str(note.get("message") or note.get("detail") or "")[:_MAX_MESSAGE]
                kept = message if self._keep_messages else ""
                errors.append(ErrorEntry(outcome.index, outcome.kind, name, kept))
        return errors

    def _write_block(self) -> None:
        block, self._block = self._block, Block()
        if block.jobs:
            self._write(block.to_bytes())

    def _write(self, data: bytes) -> None:
        if self._file is None:
            self._file = self._store.create(self._header["id"])
            data = header_line(self._header) + data
        left = memoryview(data)
        while left:
            left = left[os.write(self._file, left) :]

    def _fail(self, error: OSError) -> None:
        self._close()
        self._on_failure(error)

    def _close(self) -> None:
        with self._lock:
            self._over = True
            self._block = Block()
            timer, self._timer = self._timer, None
            file, self._file = self._file, None
        if timer is not None:
            timer.cancel()
        if file is not None:
            # A network file system may report only now that it is full.
            with contextlib.suppress(OSError):
                os.close(file)


def _footer(report: Report, bill: Bill) -> dict[str, Any]:
    facts = {**asdict(report), "workers": len(report.workers), "ended": time.time()}
    return {**facts, "bill": asdict(bill), "cost": bill.total}


def _live_counts(report: Report) -> dict[str, Any]:
    return {name: getattr(report, name) for name in _LIVE}
