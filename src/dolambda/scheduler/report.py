"""The counts of a run so far.

**Input:** each reply as it arrives. **Output:** a frozen `Report`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dolambda.aws.request_counter import without_throttled
from dolambda.notebook_table import notebook_table
from dolambda.wording import dollars, duration, listing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dolambda.scheduler.events import Submitted
    from dolambda.wire.outcome import Usage


@dataclass(frozen=True)
class Report:
    """Counts of a run, or of all runs of a session, so far.

    Attributes:
        tasks: Tasks submitted.
        expected: Tasks that there will be, as far as is known: those submitted, and those that are
            known to follow.
        open_ended: True if more tasks may follow than are expected.
        declined: True if only the sample of a quote was run, because the user wanted no more.
        done: Tasks that returned a value.
        failed: Tasks that failed for good.
        retried: Repetitions of failed tasks, see `Retries`.
        resent: Tasks that were lost and sent again.
        restored: Tasks that an earlier client of a named run had done.
        jobs: Jobs sent.
        again: Jobs that were sent again because they were lost.
        copies: Jobs that were started a second time because they were slow.
        running: Jobs in flight.
        seconds: Time that workers ran, as Lambda bills it.
        cold: Jobs that were the first of their worker.
        workers: Names of the workers.
        calls: AWS requests, by action.
        throttled: Requests that AWS refused as too frequent, by action and AWS's reason. They were
            repeated. Lambda does not report its throttling of queued jobs.
        sent: Bytes that this client sent.
        received: Bytes that this client received.
        elapsed: Seconds since the first task.
        cost: Dollars by list price, where known.
        over: True if nothing more will come, because all is done or cancelled.
        advice: What to change, by kind, from the last run of a session that has ended.

    Example:
        >>> with LambdaExecutor() as executor:
        ...     results = list(executor.map(abs, range(-3, 0)))
        >>> executor.report.tasks, executor.report.failed
        (3, 0)
    """

    tasks: int = 0
    done: int = 0
    failed: int = 0
    retried: int = 0
    resent: int = 0
    restored: int = 0
    jobs: int = 0
    again: int = 0
    copies: int = 0
    running: int = 0
    seconds: float = 0.0
    cold: int = 0
    workers: frozenset[str] = frozenset()
    calls: Mapping[str, int] = field(default_factory=dict)
    throttled: Mapping[str, int] = field(default_factory=dict)
    sent: int = 0
    received: int = 0
    elapsed: float = 0.0
    cost: float = 0.0
    over: bool = False
    expected: int = 0
    open_ended: bool = False
    declined: bool = False
    advice: Mapping[str, str] = field(default_factory=dict)

    @property
    def ended(self) -> int:
        """Number of tasks that returned a value or failed for good."""
        return self.done + self.failed

    def __repr__(self) -> str:
        """Return one line for the REPL."""
        shown = [f"{value} {name}" for name, value in self._facts().items()]
        if self.advice:
            shown.append(f"advice on {listing(self.advice)}")
        return f"<Report: {', '.join(shown)}>"

    def _repr_html_(self) -> str:
        """Return a table for a notebook."""
        advice = {f"advice on {kind}": text for kind, text in self.advice.items()}
        return notebook_table("dolambda: report", self._facts() | advice)

    def _facts(self) -> dict[str, str]:
        """Return the facts for the user. Counts are left out if they are zero."""
        ended = "" if self.over or not self.running else f"{self.running:,}"
        shown = {
            "tasks": f"{self.tasks:,}",
            "done": f"{self.done:,}",
            "failed": _unless_zero(self.failed),
            "retried": _unless_zero(self.retried),
            "resent": _unless_zero(self.resent),
            "restored": _unless_zero(self.restored),
            "requests throttled": _unless_zero(self.throttles),
            "jobs": f"{self.jobs:,}",
            "jobs running": ended,
            "workers": f"{len(self.workers):,}",
            "cold starts": _unless_zero(self.cold),
            "elapsed": duration(self.elapsed),
            "cost": dollars(self.cost) if self.cost else "",
        }
        return {name: value for name, value in shown.items() if value}

    @property
    def throttles(self) -> int:
        """Number of requests that AWS refused as too frequent."""
        return sum(self.throttled.values())

    @property
    def rate(self) -> float:
        """Tasks that ended in a second."""
        return (self.done + self.failed) / self.elapsed if self.elapsed else 0.0

    @classmethod
    def of_requests(cls, counts: Mapping[str, int], *, sent: int = 0, received: int = 0) -> Report:
        """Return a report of requests alone, from the counts of a `RequestCounter`."""
        calls, throttled = without_throttled(counts)
        return cls(calls=calls, throttled=throttled, sent=sent, received=received)

    def __add__(self, other: Report) -> Report:
        """Return the sum of two runs."""
        added = {name: getattr(self, name) + getattr(other, name) for name in _ADDED}
        return Report(
            **added,
            workers=self.workers | other.workers,
            calls=dict(Counter(self.calls) + Counter(other.calls)),
            throttled=dict(Counter(self.throttled) + Counter(other.throttled)),
            elapsed=max(self.elapsed, other.elapsed),
            open_ended=self.open_ended or other.open_ended,
        )


def _unless_zero(number: int) -> str:
    return f"{number:,}" if number else ""


_ADDED = (
    "tasks",
    "done",
    "failed",
    "retried",
    "resent",
    "restored",
    "jobs",
    "again",
    "copies",
    "running",
    "seconds",
    "cold",
    "sent",
    "received",
    "cost",
    "expected",
)


class RunCounters:
    """The counts of a run in progress: a `Report` that can be written to.

    Not thread-safe.
    """

    def __init__(self) -> None:
        """Start at zero."""
        self.tasks = self.done = self.failed = self.retried = self.resent = self.restored = (
            self.jobs
        ) = self.again = self.copies = self.cold = 0
        self.announced = 0  # tasks whose number was known before they were submitted
        self.open_ended = False
        self.seconds = 0.0
        self._workers: set[str] = set()
        self.calls: Counter[str] = Counter()

    def submitted(self, event: Submitted) -> None:
        """Count the tasks of one submission."""
        self.tasks += sum(map(len, event.spans)) + event.done + event.failed
        self.restored += event.restored
        self.done += event.done
        self.failed += event.failed

    def expect(self, tasks: int | None) -> None:
        """Count tasks that will be submitted. None means an unknown number."""
        self.announced += tasks or 0
        self.open_ended = self.open_ended or tasks is None

    @property
    def expected(self) -> int:
        """Expected number of tasks, as far as known."""
        return max(self.tasks, self.announced)

    @property
    def to_come(self) -> int:
        """Number of tasks that were announced and not submitted yet."""
        return self.expected - self.tasks

    def take_in(self, usage: Usage) -> None:
        """Count the usage in a reply."""
        self.seconds += usage.seconds
        self.cold += usage.cold
        self._workers.add(usage.worker)
        # Without Counter.update, which takes longer than the rest of this method.
        for action, times in usage.calls.items():
            self.calls[action] += times

    def report(self, *, running: int, elapsed: float, declined: bool = False) -> Report:
        """Return the counts, with those that the run itself has."""
        calls, throttled = without_throttled(self.calls)
        return Report(
            tasks=self.tasks,
            done=self.done,
            failed=self.failed,
            retried=self.retried,
            resent=self.resent,
            restored=self.restored,
            jobs=self.jobs,
            again=self.again,
            copies=self.copies,
            running=running,
            seconds=self.seconds,
            cold=self.cold,
            workers=frozenset(self._workers),
            calls=calls,
            throttled=throttled,
            elapsed=elapsed,
            expected=self.expected,
            open_ended=self.open_ended,
            declined=declined,
        )
