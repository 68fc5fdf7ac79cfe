"""scikit-learn on Lambda gives what it gives on loky, bit for bit, at the same n_jobs.

Each case is a call that a user makes. Those of `ON_LAMBDA` send tasks. Those of `IN_THREADS` do
not: there scikit-learn demands memory that tasks share (``require="sharedmem"``) or names threads
itself (``backend="threading"``), so joblib runs them in threads of this process, with any backend.
A mere wish for threads (``prefer="threads"``, as in a forest's fit) yields to the user's backend.

Left out of the comparison are durations alone. A regression forest's `predict` is asked with
n_jobs=1: with more its threads add up in the order in which they end, and the last bit varies from
call to call, whatever the backend.
"""

from __future__ import annotations

import gc
import os
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pytest
from joblib.externals.loky import get_reusable_executor

from dolambda.local.stack import deploy_into
from dolambda.registration import register, unregister
from dolambda.settings import Settings

pytest.importorskip(
    "sklearn", reason="scikit-learn, whose results are compared here, is not installed"
)

from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import DBSCAN, MeanShift
from sklearn.compose import ColumnTransformer
from sklearn.covariance import GraphicalLassoCV
from sklearn.datasets import make_classification, make_regression
from sklearn.decomposition import PCA, DictionaryLearning, LatentDirichletAllocation
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
    VotingRegressor,
)

# Unlocks HalvingGridSearchCV.
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFECV, SequentialFeatureSelector, mutual_info_classif
from sklearn.gaussian_process import GaussianProcessClassifier
from sklearn.inspection import permutation_importance
from sklearn.linear_model import (
    LassoCV,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    Ridge,
    SGDClassifier,
    TheilSenRegressor,
)
from sklearn.manifold import MDS
from sklearn.metrics import pairwise_distances
from sklearn.metrics.pairwise import pairwise_kernels
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
    validation_curve,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, LocalOutlierFactor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dolambda.local.instance import Instance
    from dolambda.session import Session

pytestmark = pytest.mark.usefixtures("same_kernels")

N_JOBS = 2
CHOOSES_KERNELS = ("OPENBLAS_", "MKL_", "NPY_")

X, Y = make_classification(
    n_samples=150, n_features=8, n_informative=5, n_classes=3, random_state=0
)
TWO = (Y > 0).astype(int)
PLAIN, TARGET = make_regression(n_samples=150, n_features=8, n_targets=3, noise=3.0, random_state=0)
COUNTS = np.random.default_rng(0).poisson(1.0, (150, 20))

# The transports by which an array comes to a task. X takes the second at first, and the third once
# it is seen to be shared.
IN_PICKLE = X[:60], Y[:60]  # 3.8 kB
IN_JOB = X[:100], Y[:100]  # 6.4 kB
IN_BLOB = make_classification(n_samples=1500, n_features=8, random_state=0)  # 96 kB
IN_BLOB_AND_MAPPED = make_classification(
    n_samples=20_000, n_features=8, random_state=0
)  # 1.3 MB: on loky a memory map


def numbers(results: dict[str, Any]) -> dict[str, Any]:
    """Of scikit-learn's tables of results: what is a number and no duration."""
    return {
        name: column
        for name, column in results.items()
        if np.asarray(column).dtype.kind in "biuf" and "_time" not in name
    }


def asked(model: Any, x: Any, *names: str) -> dict[str, Any]:
    """Attributes by name, and by the name of a method what it makes of ``x``."""
    found = {name: getattr(model, name) for name in names}
    return {name: value(x) if callable(value) else value for name, value in found.items()}


def fitted(model: Any, x: Any, y: Any, *names: str) -> dict[str, Any]:
    return asked(model.fit(x, y), x, *names)


def searched(model: Any, x: Any = X, y: Any = Y) -> dict[str, Any]:
    found = fitted(model, x, y, "best_index_", "best_score_", "predict")
    return {**found, **numbers(model.cv_results_)}


def forest(model: Any, x: Any, y: Any, *names: str) -> dict[str, Any]:
    """Fit; give every tree besides."""
    trees = [estimator.tree_ for estimator in model.fit(x, y).estimators_]
    grown = {
        f"{name} of tree {at}": getattr(tree, name)
        for at, tree in enumerate(trees)
        for name in ("feature", "threshold", "value")
    }
    return grown | asked(model.set_params(n_jobs=1), x, *names)


def several(model: Any, x: Any, y: Any, attribute: str, *names: str) -> dict[str, Any]:
    """Fit; give an attribute of each of its parts besides."""
    found = fitted(model, x, y, *names)
    return found | {
        f"{attribute} of {at}": getattr(part, attribute)
        for at, part in enumerate(model.estimators_)
    }


def named(names: str, values: Any) -> dict[str, Any]:
    return dict(zip(names.split(), values, strict=True))


def logistic() -> Any:
    return LogisticRegression(max_iter=1000)


def voters() -> list[tuple[str, Any]]:
    return [
        ("svc", SVC()),
        ("tree", DecisionTreeClassifier(random_state=0)),
        ("bayes", GaussianNB()),
    ]


ON_LAMBDA: dict[str, Callable[[], dict[str, Any]]] = {
    "GridSearchCV": lambda: searched(
        GridSearchCV(
            SVC(), {"C": [0.1, 1, 10], "gamma": [0.1, 1]}, return_train_score=True, n_jobs=N_JOBS
        )
    ),
    "GridSearchCV of a pipeline": lambda: searched(
        GridSearchCV(
            make_pipeline(StandardScaler(), PCA(), logistic()),
            {"pca__n_components": [2, 4, 6]},
            n_jobs=N_JOBS,
        ),
        *IN_BLOB,
    ),
    "RandomizedSearchCV": lambda: searched(
        RandomizedSearchCV(
            DecisionTreeClassifier(random_state=0),
            {"max_depth": range(1, 9), "min_samples_leaf": range(1, 9)},
            random_state=0,
            n_jobs=N_JOBS,
        )
    ),
    "HalvingGridSearchCV": lambda: searched(
        HalvingGridSearchCV(
            DecisionTreeClassifier(random_state=0),
            {"max_depth": [1, 2, 3, 5]},
            random_state=0,
            n_jobs=N_JOBS,
        )
    ),
    "cross_validate": lambda: numbers(
        cross_validate(
            HistGradientBoostingClassifier(max_iter=10, random_state=0),
            X,
            Y,
            scoring=["accuracy", "neg_log_loss"],
            return_train_score=True,
            n_jobs=N_JOBS,
        )
    ),
    "cross_val_score": lambda: named(
        "scores", [cross_val_score(Ridge(), PLAIN, TARGET, n_jobs=N_JOBS)]
    ),
    "cross_val_predict": lambda: named(
        "predictions", [cross_val_predict(logistic(), X, Y, method="predict_proba", n_jobs=N_JOBS)]
    ),
    "learning_curve": lambda: named(
        "sizes train test",
        learning_curve(
            GaussianNB(),
            X,
            Y,
            train_sizes=[0.3, 0.6, 1.0],
            shuffle=True,
            random_state=0,
            n_jobs=N_JOBS,
        ),
    ),
    "validation_curve": lambda: named(
        "train test",
        validation_curve(
            Ridge(), PLAIN, TARGET, param_name="alpha", param_range=[0.1, 1.0, 10.0], n_jobs=N_JOBS
        ),
    ),
    "permutation_test_score": lambda: named(
        "score permuted p",
        permutation_test_score(
            GaussianNB(), X, Y, n_permutations=20, random_state=0, n_jobs=N_JOBS
        ),
    ),
    "TunedThresholdClassifierCV": lambda: fitted(
        TunedThresholdClassifierCV(logistic(), n_jobs=N_JOBS),
        X,
        TWO,
        "best_threshold_",
        "best_score_",
        "predict",
    ),
    "RandomForestClassifier": lambda: forest(
        RandomForestClassifier(40, oob_score=True, random_state=0, n_jobs=N_JOBS),
        X,
        Y,
        "oob_decision_function_",
        "predict_proba",
    ),
    "RandomForestRegressor": lambda: forest(
        RandomForestRegressor(40, oob_score=True, random_state=0, n_jobs=N_JOBS),
        PLAIN,
        TARGET,
        "oob_prediction_",
        "predict",
    ),
    "ExtraTreesClassifier": lambda: forest(
        ExtraTreesClassifier(20, random_state=0, n_jobs=N_JOBS),
        X,
        Y,
        "feature_importances_",
        "predict_proba",
    ),
    "ExtraTreesRegressor": lambda: forest(
        ExtraTreesRegressor(5, random_state=0, n_jobs=N_JOBS),
        *IN_BLOB,
        "feature_importances_",
        "predict",
    ),
    "BaggingClassifier": lambda: fitted(
        BaggingClassifier(
            GaussianNB(),
            max_features=0.7,
            oob_score=True,
            n_estimators=25,
            random_state=0,
            n_jobs=N_JOBS,
        ),
        X,
        Y,
        "oob_decision_function_",
        "predict_proba",
        "predict_log_proba",
        "estimators_features_",
    ),
    "BaggingRegressor": lambda: fitted(
        BaggingRegressor(Ridge(), random_state=0, n_jobs=N_JOBS), PLAIN, TARGET[:, 0], "predict"
    ),
    "IsolationForest": lambda: forest(
        IsolationForest(n_estimators=20, random_state=0, n_jobs=N_JOBS),
        X,
        None,
        "score_samples",
        "predict",
    ),
    "VotingClassifier": lambda: fitted(
        VotingClassifier(voters(), n_jobs=N_JOBS), X, Y, "transform", "predict"
    ),
    "VotingRegressor": lambda: fitted(
        VotingRegressor(
            [("ridge", Ridge()), ("tree", DecisionTreeRegressor(random_state=0))], n_jobs=N_JOBS
        ),
        X,
        TARGET[:, 0],
        "transform",
        "predict",
    ),
    "StackingClassifier": lambda: fitted(
        StackingClassifier(voters(), logistic(), n_jobs=N_JOBS), X, Y, "transform", "predict_proba"
    ),
    "CalibratedClassifierCV": lambda: fitted(
        CalibratedClassifierCV(SVC(), n_jobs=N_JOBS), X, Y, "predict_proba"
    ),
    "MultiOutputRegressor": lambda: several(
        MultiOutputRegressor(Ridge(), n_jobs=N_JOBS), PLAIN, TARGET, "coef_", "predict"
    ),
    "MultiOutputClassifier": lambda: several(
        MultiOutputClassifier(logistic(), n_jobs=N_JOBS),
        X,
        np.column_stack([Y, TWO]),
        "coef_",
        "predict",
    ),
    "OneVsRestClassifier": lambda: several(
        OneVsRestClassifier(logistic(), n_jobs=N_JOBS), X, Y, "coef_", "predict_proba"
    ),
    "OneVsRestClassifier of an array in the pickle": lambda: several(
        OneVsRestClassifier(logistic(), n_jobs=N_JOBS), *IN_PICKLE, "coef_", "predict_proba"
    ),
    "OneVsRestClassifier of an array in the job": lambda: several(
        OneVsRestClassifier(logistic(), n_jobs=N_JOBS), *IN_JOB, "coef_", "predict_proba"
    ),
    "OneVsRestClassifier of a blob": lambda: several(
        OneVsRestClassifier(logistic(), n_jobs=N_JOBS), *IN_BLOB, "coef_", "predict_proba"
    ),
    "OneVsOneClassifier": lambda: several(
        OneVsOneClassifier(SVC(), n_jobs=N_JOBS), X, Y, "dual_coef_", "decision_function"
    ),
    "OutputCodeClassifier": lambda: several(
        OutputCodeClassifier(GaussianNB(), code_size=2, random_state=3, n_jobs=N_JOBS),
        X,
        Y,
        "theta_",
        "predict",
    ),
    "GaussianProcessClassifier": lambda: fitted(
        GaussianProcessClassifier(n_jobs=N_JOBS),
        X,
        Y,
        "log_marginal_likelihood_value_",
        "predict_proba",
    ),
    "LogisticRegressionCV": lambda: fitted(
        LogisticRegressionCV(
            Cs=3,
            l1_ratios=(0,),
            use_legacy_attributes=False,
            scoring="neg_log_loss",
            max_iter=1000,
            n_jobs=N_JOBS,
        ),
        X,
        Y,
        "C_",
        "coef_",
        "scores_",
        "predict_proba",
    ),
    "LassoCV": lambda: fitted(
        LassoCV(n_jobs=N_JOBS), PLAIN, TARGET[:, 0], "alpha_", "mse_path_", "coef_"
    ),
    "LinearRegression": lambda: fitted(
        LinearRegression(positive=True, n_jobs=N_JOBS), PLAIN, TARGET, "coef_", "predict"
    ),
    "TheilSenRegressor": lambda: fitted(
        TheilSenRegressor(max_subpopulation=200, random_state=0, n_jobs=N_JOBS),
        PLAIN,
        TARGET[:, 0],
        "coef_",
    ),
    "GraphicalLassoCV": lambda: fitted(
        GraphicalLassoCV(alphas=[0.05, 0.1, 0.2], n_jobs=N_JOBS),
        PLAIN,
        None,
        "alpha_",
        "precision_",
    ),
    "LatentDirichletAllocation": lambda: fitted(
        LatentDirichletAllocation(4, max_iter=4, random_state=0, n_jobs=N_JOBS),
        COUNTS,
        None,
        "components_",
        "bound_",
        "transform",
    ),
    "DictionaryLearning": lambda: fitted(
        DictionaryLearning(4, max_iter=3, random_state=0, n_jobs=N_JOBS),
        X,
        None,
        "components_",
        "transform",
    ),
    "RFECV": lambda: {
        **fitted(
            model := RFECV(DecisionTreeClassifier(random_state=0), n_jobs=N_JOBS),
            X,
            Y,
            "ranking_",
            "predict",
        ),
        **numbers(model.cv_results_),
    },
    "SequentialFeatureSelector": lambda: fitted(
        SequentialFeatureSelector(GaussianNB(), n_features_to_select=2, n_jobs=N_JOBS),
        X[:, :4],
        Y,
        "support_",
        "transform",
    ),
    "mutual_info_classif": lambda: named(
        "information", [mutual_info_classif(X, Y, random_state=0, n_jobs=N_JOBS)]
    ),
    "permutation_importance": lambda: permutation_importance(
        DecisionTreeClassifier(random_state=0).fit(X, Y),
        X,
        Y,
        n_repeats=5,
        random_state=0,
        n_jobs=N_JOBS,
    ),
    "permutation_importance of a blob": lambda: permutation_importance(
        logistic().fit(*IN_BLOB), *IN_BLOB, n_repeats=3, random_state=0, n_jobs=N_JOBS
    ),
    "permutation_importance of a memory map": lambda: permutation_importance(
        GaussianNB().fit(*IN_BLOB_AND_MAPPED),
        *IN_BLOB_AND_MAPPED,
        scoring="neg_log_loss",
        n_repeats=2,
        random_state=0,
        n_jobs=N_JOBS,
    ),
    "ColumnTransformer": lambda: fitted(
        ColumnTransformer(
            [
                ("a", StandardScaler(), [0, 1, 2]),
                ("b", PCA(2), [3, 4, 5]),
                ("c", MinMaxScaler(), [6]),
            ],
            n_jobs=N_JOBS,
        ),
        X,
        None,
        "transform",
        "fit_transform",
    ),
    "FeatureUnion": lambda: fitted(
        FeatureUnion([("scaled", StandardScaler()), ("pca", PCA(3))], n_jobs=N_JOBS),
        X,
        None,
        "transform",
        "fit_transform",
    ),
    "KNeighborsClassifier": lambda: {
        **fitted(
            model := KNeighborsClassifier(algorithm="kd_tree", n_jobs=N_JOBS), X, Y, "predict_proba"
        ),
        **named("distances neighbors", model.kneighbors(X)),
    },
    "LocalOutlierFactor": lambda: fitted(
        LocalOutlierFactor(algorithm="ball_tree", n_jobs=N_JOBS),
        X,
        None,
        "negative_outlier_factor_",
    ),
    "DBSCAN": lambda: fitted(
        DBSCAN(eps=2.0, algorithm="kd_tree", n_jobs=N_JOBS),
        X,
        None,
        "labels_",
        "core_sample_indices_",
    ),
    "MeanShift": lambda: fitted(
        MeanShift(bandwidth=4.0, max_iter=20, n_jobs=N_JOBS),
        X[:40],
        None,
        "cluster_centers_",
        "labels_",
    ),
    "MDS": lambda: fitted(
        MDS(n_init=3, max_iter=20, init="random", random_state=0, n_jobs=N_JOBS),
        X[:50],
        None,
        "embedding_",
        "stress_",
    ),
}

IN_THREADS: dict[str, Callable[[], dict[str, Any]]] = {
    "RandomForestClassifier.predict_proba": lambda: (
        asked(  # its leaves are pure: zeros and ones add up the same in any order
            RandomForestClassifier(20, random_state=0, n_jobs=1)
            .fit(X, Y)
            .set_params(n_jobs=N_JOBS),
            X,
            "predict_proba",
        )
    ),
    "SGDClassifier": lambda: fitted(
        SGDClassifier(random_state=0, n_jobs=N_JOBS), X, Y, "coef_", "decision_function"
    ),
    "pairwise_distances": lambda: named(
        "distances", [pairwise_distances(X, metric="braycurtis", n_jobs=N_JOBS)]
    ),
    "pairwise_kernels": lambda: named("kernel", [pairwise_kernels(X, metric="rbf", n_jobs=N_JOBS)]),
}


@pytest.fixture(scope="module")
def session(instance: Instance) -> Iterator[Session]:
    """Registered on a stack whose layer holds scikit-learn; afterwards nothing may be left in the
    queue.
    """
    settings, credentials = deploy_into(
        instance, Settings(stack="sklearn", requires=("scikit-learn",), timeout=120)
    )
    opened = register(
        region=settings.region,
        endpoint_url=settings.endpoint_url,
        key=credentials.key,
        secret=credentials.secret,
        stack=settings.stack,
        progress=False,
    )
    yield opened
    bucket = opened.bucket
    unregister()
    gc.collect()
    assert bucket is not None
    assert bucket.list("jobs/") == []
    assert bucket.list("outs/") == []


@pytest.fixture(scope="module")
def same_kernels() -> Iterator[None]:
    """loky's processes choose OpenBLAS's kernels by the CPU, as workers do, and not by what this
    shell says of it.

    Workers inherit nothing from here. With ``OPENBLAS_CORETYPE=Haswell`` set on a newer CPU the two
    would differ in the last bits.
    """
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith(CHOOSES_KERNELS)]:
            environment.delenv(name)
        get_reusable_executor().shutdown(wait=True)  # what runs already has the old environment
        yield
        get_reusable_executor().shutdown(wait=True)


def on_loky(case: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    with joblib.parallel_config(
        "loky", n_jobs=N_JOBS, inner_max_num_threads=1
    ):  # as many as a worker of 1,769 MB has vCPUs
        return case()


def on_dolambda(case: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    with joblib.parallel_config("dolambda", n_jobs=N_JOBS):
        return case()


def bits(values: Any) -> tuple[Any, ...]:
    """All that there is to compare: -0.0 is not 0.0, and a NaN is itself."""
    array = np.asarray(values)
    assert array.dtype.kind in "biuf", "would be compared by address"
    return array.dtype, array.shape, array.tobytes()


def differing(here: dict[str, Any], there: dict[str, Any]) -> list[str]:
    assert list(here) == list(there)
    assert here
    return [name for name in here if bits(here[name]) != bits(there[name])]


@pytest.mark.parametrize("case", ON_LAMBDA.values(), ids=ON_LAMBDA)
def test_lambda_gives_what_loky_gives_bit_for_bit(
    session: Session, case: Callable[[], dict[str, Any]]
) -> None:
    before = session.report()
    there = on_dolambda(case)
    after = session.report()
    assert after.done > before.done
    assert (after.failed, after.resent) == (before.failed, before.resent)
    assert differing(on_loky(case), there) == []


@pytest.mark.parametrize("case", IN_THREADS.values(), ids=IN_THREADS)
def test_what_demands_threads_has_them_and_gives_what_it_gives_under_loky(
    session: Session, case: Callable[[], dict[str, Any]]
) -> None:
    before = session.report()
    there = on_dolambda(case)
    assert session.report().tasks == before.tasks
    assert differing(on_loky(case), there) == []


def test_a_grid_search_ships_each_array_once(session: Session) -> None:
    """scikit-learn hands the same X to each of a hundred tasks, and the same five pairs of
    folds.
    """
    x, y = make_regression(n_samples=5000, n_features=50, random_state=0)
    folds = list(KFold(5).split(x))
    unique = x.nbytes + y.nbytes + sum(train.nbytes + test.nbytes for train, test in folds)
    before = session.report()
    with joblib.parallel_config("dolambda", n_jobs=N_JOBS):
        GridSearchCV(Ridge(), {"alpha": np.logspace(-3, 3, 20)}, cv=folds, refit=False).fit(x, y)
    after = session.report()
    assert after.done - before.done == 100
    # The folds may travel inside jobs, and be deflated there; random numbers cannot be.
    assert x.nbytes + y.nbytes < after.sent - before.sent < 1.1 * unique


def test_a_nested_n_jobs_counts_as_one_on_lambda(session: Session) -> None:
    """loky would nest threads.

    Bagging adds up by job, so that its last bit tells how many there were.
    """

    def predicted(inner: int) -> dict[str, Any]:
        bagging = BaggingClassifier(GaussianNB(), n_estimators=11, random_state=0, n_jobs=inner)
        return named(
            "probabilities",
            [cross_val_predict(bagging, X, Y, method="predict_proba", n_jobs=N_JOBS)],
        )

    before = session.report()
    there = on_dolambda(lambda: predicted(N_JOBS))
    assert session.report().done == before.done + 5
    assert differing(on_loky(lambda: predicted(1)), there) == []
