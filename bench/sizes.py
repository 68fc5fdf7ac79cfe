"""What is small: imports on both ends, the worker's zip, the AWS calls of a thousand batched tasks on the emulated AWS."""

from __future__ import annotations

import statistics
import subprocess
import sys

import results
from dolambda import LambdaExecutor, register, unregister
from dolambda.environment.worker_zip import worker_zip

TIMES = 9


def imported(module: str) -> float:
    """Milliseconds to import a module in a new interpreter, median."""
    code = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    command = [sys.executable, "-c", code]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(TIMES)]  # noqa: S603 - our own
    return statistics.median(float(run.stdout) for run in runs) * 1e3


def calls() -> tuple[int, str]:
    session = register("local", requires=(), progress=False)
    try:
        with LambdaExecutor(batch=1) as executor:
            list(executor.map(abs, range(8)))
        before = session.report().calls
        with LambdaExecutor() as executor:
            list(executor.map(abs, range(1000)))
        made = {name: count - before.get(name, 0) for name, count in session.report().calls.items()}
    finally:
        unregister()
    return sum(made.values()), ", ".join(f"{count} {name}" for name, count in made.items() if count)


def measure() -> list[str]:
    floor, count = imported("json"), calls()
    return [
        f"- `import dolambda`: {imported('dolambda'):.0f} ms; `import json` in the same run: {floor:.1f} ms",
        f"- the worker's `import dolambda.handler`: {imported('dolambda.handler'):.0f} ms; its zip: {len(worker_zip()) / 1024:.0f} KB",
        f"- 1,000 batched tasks: {count[0]} AWS calls ({count[1]})",
    ]


if __name__ == "__main__":
    results.main("Sizes", measure)
