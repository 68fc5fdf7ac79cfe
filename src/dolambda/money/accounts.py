"""Counts and costs of the runs of a session.

**Input:** runs that begin and end, and the requests of the session's transport. **Output:** a
`Report` and a `Bill` of all of them, the cost of a run while it runs, and the rates that its budget
uses.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from dolambda.money.bill import Bill
from dolambda.money.prices import PRICES
from dolambda.scheduler.ledger import Rates
from dolambda.scheduler.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.scheduler.run import Run
    from dolambda.settings import Settings
    from dolambda.stack import Stack
    from dolambda.transport.base import Transport

log = logging.getLogger("dolambda")


class Accounts:
    """The runs of one session and their costs. Thread-safe.

    Without a stack all costs are zero.
    """

    def __init__(self, transport: Transport, stack: Stack | None, settings: Settings) -> None:
        self._transport = transport
        self._stack = stack
        self._settings = settings
        self._lock = threading.Lock()
        self._runs: weakref.WeakSet[Run] = weakref.WeakSet()
        self._requests_before: dict[str, Counter[str]] = {}
        self._finished = Report()

    def open_runs(self) -> list[Run]:
        """Return the runs that have not ended."""
        with self._lock:
            return list(self._runs)

    def begin(self, run: Run) -> None:
        """Count a run from now on."""
        with self._lock:
            self._runs.add(run)
            self._requests_before[run.name] = self._requests()

    def end(self, run: Run) -> tuple[Report, Bill]:
        """Keep the counts of a run that has ended. Log its bill.

        Returns:
            Report and bill of the run, with the requests of both sides.
        """
        with self._lock:
            report = run.report()
            self._runs.discard(run)
            self._finished += report
            before = self._requests_before.pop(run.name, Counter())
        report = self._with_own_requests(report, before)
        bill = self._price(report)
        if self._stack and report.jobs:
            log.info("run %s: %s", run.name, bill)
        return report, bill

    def report_of(self, run: Run) -> Report:
        """Return the report of an open run, with the requests of both sides."""
        with self._lock:
            before = self._requests_before.get(run.name, Counter())
        return self._with_own_requests(run.report(), before)

    def report(self) -> Report:
        """Return the report of all runs so far, with the requests of both sides."""
        calls = self._transport.calls
        own = Report.of_requests(calls.totals(), sent=calls.sent, received=calls.received)
        total = self._all_runs() + own
        return replace(total, cost=self._cost(total))

    def bill(self) -> Bill:
        """Return the bill of all runs so far, by list price."""
        return self._price(self._with_own_requests(self._all_runs(), Counter()))

    def with_cost(self, show: Callable[[Report], None]) -> Callable[[Report], None]:
        """Return a function that shows reports of one run with their cost so far."""
        before = self._requests()

        def show_with_cost(report: Report) -> None:
            report = self._with_own_requests(report, before)
            show(replace(report, cost=self._cost(report)))

        return show_with_cost

    def rates(self, runtime: float, *, queues: bool, live: bool = False) -> Rates:
        """Return the rates of a budget, for jobs that run at most ``runtime`` seconds."""
        if self._stack is None:
            return Rates(0.0, 0.0)
        prices = PRICES[self._stack.architecture]
        return Rates(
            second=prices.gb_second * self._stack.memory / 1024,
            invocation=prices.invocation,
            requests=prices.s3,
            runtime=runtime,
            max_wait=self._settings.max_wait,
            pause=self._settings.throttle,
            queues=queues,
            live=live,
        )

    def _requests(self) -> Counter[str]:
        return Counter(self._transport.calls.totals())

    def _all_runs(self) -> Report:
        with self._lock:
            return sum((run.report() for run in list(self._runs)), self._finished)

    def _with_own_requests(self, report: Report, before: Counter[str]) -> Report:
        """Return a report of workers with the requests of this side since ``before``.

        Another run in the same session at the same time has these requests in its report too.
        """
        own = Report.of_requests(self._requests() - before)
        both = report + own
        return replace(report, calls=both.calls, throttled=both.throttled)

    def _price(self, report: Report) -> Bill:
        if self._stack is None:
            return Bill(0.0, 0.0, 0.0, 0.0)
        memory, architecture = self._stack.memory, self._stack.architecture
        return Bill.from_report(report, memory=memory, architecture=architecture)

    def _cost(self, report: Report) -> float:
        """Return the dollars of a report that has the requests of both sides."""
        return self._price(report).total
