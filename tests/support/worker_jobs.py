"""Jobs for a real worker with a real child: calls in, opened outcomes out."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dolambda.wire.outcome import Failure, Lost, Reply, Value
from dolambda.wire.task import Job, PackedTask, Packer, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.worker.worker import Worker

KEY = b"k" * 32


class Source:
    """Blobs from a dictionary."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def __call__(self) -> Source:
        return self

    def get_blob(self, digest: str) -> bytes:
        return self.blobs[digest]

    def calls(self) -> dict[str, int]:
        return {}


def job(*calls: tuple[Callable[..., Any], tuple[Any, ...]], **more: Any) -> Job:
    tasks = tuple(
        task
        for task in Packer(same_buffers=False).pack(Task(i, *call) for i, call in enumerate(calls))
        if isinstance(task, PackedTask)
    )
    inline = {blob.digest: blob.data for task in tasks for blob in task.blobs}
    return replace(Job("r", 0, 1, time.time() + 60, tasks, inline), **more)


def run(worker: Worker, sent: Job, seconds: float = 20, **more: Any) -> Reply:
    return Reply.from_bytes(worker.run(sent.to_bytes(KEY), seconds=seconds, **more), KEY)


def outcomes(
    worker: Worker, *calls: tuple[Callable[..., Any], tuple[Any, ...]], **more: Any
) -> list[Value | Failure | Lost]:
    return [outcome.open() for outcome in run(worker, job(*calls, **more)).outcomes]
