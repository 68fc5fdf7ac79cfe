"""Other people's libraries, used in tasks as people use them.

Run by `make test-third-party`, in an environment that has them.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING, Any

import pytest

from dolambda import LambdaExecutor
from dolambda.local.instance import Instance
from dolambda.local.stack import deploy_into
from dolambda.registration import register, unregister
from dolambda.settings import Settings
from support.third_party import edges, fluxes, morlet_power, spectral_centroid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dolambda.session import Session

pytest.importorskip(
    "mne", reason="the libraries are in an environment of their own: make test-third-party"
)

# What these libraries warn of each other is not our business.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(300)]

WORKERS = 8


@pytest.fixture(scope="module")
def connection() -> Iterator[dict[str, str]]:
    """Variables that lead to a stack whose workers have all that is installed here."""
    instance = Instance.from_start(workers=WORKERS)
    try:
        settings, credentials = deploy_into(instance, Settings(timeout=120))
        yield {
            "DOLAMBDA_ENDPOINT_URL": str(settings.endpoint_url),
            "DOLAMBDA_REGION": str(settings.region),
            "AWS_ACCESS_KEY_ID": str(credentials.key),
            "AWS_SECRET_ACCESS_KEY": str(credentials.secret),
        }
    finally:
        instance.stop()


@pytest.fixture(scope="module")
def session(connection: dict[str, str]) -> Iterator[Session]:
    yield register(
        endpoint_url=connection["DOLAMBDA_ENDPOINT_URL"],
        region=connection["DOLAMBDA_REGION"],
        key=connection["AWS_ACCESS_KEY_ID"],
        secret=connection["AWS_SECRET_ACCESS_KEY"],
        progress=False,
    )
    unregister()


@pytest.fixture
def run(connection: dict[str, str], tmp_path: Path) -> Callable[..., str]:
    """Run a program that uses the stack, in a directory of its own; return what it prints."""

    def run_program(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command],
            env=os.environ | connection | {"IPYTHONDIR": str(tmp_path), "NO_COLOR": "1"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, (done.stdout + done.stderr)[-2000:]
        return done.stdout

    return run_program


def on_a_worker(function: Callable[[], Any]) -> Any:
    """Return what the function returns on a worker: it ran in another process."""
    with LambdaExecutor() as executor:
        result, process = executor.submit(lambda: (function(), os.getpid())).result(240)
    assert process != os.getpid()
    return result


@pytest.mark.parametrize("function", [morlet_power, spectral_centroid, edges, fluxes])
@pytest.mark.usefixtures("session")
def test_a_library_is_imported_and_used_on_a_worker(function: Callable[[], Any]) -> None:
    assert on_a_worker(function) == function()


def test_estimators_of_mne_run_as_without_dolambda(session: Session) -> None:
    import joblib
    import numpy as np
    from mne.decoding import SlidingEstimator, cross_val_multiscore
    from sklearn.linear_model import LogisticRegression

    draw = np.random.default_rng(0)
    signals, kinds = draw.normal(size=(40, 5, 6)), np.repeat([0, 1], 20)
    signals[kinds == 1, :, 3:] += 1.0
    sliding = SlidingEstimator(LogisticRegression(), scoring="accuracy", n_jobs=2, verbose=False)
    before = session.report().done
    with joblib.parallel_config("dolambda"):
        ours = cross_val_multiscore(sliding, signals, kinds, cv=3)
    assert session.report().done > before
    with joblib.parallel_config("sequential"):
        assert ours.tolist() == cross_val_multiscore(sliding, signals, kinds, cv=3).tolist()


@pytest.mark.usefixtures("session")
def test_dask_runs_as_many_tasks_at_a_time_as_there_are_workers(tmp_path: Path) -> None:
    from dask.base import compute
    from dask.delayed import delayed

    def meet(number: int) -> int:
        """Return how many tasks run at the same time as this one."""
        (tmp_path / str(number)).touch()
        deadline = time.monotonic() + 60
        while (met := len(list(tmp_path.iterdir()))) < WORKERS and time.monotonic() < deadline:
            time.sleep(0.05)
        return met

    tasks = [delayed(meet, pure=False)(number) for number in range(WORKERS)]
    with LambdaExecutor() as executor:
        met = compute(*tasks, scheduler=executor)
    assert met == (WORKERS,) * WORKERS


CLASSES_OF_MAIN = """
    from typing import Annotated
    import attrs, dolambda, pydantic

    @attrs.define
    class Point:
        x: int = attrs.field(validator=attrs.validators.ge(0))
        tags: list[str] = attrs.field(factory=list)

        def moved(self, by):
            return attrs.evolve(self, x=self.x + by, tags=[*self.tags, "moved"])

    @attrs.frozen
    class Circle:
        centre: Point
        radius: float = attrs.field(converter=float)

    class Order(pydantic.BaseModel):
        number: Annotated[int, pydantic.Field(gt=0)]
        points: list[tuple[int, int]] = []

        @pydantic.field_validator("points")
        @classmethod
        def sorted_points(cls, points):
            return sorted(points)

    def double(order):
        return Order(number=2 * order.number, points=[(2, 2), (1, 1)])

    def refuse(number):
        return Order(number=number)

    if __name__ == "__main__":
        with dolambda.register(progress=False), dolambda.LambdaExecutor() as executor:
            point = executor.submit(Point.moved, Point(1), 2).result(60)
            assert point == Point(3, ["moved"]) and type(point) is Point, point
            circle = executor.submit(lambda p: Circle(p, "2.5"), point).result(60)
            assert circle == Circle(point, 2.5) and type(circle.centre) is Point, circle
            order = executor.submit(double, Order(number=3)).result(60)
            assert order == Order(number=6, points=[(1, 1), (2, 2)]) and type(order) is Order, order
            error = executor.submit(refuse, -1).exception(60)
            assert "greater than 0" in str(error), repr(error)
            print("all right")
"""


def test_classes_of_main_by_attrs_and_pydantic(run: Callable[..., str], tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(CLASSES_OF_MAIN), encoding="utf-8")
    assert run(str(script)).splitlines()[-1] == "all right"


IMPORTS = "import dolambda; session = dolambda.register(progress=False)"
DEFINITIONS = """
import os
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

class Power(TransformerMixin, BaseEstimator):
    def __init__(self, power=1): self.power = power
    def fit(self, X, y=None): return self
    def transform(self, X): return np.asarray(X) ** self.power

scores = {
    "accuracy": make_scorer(lambda truth, guess: float(accuracy_score(truth, guess))),
    "worker": lambda *_: float("AWS_LAMBDA_FUNCTION_NAME" in os.environ),
}

def search(n_jobs):
    pipeline = make_pipeline(Power(), LogisticRegression(max_iter=500))
    choices = {"power__power": [1, 2], "logisticregression__C": [0.1, 1.0]}
    found = GridSearchCV(pipeline, choices, scoring=scores, refit="accuracy", n_jobs=n_jobs, cv=3)
    found.fit(*load_iris(return_X_y=True))
    return [found.cv_results_["mean_test_" + name].tolist() for name in scores]
"""
SEARCH = """
ours, on_worker = search(n_jobs=-1)
dolambda.unregister()
here, _ = search(n_jobs=1)
print("same:", ours == here, "on a worker:", on_worker)
"""
AS_IT_SHOULD = "same: True on a worker: [1.0, 1.0, 1.0, 1.0]"


def test_a_grid_search_in_ipython(run: Callable[..., str]) -> None:
    program = f"{IMPORTS}\n{DEFINITIONS}\n{SEARCH}"
    printed = run(
        "-m", "IPython", "--no-banner", "--simple-prompt", "--colors=NoColor", "-c", program
    )
    assert AS_IT_SHOULD in printed


EXECUTE = """
    import nbclient, nbformat, sys
    cells = [nbformat.v4.new_code_cell(cell) for cell in sys.argv[1:]]
    notebook = nbclient.execute(
        nbformat.v4.new_notebook(cells=cells), timeout=180, kernel_name="python3"
    )
    print("".join(out.get("text", "") for cell in notebook.cells for out in cell.outputs))
"""


def test_a_grid_search_in_a_notebook(run: Callable[..., str]) -> None:
    printed = run("-c", textwrap.dedent(EXECUTE), IMPORTS, DEFINITIONS, SEARCH)
    assert AS_IT_SHOULD in printed
