from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from dolambda.worker.worker import Worker
from support.worker_jobs import KEY, Source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worker]:
    # Lambda's /tmp goes with the environment; this machine's stays.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    made = Worker(Source(), KEY)
    yield made
    made.close()
