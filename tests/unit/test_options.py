"""Options of a run are checked where they are given; environment variables are shown nowhere."""

from __future__ import annotations

import os
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np
import pytest

from dolambda import LambdaExecutor, Retries, foreach, register, unregister
from dolambda.errors import ConfigurationError
from dolambda.options import OF_LOOPS, RULES, Env, RunOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = "hunter2-0123456789"  # noqa: S105 - it opens nothing


@pytest.fixture
def _registered() -> Iterator[None]:
    register(transport="in_process", workers=2, progress=False)
    yield
    unregister()


def by_executor(**options: Any) -> object:
    return LambdaExecutor(**options)


def by_block(**options: Any) -> object:
    return joblib.parallel_config("dolambda", **options)


def by_loop(**options: Any) -> object:
    return foreach(i=[1], options={"dolambda": options})


WAYS = pytest.mark.parametrize("way", [by_executor, by_block, by_loop])


@WAYS
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"task_timeout": "5"}, "task_timeout='5' is not a number of seconds from 0.01 to 900"),
        ({"task_timeout": -1}, "task_timeout=-1 is not a number of seconds from 0.01 to 900"),
        ({"task_timeout": 1e6}, "task_timeout=1000000.0 is not"),
        ({"task_timeout": True}, "task_timeout=True is not"),
        ({"budget": "1"}, "budget='1' is not a number of dollars greater than 0"),
        ({"budget": 0}, "budget=0 is not"),
        ({"batch": 0}, "batch=0 is not a whole number greater than 0"),
        ({"batch": 2.5}, "batch=2.5 is not a whole number"),
        ({"batch": True}, "batch=True is not a whole number"),
        ({"retries": -1}, "retries=-1 is not a whole number from 0"),
        ({"retries": "twice"}, "retries='twice' is not a whole number from 0"),
        ({"progress": "yes"}, "progress='yes' is not True, False or a function"),
        ({"transport": "pigeon"}, 'transport=\'pigeon\' is not "queue" or "direct"'),
        ({"run": 17}, "run=17 is not a name for a run"),
        ({"run": "Nightly"}, "run='Nightly' is not a name for a run"),
        ({"env": ["A"]}, "env= is of type list, not a mapping"),
    ],
)
@pytest.mark.usefixtures("_registered")
def test_a_wrong_option_is_named_where_it_is_given(
    way: Callable[..., object], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigurationError, match="\n  ") as caught:
        way(**options)
    assert says in str(caught.value)


@pytest.mark.parametrize("way", [by_block, by_loop])
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"unheard": 1}, "unknown option of dolambda unheard=\n  Known names: "),
        ({"bogus": 2}, "unknown option of dolambda bogus=\n  Known names: "),
        ({"retris": 2}, "unknown option of dolambda retris=\n  Did you mean retries=?"),
        ({"n_job": 2}, "unknown option of dolambda n_job="),
        ({"memory": 512}, "memory= is a setting: dolambda.register(memory=...)"),
        ({"same_buffers": True}, "unknown option of dolambda same_buffers="),
    ],
)
def test_an_unknown_option_is_refused_where_it_is_given(
    way: Callable[..., object], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        way(**options)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (3, "options=3 is not a mapping"),
        ({"dolambda": 3}, "is not a mapping of backends"),
        ({"retries": 3}, "is not a mapping of backends"),
        ({"dolamda": {"retries": 3}}, 'Did you mean "dolambda"?'),
    ],
)
def test_options_of_a_loop_are_by_backend(options: Any, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        foreach(i=[1], options=options)
    assert says in str(caught.value)
    with pytest.raises(ConfigurationError, match="n_jobs= is the number of"):
        by_block(workers=3)


@pytest.mark.usefixtures("_registered")
def test_what_means_the_same_is_taken() -> None:
    for width in (np.int64(1), 10**9, 1.0):
        # numpy's and whole floats pass.
        with LambdaExecutor(width) as executor:  # type: ignore[arg-type]
            assert executor.submit(abs, -1).result(60) == 1
    options = {"batch": np.int64(2), "retries": Retries(2), "task_timeout": 5, "progress": False}
    assert foreach(i=range(3), options={"dolambda": options, "loky": {"n_jobs": 2}}).dopar(
        lambda i: -i
    ) == [0, -1, -2]


@pytest.mark.parametrize(
    ("width", "says"),
    [
        ("4", "max_workers='4' is not a whole number"),
        (2.5, "max_workers=2.5 is not a whole number"),
        (True, "max_workers=True is not a whole number"),
        (0, "max_workers must be greater than 0, got 0"),
        (-3, "max_workers must be greater than 0, got -3"),
    ],
)
@pytest.mark.usefixtures("_registered")
def test_a_wrong_width_is_shown(width: Any, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        LambdaExecutor(width)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"where": "LOCAL"}, 'Did you mean "local"?'),
        ({"where": 5}, "where=5 is not text"),
        ({"session": "x"}, "session='x' is not a boto3 session"),
        ({"requires": "numpy"}, "requires=['numpy']"),
        ({"wokers": 4}, "Did you mean workers=?"),
        ({"retries": 4}, "is an option of a run"),
        ({"env": 4}, "env= is of type int, not a mapping"),
        ({"progress": "yes"}, "progress='yes' is not True or False"),
    ],
)
def test_a_wrong_argument_of_register_is_named(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        register(**arguments)
    assert says in str(caught.value)


def test_a_wrong_secret_is_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="secret= is of type bytes") as caught:
        register("stack", key="AK", secret=SECRET.encode())  # type: ignore[arg-type] # the mistake
    assert SECRET not in str(caught.value)


# env


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"AWS_PROFILE": SECRET}, "AWS_PROFILE, which tasks must not set"),
        ({"aws_region": SECRET}, "aws_region, which tasks must not"),
        ({"LAMBDA_TASK_ROOT": SECRET}, "LAMBDA_TASK_ROOT"),
        ({"DOLAMBDA_KEY": SECRET}, "DOLAMBDA_KEY"),
        ({"LD_PRELOAD": SECRET}, "LD_PRELOAD"),
        ({"PYTHONPATH": SECRET}, "PYTHONPATH"),
        ({"PYTHON_ANYTHING": SECRET}, "PYTHON_ANYTHING"),
        ({"": SECRET}, "'', which is not the name of a variable"),
        ({"A=B": SECRET}, "'A=B', which is not the name"),
        ({"A\0": SECRET}, "which is not the name"),
        ({5: SECRET}, "5, which is not the name"),
        ({"A": 5}, "env['A'] is of type int, not text"),
        ({"A": None}, "env['A'] is of type NoneType, not text"),
        ({"A": SECRET.encode()}, "env['A'] is of type bytes, not text"),
        ({"A": f"{SECRET}\0"}, "env['A'] contains a NUL or half a surrogate pair"),
        ({"A": f"{SECRET}\ud800"}, "env['A'] contains a NUL or half a surrogate pair"),
        ({"A": SECRET * 2000}, "env= holds 36,001 bytes, more than 32,768"),
        (SECRET, "env= is of type str, not a mapping"),
    ],
)
def test_variables_that_cannot_be_are_refused_and_not_shown(env: Any, says: str) -> None:
    for way in (by_block, by_loop):
        with pytest.raises(ConfigurationError) as caught:
            way(env=env)
        assert says in str(caught.value)
        assert SECRET not in str(caught.value)


def test_values_are_in_no_repr() -> None:
    env = Env.from_mapping({"TOKEN": SECRET, "OTHER": ""})
    assert repr(env) == "{'TOKEN': ..., 'OTHER': ...}"
    assert SECRET not in repr(foreach(i=[1], options={"dolambda": {"env": {"TOKEN": SECRET}}}))
    with register(transport="in_process", env={"TOKEN": SECRET}, progress=False) as session:
        assert SECRET not in repr(session)
        assert session.env == {"TOKEN": SECRET}
    unregister()


def seen() -> tuple[str | None, str | None]:
    return os.environ.get("TOKEN"), os.environ.get("MODE")


def test_tasks_find_the_variables_of_their_run_and_session() -> None:
    """In this process, where they are put back afterwards; on workers see tests of these."""
    with register(
        transport="in_process", env={"TOKEN": "a", "MODE": "x"}, workers=2, progress=False
    ):
        with LambdaExecutor() as executor:
            assert executor.submit(seen).result(60) == ("a", "x")
        with LambdaExecutor(env={"TOKEN": "b"}) as executor:
            assert executor.submit(seen).result(60) == ("b", "x")
        with joblib.parallel_config("dolambda", env={"MODE": "y"}):
            assert joblib.Parallel(n_jobs=2)([joblib.delayed(seen)()] * 2) == [("a", "y")] * 2
        loop = foreach(i=[1], options={"dolambda": {"env": {"MODE": "z"}}})
        assert loop.dopar(lambda i: (i, os.environ["MODE"])) == [(1, "z")]
        assert seen() == (None, None)
    unregister()


def test_options_of_a_run_are_checked_however_they_are_made() -> None:
    options = RunOptions.from_mapping({"task_timeout": 3, "env": {"A": "b"}}, OF_LOOPS)
    assert options == RunOptions(task_timeout=3.0, env={"A": "b"})
    assert options.given() == {"task_timeout": 3.0, "env": {"A": "b"}}
    with pytest.raises(ConfigurationError, match="batch=0 is not a whole number"):
        RunOptions(batch=0)
    with pytest.raises(ConfigurationError, match="threads=True is not a whole number"):
        replace(options, threads=True)
    with pytest.raises(ConfigurationError, match="task_timeout="):
        RunOptions.from_mapping({"task_timeuot": 3}, OF_LOOPS)


def test_each_option_of_a_run_has_a_rule() -> None:
    names = {field.name for field in fields(RunOptions)}
    assert names == set(OF_LOOPS)
    assert names - {"env"} <= set(RULES)
