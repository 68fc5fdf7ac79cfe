"""The public names are these and no others.

Each says what it takes, returns and raises, and its examples run.
"""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from joblib import Parallel, delayed

import dolambda

if TYPE_CHECKING:
    from collections.abc import Iterator

_PUBLIC = {
    "dolambda": """
        Foreach LambdaExecutor Report Retries Session Settings do dopar foreach get_backend register
        set_backend times unregister when
    """,
    "dolambda.errors": """
        AccessDeniedError AwsError BudgetError CombineError ConfigurationError DolambdaError
        EnvelopeError FormatError JobRefusedError LocalAwsError LostError NoReplyError
        NotDeployedError NotPicklableError OutOfMemoryError ProvisionError PythonMismatchError
        QuotedError RemoteError
        RemoteTraceback RunTakenOverError SignatureError StackStoppedError TaskError TaskExitedError
        TaskTimedOutError
        ThrottledError TooLargeError WorkerCrashedError
    """,
    "dolambda.iterators": """
        Group Peekable by_cell by_column by_row iapply ichunk icountn idiv irandom iread_lines
        iread_table irecord irep ireplay isplit isplit_cols isplit_indices isplit_rows isplit_vector
    """,
    "dolambda.testing": """
        dolambda_in_process dolambda_local dolambda_settings dolambda_stack
    """,
}
_METHODS = {  # of the classes that users call; the others they only read
    "Session": ("bill", "close", "report"),
    "LambdaExecutor": ("for_each", "map", "starmap", "submit", "shutdown"),
    "Foreach": ("do", "dopar", "nest", "stream", "when"),
    "Peekable": ("has_next", "peek"),
}


def _defined(name: str) -> set[str]:
    """The names that a module offers: its own, without those that it imports for itself."""
    module = importlib.import_module(name)
    if offered := getattr(module, "__all__", None):
        return set(offered)
    return {
        each
        for each, value in vars(module).items()
        if not each.startswith("_")
        and getattr(value, "__module__", name) == name
        and not isinstance(value, types.ModuleType)
        and each not in {"annotations", "TYPE_CHECKING"}
    }


@pytest.mark.parametrize("module", _PUBLIC)
def test_the_public_names_are_these(module: str) -> None:
    assert sorted(_defined(module)) == sorted(_PUBLIC[module].split())


def _documented() -> Iterator[Any]:
    for module, names in _PUBLIC.items():
        for name in names.split():
            thing = getattr(importlib.import_module(module), name)
            yield pytest.param(thing, id=f"{module}.{name}")
            for method in _METHODS.get(name, ()):
                yield pytest.param(getattr(thing, method), id=f"{module}.{name}.{method}")


@pytest.mark.parametrize("thing", list(_documented()))
def test_a_public_name_is_documented(thing: Any) -> None:
    text = inspect.getdoc(thing) or ""
    assert text, "it has no docstring"
    function = getattr(thing, "_get_wrapped_function", lambda: thing)()  # of a pytest fixture
    if not inspect.isfunction(function):
        return
    signature = inspect.signature(function)
    arguments = text.partition("\nArgs:")[2].partition("\nReturns:")[0]
    parameters = [name for name in signature.parameters if name not in {"self", "cls"}]
    missing = [
        name for name in parameters if not re.search(rf"^\s+\**{name}: ", arguments, re.MULTILINE)
    ]
    assert missing == [] or function.__module__ == "dolambda.testing", "not described under Args:"
    if signature.return_annotation not in {"None", None}:
        assert re.search(r"^(Returns|Yields):$", text, re.MULTILINE), (
            "it does not say what it returns"
        )


_RAISE_NOTHING = "unregister get_backend times pause has_next report bill close shutdown nest"
"""Functions without errors of their own. `times` and `nest` take the arguments of `foreach`."""


@pytest.mark.parametrize("thing", list(_documented()))
def test_a_public_function_says_what_it_raises(thing: Any) -> None:
    if not inspect.isfunction(thing) or thing.__module__ == "dolambda.testing":
        return
    documented = "\nRaises:\n" in (inspect.getdoc(thing) or "")
    assert documented is not (thing.__name__ in _RAISE_NOTHING.split())


def _with_examples() -> Iterator[Any]:
    """Functions and classes that users call. Errors and fixtures are not called."""
    for module in ("dolambda", "dolambda.iterators"):
        for name in _PUBLIC[module].split():
            thing = getattr(importlib.import_module(module), name)
            if inspect.isfunction(thing) or inspect.isclass(thing):
                yield pytest.param(thing, id=f"{module}.{name}")
    for name in ("submit", "map", "starmap", "for_each"):
        method = getattr(dolambda.LambdaExecutor, name)
        yield pytest.param(method, id=f"dolambda.LambdaExecutor.{name}")


@pytest.mark.parametrize("thing", list(_with_examples()))
def test_a_public_name_has_an_example_that_runs(
    thing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"Path": Path, "np": np, "Parallel": Parallel, "delayed": delayed, "dolambda": dolambda}
    for module in ("dolambda", "dolambda.iterators"):
        offered = importlib.import_module(module)
        names |= {name: getattr(offered, name) for name in _PUBLIC[module].split()}
    example = doctest.DocTestParser().get_doctest(
        inspect.getdoc(thing) or "", names, thing.__name__, None, None
    )
    assert example.examples, "it has no example"
    assert not any(doctest.SKIP in one.options for one in example.examples)
    dolambda.register(transport="in_process")
    try:
        result = doctest.DocTestRunner().run(example)
    finally:
        dolambda.unregister()
    assert result.failed == 0


NAMES_OF_USERS = "cmd code colorsys fractions graphlib profile statistics turtle"
"""Modules of the standard library whose names users give to their own."""


def test_users_modules_may_have_names_of_the_standard_library(tmp_path: Path) -> None:
    for name in NAMES_OF_USERS.split():
        (tmp_path / f"{name}.py").write_text("raise ImportError('a module of the user')\n")
    program = (
        "import dolambda, dolambda.executor, dolambda.joblib, dolambda.loops, dolambda.local.stack"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
