from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dolambda.worker.waits import Waits
from dolambda.worker.worker import Worker
from support.worker_jobs import KEY, Source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.worker_jobs import WorkerThatWaits


@pytest.fixture
def worker_that_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerThatWaits]:
    # Lambda's /tmp goes with the environment; this machine's stays.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = []

    def make(**seconds: float) -> Worker:
        made.append(Worker(Source(), KEY, waits=Waits(**seconds)))
        return made[-1]

    yield make
    for worker in made:
        worker.close()


@pytest.fixture
def worker(worker_that_waits: WorkerThatWaits) -> Worker:
    return worker_that_waits()
