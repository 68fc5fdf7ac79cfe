"""The options of a loop, as R sends them."""

from __future__ import annotations

import pytest

from dolambda.errors import ConfigurationError
from dolambda.options import RunOptions
from dolambda.r.loop import LoopOptions


def test_options_have_their_types() -> None:
    options = LoopOptions.from_fields(
        {"session": "s", "home": "/r", "task_timeout": "1.5", "retries": "2", "progress": "TRUE"}
    )
    assert options == LoopOptions("s", "/r", RunOptions(task_timeout=1.5, retries=2), progress=True)


@pytest.mark.parametrize("name", ["taks_timeout", "memory"])
def test_an_unknown_option_is_named(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}\n.*task_timeout"):
        LoopOptions.from_fields({name: "1"})


def test_a_value_of_another_type_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"retries must be a whole number, got '1\.5'"):
        LoopOptions.from_fields({"retries": "1.5"})


def test_options_of_all_loops_are_checked_at_registration() -> None:
    fields = {"region": "eu-west-1", "loop.retries": "2", "loop.progress": "FALSE"}
    assert LoopOptions.from_registration(fields).run == RunOptions(retries=2)
    assert fields == {"region": "eu-west-1"}
    with pytest.raises(ConfigurationError, match="budget"):
        LoopOptions.from_registration({"loop.budget": "-1"})
