"""The same code on loky, on dask and on Lambda: only the backend's name changes.

    python examples/backends.py loky dask dolambda

Each prints the same lines. dask needs `pip install distributed`; dolambda runs on AWS emulated here
unless it finds your credentials and your stack.
"""

from __future__ import annotations

import contextlib
import sys
from concurrent.futures import as_completed
from typing import TYPE_CHECKING, Any

from joblib import Parallel, delayed, parallel_config

if TYPE_CHECKING:
    from collections.abc import Iterator


def collatz(n: int) -> int:
    """Steps from n to 1."""
    steps = 0
    while n != 1:
        n = n // 2 if n % 2 == 0 else 3 * n + 1
        steps += 1
    return steps


@contextlib.contextmanager
def pool(backend: str) -> Iterator[Any]:
    """An executor in the sense of concurrent.futures, on that backend."""
    if backend == "loky":
        # Only what is asked for is imported.
        from joblib.externals.loky import ProcessPoolExecutor  # noqa: PLC0415

        with ProcessPoolExecutor(max_workers=2) as executor:
            yield executor
    elif backend == "dask":
        from distributed import Client  # noqa: PLC0415 - as above

        # Dask has no types.
        with Client(n_workers=2, threads_per_worker=1, dashboard_address=None) as client:  # type: ignore[no-untyped-call]
            yield client.get_executor()
    else:
        from dolambda import LambdaExecutor, unregister  # noqa: PLC0415 - as above

        with LambdaExecutor(max_workers=2) as executor:
            yield executor
        unregister()


def use(backend: str) -> None:
    """Nothing below knows which one it is."""
    with pool(backend) as executor:
        print("map      ", list(executor.map(collatz, range(1, 11))))
        futures = [executor.submit(collatz, n) for n in (27, 97, 871)]
        print("completed", sorted(future.result() for future in as_completed(futures)))
        failed = executor.submit(collatz, "7")
        print("raised   ", type(failed.exception()).__name__)

        with parallel_config(backend, n_jobs=2):
            print("Parallel ", Parallel()(delayed(collatz)(n) for n in range(1, 11)))
            print(
                "stream   ",
                sum(Parallel(return_as="generator")(delayed(collatz)(n) for n in range(1, 101))),
            )


if __name__ == "__main__":
    for name in sys.argv[1:] or ["loky", "dask", "dolambda"]:
        print(name)
        use(name)
