"""What is small: imports on both ends, the worker's zip, the AWS calls of a thousand batched tasks
on the emulated AWS.
"""

from __future__ import annotations

import io
import statistics
import subprocess
import sys
import tempfile
import zipfile

import results
from dolambda import LambdaExecutor, register, unregister
from dolambda.environment.worker_zip import worker_zip

TIMES = 9


def imported(module: str, *options: str, where: str = "") -> float:
    """Milliseconds to import a module in a new interpreter, median; from ``where``, if that is
    given.
    """
    path = [where] if where else []
    code = (
        f"import time, sys; sys.path[:0] = {path}; t = time.perf_counter(); import {module}; "
        "print(time.perf_counter() - t)"
    )
    command = [sys.executable, *options, "-c", code]
    runs = [
        subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(TIMES)
    ]
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


def imported_by_a_worker(content: bytes) -> float:
    """As on Lambda: from the unpacked zip, where nothing is written to, and with what the zip
    brings.
    """
    with tempfile.TemporaryDirectory() as unpacked:
        zipfile.ZipFile(io.BytesIO(content)).extractall(unpacked)
        return imported("dolambda.handler", "-I", "-B", where=unpacked)


def measure() -> list[str]:
    floor, count, content = imported("json"), calls(), worker_zip()
    return [
        (
            f"- `import dolambda`: {imported('dolambda'):.0f} ms; `import json` in the same run: "
            f"{floor:.1f} ms"
        ),
        (
            "- the worker's `import dolambda.handler`, as on Lambda: "
            f"{imported_by_a_worker(content):.0f} ms"
        ),
        f"- the worker's zip: {len(content) / 1024:.0f} KB",
        f"- 1,000 batched tasks: {count[0]} AWS calls ({count[1]})",
    ]


if __name__ == "__main__":
    results.main("Sizes", measure)
