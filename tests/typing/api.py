"""The public API as its types have it: checked by mypy, never run."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from typing import assert_type

import dolambda
from dolambda import LambdaExecutor, Session, Settings, foreach


def f(x: int, scale: float = 1.0) -> str:
    return str(x * scale)


session: Session = dolambda.register("local", workers=2, requires=["numpy"])
settings: Settings = session.settings

with LambdaExecutor(4, task_timeout=10, batch=3) as executor:
    assert_type(executor.submit(f, 1), Future[str])
    assert_type(executor.submit(f, 1, scale=2.0), Future[str])
    assert_type(executor.map(f, [1, 2], timeout=3, buffersize=10), Iterator[str])
    assert_type(executor.starmap(f, [(1, 2.0)]), Iterator[str])
    executor.for_each(f, [1, 2])
    executor.submit(f, "1")  # type: ignore[arg-type]
    executor.submit(f)  # type: ignore[call-arg]

loop: dolambda.Foreach = foreach(i=range(10), combine="+", errors="remove")
foreach(i=range(10), errors="ignore")  # type: ignore[arg-type]
dolambda.unregister()
