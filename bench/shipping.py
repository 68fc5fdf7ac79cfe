"""Bytes shipped against the unique bytes of the arrays that scikit-learn hands to its tasks.

python bench/shipping.py
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
from sklearn.inspection import permutation_importance
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold

from dolambda import register, unregister

if TYPE_CHECKING:
    from collections.abc import Callable

X = np.random.default_rng(0).random((5000, 50))
Y = X @ np.random.default_rng(1).random(50)
FOLDS = list(KFold(5).split(X))
CASES: dict[str, tuple[Callable[[], Any], int]] = {
    "GridSearchCV, 20 candidates, 5 folds": (
        lambda: GridSearchCV(Ridge(), {"alpha": np.logspace(-3, 3, 20)}, cv=FOLDS, refit=False).fit(
            X, Y
        ),
        X.nbytes + Y.nbytes + sum(train.nbytes + test.nbytes for train, test in FOLDS),
    ),
    "permutation_importance, 50 columns": (
        lambda: permutation_importance(Ridge().fit(X, Y), X, Y, n_repeats=5, n_jobs=2),
        X.nbytes + Y.nbytes,
    ),
}

if __name__ == "__main__":
    print("| what | unique, KB | shipped, KB | ratio | jobs | X in each task, KB |")
    print("|---|---|---|---|---|---|")
    for name, (case, unique) in CASES.items():
        session = register(
            "local", requires=("scikit-learn",), progress=False
        )  # anew: nothing is in the bucket yet
        before = session.report()
        with joblib.parallel_config("dolambda", n_jobs=2):
            case()
        after = session.report()
        unregister()
        alone = X.nbytes * (after.done - before.done)
        print(
            f"| {name} | {unique / 1e3:,.0f} | {(after.sent - before.sent) / 1e3:,.0f} | "
            f"{(after.sent - before.sent) / unique:.2f} "
            f"| {after.jobs - before.jobs} | {alone / 1e3:,.0f} |"
        )
    print(f"\n{os.cpu_count()} cores")
