"""A classification of biopsies: a user's script, which uses joblib and knows nothing of dolambda.

Bootstrap of a classifier on scikit-learn's breast-cancer data (569 patients x 30 measurements; W.
N. Street et al., 1993): fit on rows drawn with replacement, score on those left out. `dolambda
demo` runs it on Lambda and on loky.
"""

# ruff: noqa: ANN001, ANN201, D103 - a user's script
import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def replicate(model, X, y, seed):  # noqa: N803 - the usual name
    rows = np.random.default_rng(seed).integers(0, len(y), len(y))
    out = np.setdiff1d(np.arange(len(y)), rows)
    return clone(model).fit(X[rows], y[rows]).score(X[out], y[out])


def bootstrap(n):
    X, y = load_breast_cancer(return_X_y=True)  # noqa: N806 - the usual name
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return np.array(Parallel(n_jobs=-1)(delayed(replicate)(model, X, y, seed) for seed in range(n)))
