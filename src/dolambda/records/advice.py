"""Changes advised for the next run, based on the measures of one.

**Input:** a `RunRecord`. **Output:** `Advice`, or none if there is nothing to change.

Advice to lower memory keeps a margin: `MARGIN` times the largest use of a task, and the worker's
own needs. `work.py` estimates the duration of jobs at another size.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from dolambda.money.prices import PRICES
from dolambda.records.straggler import straggler_of
from dolambda.records.work import MB_PER_CORE, SIZES, RunWork, cores_of, size_for
from dolambda.wording import count, dollars, duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dolambda.records.file_format import JobEntry, RunRecord

NOTHING = "nothing to change"

MARGIN = 1.2
RUNTIME_MB = 64.0
"""MB of a worker in addition to its tasks' process: Lambda's client, dolambda's, a job's bytes."""
_COPIES_OF_REPLY = 4
"""Copies of a reply in the worker, next to the task's process: outcomes, sealed, in base64."""

_WORTH_IT = 0.1
_WEIGHT_OF_COST = 2
"""Exponent of cost, where no size is better in cost times time."""
_SAME = 0.03
_MAX_DEARER = 0.1
_NEAR_TIMEOUT, _MAX_TIMEOUT = 0.7, 900
_MIN_SAVED_DOLLARS = 0.001
_MIN_SAVED_SECONDS = 1.0
_MIN_STARTING_S = 10.0
_JOB_S = 1.0
_MIN_JOBS = 10
_OVERHEAD_SHARE = 0.25
_MIN_THROTTLED, _THROTTLED_SHARE = 20, 0.1
_NOT_LIMITED = (
    ". AWS was emulated without Lambda's CPU limit, where a busy machine looks like waiting tasks: "
    "check with `dolambda local start --sandbox`, `dolambda tune` or on AWS"
)
_ENDED = ("out_of_memory", "timed_out", "crashed", "no_reply")
"""Reasons of tasks whose memory is not recorded, because they did not end."""


@dataclass(frozen=True)
class Advice:
    """One advised change. ``kind`` is its subject, ``figures`` are the numbers in its text."""

    kind: str
    text: str
    figures: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the text."""
        return self.text

    def to_dict(self) -> dict[str, Any]:
        """Return the advice as a dictionary for JSON."""
        return asdict(self)


def advice_of(record: RunRecord) -> list[Advice]:
    """Return what the record of a run advises. Nothing of a run without replies.

    CPU is in proportion to memory on Lambda, see `dolambda.records.work` and
    https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html.

    Args:
        record: The record.

    Returns:
        One `Advice` for each thing to change; none if the run was as it should be.
    """
    if not len(record.tasks):
        return []
    facts = _Facts(record)
    checks: tuple[Callable[[_Facts], Advice | None], ...] = (
        _memory,
        _batch,
        _workers,
        _throttling,
        _timeout,
        _architecture,
        _straggler,
    )
    return [found for check in checks if (found := check(facts))]


class _Facts:
    """A record, with values that several checks need."""

    def __init__(self, record: RunRecord) -> None:
        self.record = record
        self.tasks = record.tasks
        self.header = record.header
        self.footer = record.footer or {}
        self.work = RunWork.from_record(record)
        self.memory: int | None = self.header.get("memory")
        self.timeout: float | None = self.header.get("timeout")
        self.peak = max(self.tasks.peak, default=0.0)
        self.lost = Counter(one.type for one in self.tasks.errors if one.kind == "lost")
        self.busy = sum(self.tasks.seconds)
        self.billed = max(self.busy, sum(job.seconds for job in self.tasks.jobs))
        self.workers = len({job.worker for job in self.tasks.jobs})
        self.prices = PRICES.get(str(self.header.get("architecture")), PRICES["x86_64"])

    def cost(self, memory: int) -> float:
        """Return the dollars of the run at a memory size. Requests do not change."""
        bill = self.footer.get("bill") or {}
        fixed = float(bill.get("invocations", 0.0)) + float(bill.get("requests", 0.0))
        return self.work.seconds(memory) * memory / 1024 * self.prices.gb_second + fixed

    @property
    def needed(self) -> float:
        """Lowest MB of memory that is advised."""
        largest = float(self.footer.get("largest_reply") or 0) / (1 << 20)
        return self.peak * MARGIN + RUNTIME_MB + _COPIES_OF_REPLY * largest

    @property
    def may_have_lost_for_memory(self) -> bool:
        """True if jobs ended without a reply, so that their largest use is unknown."""
        return bool(self.footer.get("again") or any(self.lost[one] for one in _ENDED))


def _memory(facts: _Facts) -> Advice | None:
    memory = facts.memory
    if memory is None or not facts.peak:
        return None
    if lost := facts.lost["out_of_memory"]:
        return _more_memory(facts, memory, f"{count(lost, 'task')} ran out of {memory:,} MB")
    if facts.peak * MARGIN > memory - RUNTIME_MB / 2:
        near = f"tasks used up to {facts.peak:,.0f} MB of {memory:,}"
        return _more_memory(facts, memory, near)
    sizes = [_Size.of(facts, memory, one) for one in _sizes(facts, memory)]
    for weight in (1, _WEIGHT_OF_COST):  # the second is for what is cheaper, but much slower
        better = [one for one in sizes if one.is_worth_it(weight)]
        if better:
            return _other_memory(facts, memory, min(better, key=lambda one: one.score(weight)))
    return None


def _more_memory(facts: _Facts, memory: int, what: str) -> Advice | None:
    # Those that ran out of memory have no recorded peak: they needed more than there was.
    wanted = max(facts.needed, 1.5 * memory if facts.lost["out_of_memory"] else 0.0)
    size = size_for(wanted)
    figures = {"peak_mb": round(facts.peak, 1), "memory": memory, "advised": size}
    figures["out_of_memory"] = facts.lost["out_of_memory"]
    if size <= memory:
        return Advice("memory", f"{what}, the most there is: cut them into smaller ones", figures)
    return Advice("memory", f"{what}: memory={size} keeps them from running out of it", figures)


def _sizes(facts: _Facts, memory: int) -> Iterator[int]:
    """Yield the sizes in which the run's tasks and their time fit."""
    limit = facts.timeout and _NEAR_TIMEOUT * facts.timeout
    for size in SIZES:
        if size < memory and (size < facts.needed or facts.may_have_lost_for_memory):
            continue
        if size < memory and limit and facts.work.longest(size) > limit:
            continue
        if size != memory:
            yield size


class _Size(NamedTuple):
    """A memory size, and its cost and time as shares of those of the run."""

    memory: int
    cost: float
    time: float

    @classmethod
    def of(cls, facts: _Facts, memory: int, size: int) -> _Size:
        """Compare a size with the run's ``memory``."""
        time = facts.work.seconds(size) / facts.work.seconds(memory)
        return cls(size, facts.cost(size) / facts.cost(memory), time)

    def score(self, weight: int) -> float:
        """Return cost times time, below 1 for a size that is better than the run's."""
        return self.cost**weight * self.time

    def is_worth_it(self, weight: int) -> bool:
        """Return true for a size that saves more of cost or time than it takes of the other."""
        return self.score(weight) < 1 - _WORTH_IT and self.cost <= 1 + _MAX_DEARER


def _other_memory(facts: _Facts, memory: int, best: _Size) -> Advice:
    size, money, time = best.memory, best.cost - 1, best.time - 1
    figures = {
        "peak_mb": round(facts.peak, 1),
        "memory": memory,
        "advised": size,
        "cost_change": round(money, 4),
        "time_change": round(time, 4),
        "cpu_share": round(sum(facts.tasks.cpu) / facts.busy, 4) if facts.busy else None,
    }
    longer = f"take about {_times(time)}"
    doubt = ""
    if cores_of(facts.record) is None:
        figures["cpu_limited"], doubt = False, _NOT_LIMITED
    if size < memory:
        used = f"tasks used at most {facts.peak:,.0f} MB of {memory:,}"
        dearer = f"cost {-money:.0%} less" if money < 0 else f"cost {money:.0%} more"
        text = f"{used}: memory={size} would {dearer} and {longer}{doubt}"
        return Advice("memory", text, figures)
    had = f"{memory:,} MB have {memory / MB_PER_CORE:.2f} of a core, and tasks compute"
    dearer = "cost about the same" if abs(money) < _SAME else f"cost {abs(money):.0%} "
    if abs(money) >= _SAME:
        dearer += "more" if money > 0 else "less"
    return Advice("memory", f"{had}: memory={size} would {longer} and {dearer}{doubt}", figures)


def _times(change: float) -> str:
    if abs(change) < _SAME:
        return "as long"
    return f"{change:.0%} longer" if change > 0 else f"{-change:.0%} less time"


def _batch(facts: _Facts) -> Advice | None:
    jobs, tasks = facts.tasks.jobs, len(facts.tasks)
    longest = max(jobs, key=lambda job: job.seconds)
    held = sum(length for _, length in longest.spans)
    limit = facts.timeout
    if limit and held > 1 and longest.seconds > _NEAR_TIMEOUT * limit:
        size = max(1, int(held * limit / 4 / longest.seconds))
        took = f"a job of {held:,} tasks took {duration(longest.seconds)} of {duration(limit)}"
        figures = {"longest_job_s": round(longest.seconds, 3), "timeout": limit, "advised": size}
        return Advice("batch", f"{took}: batch={size} keeps jobs short", figures)
    overhead = (facts.billed - facts.busy) / len(jobs)
    each = facts.busy / tasks
    size = min(math.ceil(_JOB_S / max(each, 1e-5)), math.ceil(tasks / (2 * facts.workers)))
    saved = overhead * (len(jobs) - math.ceil(tasks / size))
    mean = tasks / len(jobs)
    if (
        len(jobs) < _MIN_JOBS
        or size < 2 * mean
        or overhead * len(jobs) < _OVERHEAD_SHARE * facts.billed
        or saved < max(_MIN_SAVED_SECONDS, _WORTH_IT * facts.billed)
    ):
        return None
    took = (
        f"tasks took {duration(each)} each, and each job {duration(overhead)} more than its tasks"
    )
    what = f"batch={size} would take {saved / facts.billed:.0%} less of the workers' time"
    if facts.header.get("batch"):
        what += f"; batch={facts.header['batch']} was given"
    figures = {"task_s": each, "overhead_s": overhead, "tasks_per_job": mean, "advised": size}
    return Advice("batch", f"{took}: {what}", figures)


def _workers(facts: _Facts) -> Advice | None:
    """Advise fewer workers if most of their time is their start.

    With a start of c seconds, w workers cost S + w c for work of S seconds, and take S / w + c. The
    product of both is smallest if each worker works as long as it starts.
    """
    jobs, at = facts.tasks.jobs, 0
    starts: list[float] = []
    others: list[float] = []
    for job in jobs:
        held = sum(length for _, length in job.spans)
        busy = sum(facts.tasks.seconds[at : at + held])
        at += held
        (starts if job.cold else others).append(max(0.0, job.seconds - busy))
    if not starts:
        return None
    usual = sum(others) / len(others) if others else 0.0
    start = max(0.0, sum(starts) / len(starts) - usual)
    lost = start * len(starts)
    best = max(1, round(facts.busy / start)) if start else facts.workers
    if lost < max(_MIN_STARTING_S, _OVERHEAD_SHARE * facts.billed) or 2 * best > facts.workers:
        return None
    saved = start * (len(starts) - best) / facts.billed
    text = (
        f"cold starts took {lost / facts.billed:.0%} of the time of {facts.workers:,} workers: "
        f"workers={best} would cost {saved:.0%} less"
    )
    figures = {"cold": len(starts), "start_s": start, "workers": facts.workers, "advised": best}
    return Advice("workers", text, figures)


def _throttling(facts: _Facts) -> Advice | None:
    """Advise fewer or larger jobs if AWS refused many requests as too frequent."""
    throttled: dict[str, int] = facts.footer.get("throttled") or {}
    number, jobs = sum(throttled.values()), facts.tasks.jobs
    if number < max(_MIN_THROTTLED, _THROTTLED_SHARE * len(jobs)):
        return None
    name = max(throttled, key=lambda one: throttled[one])
    action, _, reason = name.partition(" ")
    said = f"AWS throttled {count(number, 'request')}, most of them {action}"
    if reason:
        said += f" ({reason})"
    figures = {"throttled": throttled}
    if action != "lambda:InvokeFunction" or "Rate" in reason:
        return Advice("throttling", f"{said}: larger tasks, or batch=, need fewer", figures)
    most = _most_at_a_time(jobs)
    text = (
        f"{said}, and ran at most {count(most, 'job')} at a time: workers={most} asks for no more. "
        "`dolambda status` shows the limits"
    )
    return Advice("throttling", text, {**figures, "advised": most})


def _most_at_a_time(jobs: list[JobEntry]) -> int:
    changes = [(job.started, 1) for job in jobs]
    changes += [(job.started + job.seconds, -1) for job in jobs]
    return max(accumulate(change for _, change in sorted(changes)))


def _timeout(facts: _Facts) -> Advice | None:
    limit = facts.timeout
    if not limit:
        return None
    own = facts.header.get("task_timeout")
    name, limit = ("task_timeout", own) if own and own < limit else ("timeout", limit)
    longest = max(facts.tasks.seconds, default=0.0)
    stopped = facts.lost["timed_out"]
    if not stopped and longest <= _NEAR_TIMEOUT * limit:
        return None
    what = f"the longest task took {duration(longest)} of {duration(limit)}"
    if stopped:
        what = f"{count(stopped, 'task')} ended at the time limit of {duration(limit)}"
    wanted = min(_MAX_TIMEOUT, 60 * math.ceil(2 * max(longest, limit if stopped else 0.0) / 60))
    figures = {"longest_task_s": round(longest, 3), "timeout": limit, "timed_out": stopped}
    if wanted <= limit:
        return Advice("timeout", f"{what}, Lambda's longest: cut tasks into smaller ones", figures)
    figures["advised"] = wanted
    return Advice("timeout", f"{what}: {name}={wanted} leaves them time", figures)


def _architecture(facts: _Facts) -> Advice | None:
    """Advise arm64 if that saves anything."""
    if facts.header.get("architecture") != "x86_64" or facts.memory is None:
        return None
    compute = facts.work.seconds(facts.memory) * facts.memory / 1024
    x86, arm = (PRICES[one].gb_second * compute for one in ("x86_64", "arm64"))
    if x86 - arm < _MIN_SAVED_DOLLARS:
        return None
    text = (
        f"architecture=arm64 has a list price {1 - arm / x86:.0%} lower, here "
        f"{dollars(x86 - arm)}: "
        "try whether your packages exist for it and how fast they are"
    )
    return Advice("architecture", text, {"advised": "arm64", "saved": round(x86 - arm, 6)})


def _straggler(facts: _Facts) -> Advice | None:
    found = straggler_of(facts.record)
    if found is None:
        return None
    figures = {name: value for name, value in asdict(found).items() if name != "text"}
    return Advice("straggler", found.text, figures)
