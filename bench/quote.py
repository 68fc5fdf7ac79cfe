"""How near a quote comes: the time and cost that it says for the rest of a run, and the real ones.

Each program is run once with quote=True on AWS emulated here, two workers. Tasks sleep or fit a
small model. A ratio of 1 is right, 1.2 says 20% too much.

Run it with: python bench/quote.py [--write]. It needs scikit-learn.
"""

from __future__ import annotations

import contextlib
import io
import random
import re
import sys
import time
from typing import TYPE_CHECKING, Any, Literal

from joblib import Parallel, delayed, parallel_config

import dolambda
import results
from dolambda import LambdaExecutor, dopar, foreach

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.scheduler.report import Report

TASKS, WORKERS, SECONDS = 1000, 2, 0.03
TRANSPORTS: tuple[Literal["queue"], Literal["direct"]] = ("queue", "direct")
SAID = re.compile(
    r"(?P<tasks>[\d,]+) tasks? left, .* each: about (?P<time>.+) on \d+ workers?, "
    r"about \$(?P<cost>[\d.]+) by list price"
)
PARTS = re.compile(r"([\d.,]+) (h|min|s|ms|us)")
UNITS = {"h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}


class Listener(io.StringIO):
    """What a program writes to standard error, and when the quote came."""

    came = spent = 0.0

    def __init__(self, cost: Callable[[], float]) -> None:
        """Listen. ``cost`` returns the dollars so far."""
        super().__init__()
        self._cost = cost

    def write(self, text: str) -> int:
        """Write. At a quote, note the time and the cost so far."""
        if SAID.search(text):
            self.came, self.spent = time.monotonic(), self._cost()
        return super().write(text)


def sleep(seconds: float) -> float:
    """Take that long."""
    time.sleep(seconds)
    return seconds


def same() -> list[float]:
    """Return durations of tasks that are all the same."""
    return [SECONDS] * TASKS


def varied() -> list[float]:
    """Return durations of tasks from a third of the mean to five thirds."""
    draw = random.Random(1)  # noqa: S311 - no secret
    return [draw.uniform(SECONDS / 3, SECONDS * 5 / 3) for _ in range(TASKS)]


def of_joblib(durations: list[float]) -> None:
    """Run joblib's calls."""
    with parallel_config("dolambda"):
        Parallel(n_jobs=WORKERS)(delayed(sleep)(one) for one in durations)


def of_executor(durations: list[float]) -> None:
    """Run an executor's map."""
    with LambdaExecutor(WORKERS) as executor:
        list(executor.map(sleep, durations))


def of_foreach(durations: list[float]) -> None:
    """Run a loop."""
    _ = foreach(seconds=durations) % dopar % sleep


def of_search(model: Any, grid: dict[str, list[float]]) -> None:
    """Fit a model 1,000 times."""
    from sklearn.datasets import make_classification  # noqa: PLC0415 - not needed by the others
    from sklearn.model_selection import GridSearchCV  # noqa: PLC0415

    x, y = make_classification(4000, 40, random_state=1)
    with parallel_config("dolambda"):
        GridSearchCV(model, grid, cv=5, n_jobs=WORKERS, refit=False).fit(x, y)


def of_regressions() -> None:
    """Fit models that all take about as long: a sample of the first knows nothing of the last."""
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    grid = {"C": [1 + place / TASKS for place in range(TASKS // 5)]}
    of_search(LogisticRegression(max_iter=200), grid)


def of_sleepers() -> None:
    """Fit models that need no CPU, so that other programs do not matter."""
    from sklearn.dummy import DummyClassifier  # noqa: PLC0415

    class Sleeper(DummyClassifier):  # type: ignore[misc] # scikit-learn has no types
        """A model that sleeps."""

        def fit(self, x: Any, y: Any, sample_weight: Any = None) -> Sleeper:
            """Take as long as other tasks."""
            time.sleep(SECONDS)
            super().fit(x, y, sample_weight)
            return self

    of_search(Sleeper(), {"random_state": list(range(TASKS // 5))})


PROGRAMS: dict[str, Callable[[], None]] = {
    "joblib, tasks of 30 ms": lambda: of_joblib(same()),
    "joblib, tasks of 10 to 50 ms": lambda: of_joblib(varied()),
    "GridSearchCV, 200 regressions, 5 folds": of_regressions,
    "GridSearchCV, 200 models that sleep, 5 folds": of_sleepers,
    "executor.map, tasks of 30 ms": lambda: of_executor(same()),
    "foreach, tasks of 10 to 50 ms": lambda: of_foreach(varied()),
}


def seconds_of(text: str) -> float:
    """Return the seconds of a text such as "1 min 35 s"."""
    return sum(float(n.replace(",", "")) * UNITS[unit] for n, unit in PARTS.findall(text))


def compare(program: Callable[[], None], transport: Literal["queue", "direct"]) -> list[str]:
    """Return the cells of one row: totals, what was said, what was, and the ratios."""
    seen: list[Report] = []
    with dolambda.register(
        "local", transport=transport, workers=WORKERS, quote=True, progress=seen.append
    ) as session:
        listener = Listener(lambda: session.bill().total)
        with contextlib.redirect_stderr(listener):
            program()
        took, cost = time.monotonic() - listener.came, session.bill().total
    said = SAID.search(listener.getvalue())
    if said is None:
        raise RuntimeError(listener.getvalue())
    first = next(report for report in seen if report.tasks)
    total = f"{first.expected:,}{' or more' * first.open_ended}"
    quoted, dollars = seconds_of(said["time"]), float(said["cost"])
    rest = cost - listener.spent
    figures = [f"{quoted:.1f}", f"{took:.1f}", f"{quoted / took:.2f}"]
    return [total, *figures, f"{dollars:.4f}", f"{rest:.4f}", f"{dollars / rest:.2f}"]


def measure() -> list[str]:
    """Compare each program on both transports."""
    lines = [
        "| program | transport | total | quoted s | real s | ratio | quoted $ | real $ | ratio |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, program in PROGRAMS.items():
        for transport in TRANSPORTS:
            cells = [name, transport, *compare(program, transport)]
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], file=sys.stderr, flush=True)
    return lines


if __name__ == "__main__":
    results.main("Quotes", measure)
