"""Temporary functions: what is left over is told from other functions by name and tag."""

from __future__ import annotations

from typing import Any

import pytest

from dolambda.provision.names import Names, is_tune_function, tune_function
from dolambda.provision.tuning import leftovers

NAMES = Names.of("mine", "eu-west-1", "123456789012", None)


class FakeLambda:
    """Functions by name, with the stack that their tag names."""

    def __init__(self, functions: dict[str, str]) -> None:
        self._functions = functions

    def get_paginator(self, operation: str) -> FakeLambda:
        assert operation == "list_functions"
        return self

    def paginate(self) -> list[dict[str, Any]]:
        return [
            {"Functions": [{"FunctionName": name, "FunctionArn": f"arn:{name}"}]}
            for name in self._functions
        ]

    def list_tags(self, Resource: str) -> dict[str, Any]:  # noqa: N803 - boto3's
        return {"Tags": {"dolambda:stack": self._functions[Resource.removeprefix("arn:")]}}


def test_leftovers_are_the_stacks_own() -> None:
    functions = {
        "mine": "mine",
        "mine-tune-512": "mine",
        "mine-tune-1024": "mine-tune-1024",  # a stack of that name
        "mine-tune-x": "mine",
        "yours-tune-512": "yours",
        "mine-tune-10240": "mine",
    }
    assert leftovers(FakeLambda(functions), NAMES) == ["mine-tune-512", "mine-tune-10240"]


@pytest.mark.parametrize("memory", [128, 10_240])
def test_the_policy_covers_their_names(memory: int) -> None:
    name = tune_function("a" * 31, memory)
    assert len(name) <= 64  # Lambda's limit
    assert is_tune_function("a" * 31, name)
    assert NAMES.tune_arns == "arn:aws:lambda:eu-west-1:123456789012:function:mine-tune-*"
