"""What a run keeps to. On entry: settings, and what a face was given; on leaving: one frozen `Limits`."""

from __future__ import annotations

from dataclasses import dataclass, field

from dolambda.dispatch.retries import Retries


@dataclass(frozen=True)
class Limits:
    """What a run keeps to.

    Times in seconds. ``window``: most jobs in flight; ``runtime``: longest that a job can run; ``room``: bytes that a task's
    arguments may take, the worker's memory. ``speculate``: copy slow jobs near the end, see `stragglers`.
    """

    workers: int
    window: int
    runtime: float
    max_wait: float = 600.0
    attempts: int = 3
    task_timeout: float | None = None
    batch: int | None = None
    retries: Retries = field(default_factory=lambda: Retries(times=0))
    room: int | None = None
    speculate: bool = True
