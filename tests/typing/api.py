"""The public API as its types have it: checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, Future, as_completed
from typing import assert_type

import dolambda
from dolambda import LambdaExecutor, Report, Retries, Session, Settings, foreach, register
from dolambda.errors import DolambdaError, LostError, OutOfMemoryError


def f(x: int, scale: float = 1.0) -> str:
    return str(x * scale)


def show(report: Report) -> None:
    assert_type(report.done, int)
    assert_type(report.cost, float)
    assert_type(report.rate, float)


session: Session = dolambda.register(
    "local", workers=2, requires=["numpy"], progress=show, env={"MODE": "fast"}
)
dolambda.register("local", memory=512, budget=0.5, logs="errors", exclude=["torch"], quote="only")
dolambda.register("local", memroy=3)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
register("local", budget="x")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
register("local", logs="all")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
dolambda.register(workers="two")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
settings: Settings = session.settings
policy: Retries = Retries(3, on=(OSError, LostError), wait=1)
crash: type[DolambdaError] = OutOfMemoryError

with LambdaExecutor(
    4, task_timeout=10, batch=3, retries=policy, progress=True, budget=0.5, run="nightly"
) as executor:
    standard: Executor = executor
    assert_type(executor.submit(f, 1), Future[str])
    assert_type(executor.submit(f, 1, scale=2.0), Future[str])
    assert_type([future.result() for future in as_completed([executor.submit(f, 1)])], list[str])
    assert_type(executor.map(f, [1, 2], timeout=3, buffersize=10), Iterator[str])
    assert_type(executor.map(f, [1, 2], order_outputs=False), Iterator[str])
    assert_type(executor.map(f, [1, 2], return_exceptions=True), Iterator[str | Exception])
    assert_type(executor.starmap(f, [(1, 2.0)]), Iterator[str])
    assert_type(executor.report, Report)
    executor.for_each(f, [1, 2])
    executor.submit(f, "1")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    executor.submit(f)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]

loop: dolambda.Foreach = foreach(i=range(10), combine="+", errors="remove")
ten = range(10)
foreach(i=ten, errors="ignore")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
LambdaExecutor(env={"MODE": "fast"})
LambdaExecutor(env={"MODE": 3})  # type: ignore[dict-item] # pyright: ignore[reportArgumentType]
LambdaExecutor(retries="twice")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
dolambda.unregister()
