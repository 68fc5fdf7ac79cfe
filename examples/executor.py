"""concurrent.futures on Lambda: estimate pi by throwing darts, a million a task.

Run it with: python examples/executor.py.
"""

import random

from dolambda import LambdaExecutor


def hits(seed: int, darts: int = 1_000_000) -> int:
    """Count darts that hit the quarter circle."""
    throw = random.Random(seed).random  # noqa: S311 - darts, no secret
    return sum(throw() ** 2 + throw() ** 2 < 1 for _ in range(darts))


if __name__ == "__main__":
    tasks = 8
    with LambdaExecutor() as executor:
        print(4 * sum(executor.map(hits, range(tasks))) / (tasks * 1_000_000))
