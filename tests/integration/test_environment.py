"""What the user's code needs, on the worker: layers, the bundle, and the refusal of a stack that
differs.
"""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest

from dolambda import LambdaExecutor
from dolambda.environment import layer, worker_zip
from dolambda.environment.archive import make_zip
from dolambda.errors import ConfigurationError
from dolambda.local.stack import deploy_into, root
from dolambda.provision.deploy import deploy, destroy, resources
from dolambda.registration import register, unregister
from dolambda.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dolambda.aws.account import Credentials
    from dolambda.local.instance import Instance

    Deploy = Callable[[Settings], tuple[Settings, Credentials]]


@pytest.fixture
def deployed(instance: Instance) -> Iterator[Deploy]:
    """Deploy stacks, and remove them after the test."""
    made: list[tuple[Settings, Settings]] = []

    def deploy_stack(settings: Settings) -> tuple[Settings, Credentials]:
        there, credentials = deploy_into(instance, settings)
        made.append((settings, there))
        return there, credentials

    yield deploy_stack
    for settings, there in made:
        _, account = root(instance, settings)
        nothing = replace(there, requires=(), extra_requires=())
        destroy(resources(account, nothing, here=True))


@contextmanager
def registered(settings: Settings, credentials: Credentials, **more: Any) -> Iterator[None]:
    """Register a stack with the credentials of its submitter."""
    register(
        stack=settings.stack,
        region=settings.region,
        endpoint_url=settings.endpoint_url,
        key=credentials.key,
        secret=credentials.secret,
        progress=False,
        **more,
    )
    try:
        yield
    finally:
        unregister()


def use(
    settings: Settings, credentials: Credentials, function: Callable[[], Any] | None = None
) -> Any:
    def where() -> tuple[str, Any]:
        import joblib  # noqa: PLC0415 - on the worker

        return joblib.__file__, joblib.__version__

    with registered(settings, credentials), LambdaExecutor() as executor:
        return executor.submit(function or where).result(30)


def test_what_layers_cannot_hold_reaches_the_worker_in_a_bundle(
    deployed: Deploy, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remove_the_bundle() -> bool:
        """Do what a task does that empties the directory for temporary files."""
        import pathlib  # noqa: PLC0415 - on the worker
        import shutil  # noqa: PLC0415 - on the worker
        import tempfile  # noqa: PLC0415 - on the worker

        (place,) = pathlib.Path(tempfile.gettempdir()).glob("dolambda-bundle-*")
        place.unlink() if place.is_symlink() else shutil.rmtree(place)
        return True

    monkeypatch.setattr(layer, "_ROOM", 0)
    settings = Settings(stack="bundled", requires=("joblib",))
    there, credentials = deployed(settings)
    file, found = use(there, credentials)
    assert "dolambda-bundle-" in file
    assert found == version("joblib")
    assert use(there, credentials, remove_the_bundle)
    assert use(there, credentials)[1] == version("joblib")
    _, account = root(instance, settings)
    assert deploy(resources(account, there, here=True)) == 0
    monkeypatch.undo()
    deploy_into(instance, settings)  # there is room now: the bundle goes, a layer comes
    assert (
        not account.client("s3")
        .list_objects_v2(Bucket="bundled-000000000000-us-east-1", Prefix="bundles/")
        .get("Contents")
    )
    file, _ = use(there, credentials)
    assert "/packages-" in file


def test_a_layer_of_ones_own_is_merged_with_what_is_in_the_cache(
    deployed: Deploy, instance: Instance
) -> None:
    settings = Settings(stack="merged", requires=("joblib",))
    _, account = root(instance, settings)
    own = make_zip({"python/joblib/_of_own_layer.py": b"FOUND = 7\n", "data/one": b"1"})
    arn = account.client("lambda").publish_layer_version(LayerName="own", Content={"ZipFile": own})[
        "LayerVersionArn"
    ]
    there, credentials = deployed(replace(settings, layers=(arn,)))

    def of_both() -> tuple[str, int]:
        import joblib  # noqa: PLC0415 - on the worker
        from joblib._of_own_layer import FOUND  # noqa: PLC0415 - as above

        return joblib.__version__, FOUND

    assert use(there, credentials, of_both) == (version("joblib"), 7)


def test_a_stack_that_differs_is_refused_before_the_first_task(
    deployed: Deploy, instance: Instance
) -> None:
    settings = Settings(stack="differing", requires=("joblib==1.5.0",))
    there, credentials = deployed(settings)
    with pytest.raises(
        ConfigurationError,
        match=rf"joblib is {version('joblib')} locally and 1.5.0 on the stack\n  Run `dolambda "
        r"deploy`",
    ):
        use(there, credentials)
    _, account = root(instance, settings)
    account.client("lambda").update_function_code(
        FunctionName="differing", ZipFile=b"PK\x05\x06" + bytes(18)
    )
    with pytest.raises(ConfigurationError, match="its worker code is of another dolambda"):
        use(there, credentials)


def test_extra_requirements_are_installed_by_deploying_alone(deployed: Deploy) -> None:
    settings = Settings(stack="extra", requires=("iniconfig",), extra_requires=("joblib",))
    there, credentials = deployed(settings)
    assert use(there, credentials)[1] == version("joblib")
    missing = registered(there, credentials, extra_requires=["numpy", "joblib"])
    said = r"deployed without extra_requires=\['numpy'\]\n.*dolambda deploy --extra-requires numpy"
    with pytest.raises(ConfigurationError, match=said), missing:
        pass


def test_programs_that_tasks_start_find_packages_and_modules(deployed: Deploy) -> None:
    def ask() -> str:
        import subprocess  # noqa: PLC0415 - on the worker

        program = "import joblib, support.user_module as own; print(joblib.__name__, own.__name__)"
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )
        return done.stdout + done.stderr

    settings = Settings(stack="programs", requires=("joblib",))
    there, credentials = deployed(settings)
    own = ["support.user_module"]
    with registered(there, credentials, include_code=own), LambdaExecutor() as executor:
        assert executor.submit(ask).result(30) == "joblib support.user_module\n"


def test_code_that_another_patch_version_compiled_is_the_same_code(
    deployed: Deploy, instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(stack="patched", requires=("joblib",))
    with monkeypatch.context() as another:
        another.setattr(worker_zip, "_zip_of", worker_zip._zip_of.__wrapped__)  # keeps none
        another.setattr(worker_zip, "_compiled", lambda _: {})
        there, credentials = deployed(settings)
    assert use(there, credentials)[1] == version("joblib")
    _, account = root(instance, settings)
    told: list[str] = []
    deploy(resources(account, there, here=True), lambda change: told.append(change.why))
    assert "its code has another version" in told
    assert deploy(resources(account, there, here=True)) == 0
    assert use(there, credentials)[1] == version("joblib")


def test_an_upgrade_replaces_the_layer_and_removes_the_old_one(instance: Instance) -> None:
    before, account = root(instance, Settings(stack="upgraded", requires=("cloudpickle==3.1.0",)))
    deploy(resources(account, before, here=True))
    told: list[str] = []
    deploy(
        resources(account, replace(before, requires=("cloudpickle==3.1.1",)), here=True),
        lambda change: told.append(f"{change.action} {change.what}"),
    )
    assert [re.sub(r"[0-9a-f]{12}$", "", one) for one in told] == [
        "create layer upgraded-requires-",
        "update function upgraded",
        "remove layer upgraded-requires-",
    ]
    (there,) = [
        layer["LayerName"]
        for layer in account.client("lambda").list_layers()["Layers"]
        if "upgraded" in layer["LayerName"]
    ]
    assert told[0].endswith(there)
    destroy(resources(account, replace(before, requires=()), here=True))


def test_a_runtime_brought_along_runs_the_same_tasks(deployed: Deploy, instance: Instance) -> None:
    """As far as the emulator goes: it mounts no /opt, so the interpreter is this one instead of a
    layer's.
    """
    settings = Settings(
        stack="brought", requires=(), runtime="provided.al2023", interpreter=sys.executable
    )
    there, credentials = deployed(settings)
    _, account = root(instance, settings)
    assert (
        account.client("lambda").get_function_configuration(FunctionName="brought")["Runtime"]
        == "provided.al2023"
    )
    file, _ = use(there, credentials)
    assert "site-packages" in file  # this interpreter's own
    with pytest.raises(ZeroDivisionError):
        fail(there, credentials)
    assert deploy(resources(account, there, here=True)) == 0


def fail(settings: Settings, credentials: Credentials) -> None:
    with registered(settings, credentials), LambdaExecutor() as executor:
        executor.submit(lambda: 1 / 0).result(30)


def test_three_hundred_megabytes_reach_the_worker(deployed: Deploy, instance: Instance) -> None:
    """pyarrow beside scikit-learn: more than layers hold, so it comes unpacked from the bundle."""

    def compute() -> tuple[int, float, str]:
        # On the worker.
        import pandas as pd  # type: ignore[import-not-found, import-untyped, unused-ignore]  # noqa: PLC0415
        import pyarrow as pa  # type: ignore[import-not-found, import-untyped, unused-ignore]  # noqa: PLC0415
        from sklearn.linear_model import LinearRegression  # noqa: PLC0415 - as above

        table = pa.table({"x": [1.0, 2.0, 3.0]})
        frame = pd.DataFrame(table.to_pydict())
        slope = LinearRegression().fit(frame[["x"]], 2 * frame["x"]).coef_[0]
        return table.num_rows, round(float(slope), 6), pa.__file__

    settings = Settings(
        stack="large", requires=("numpy", "scikit-learn", "pandas>=2", "pyarrow>=18")
    )
    there, credentials = deployed(settings)
    with registered(there, credentials), LambdaExecutor() as executor:
        rows, slope, file = executor.submit(compute).result(60)
    assert (rows, slope) == (3, 2.0)
    assert "dolambda-bundle-" in file
    _, account = root(instance, settings)
    found = account.client("lambda").get_function_configuration(FunctionName="large")
    assert found["EphemeralStorage"]["Size"] > 200
