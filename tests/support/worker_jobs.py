"""Jobs for a real worker with a real child: calls in, opened outcomes out."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from dolambda.wire.chunk import Chunk, ChunkPart
from dolambda.wire.job import Job
from dolambda.wire.packer import Packer, joined_singles
from dolambda.wire.reply import Reply
from support.polling import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dolambda.wire.outcome import Failure, Lost, Value
    from dolambda.worker.worker import Worker

KEY = b"k" * 32


class WorkerThatWaits(Protocol):
    """Makes a worker with some of its `Waits`, in seconds."""

    def __call__(self, **seconds: float) -> Worker: ...


class Question:
    """Whether a job is still wanted: not once its first task, which lasts until then, has begun."""

    def __init__(self, directory: Path) -> None:
        self._begun, self._asked = directory / "begun", directory / "asked"

    def __call__(self) -> bool:
        if not self._begun.exists():
            return True
        self._asked.touch()
        return False

    def task(self) -> None:
        """Wait until it was asked, and until the request to stop, which follows, has come."""
        self._begun.touch()
        until(self._asked.exists)
        time.sleep(0.5)


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


def chunks(
    *calls: tuple[Callable[..., Any], tuple[Any, ...]], packer: Packer | None = None
) -> list[Chunk]:
    """Pack calls one by one, as `submit` does; those of one function come together."""
    packer = packer or Packer(same_buffers=False)
    singles = [packer.pack_single(*call, {}, index) for index, call in enumerate(calls)]
    packed = list(joined_singles(singles))
    assert all(isinstance(one, Chunk) for one in packed)
    return [one for one in packed if isinstance(one, Chunk)]


def job_of(packed: list[Chunk], **more: Any) -> Job:
    parts = tuple(ChunkPart(chunk, 0, len(chunk)) for chunk in packed)
    inline = {digest: blob.data for chunk in packed for digest, blob in chunk.blobs.items()}
    return replace(Job("r", 0, 1, time.time() + 60, parts, inline), **more)


def job(*calls: tuple[Callable[..., Any], tuple[Any, ...]], **more: Any) -> Job:
    return job_of(chunks(*calls), **more)


def run(worker: Worker, sent: Job, seconds: float = 20, **more: Any) -> Reply:
    return Reply.from_bytes(worker.run(sent.to_bytes(KEY), seconds=seconds, **more), KEY)


def outcomes(
    worker: Worker, *calls: tuple[Callable[..., Any], tuple[Any, ...]], **more: Any
) -> list[Value | Failure | Lost]:
    return [outcome.open() for outcome in run(worker, job(*calls, **more)).outcomes]
