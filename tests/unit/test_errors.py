from __future__ import annotations

import pickle
import re

import pytest

from dolambda import errors


def all_errors() -> list[type[Exception]]:
    found = [errors.DolambdaError]
    for kind in found:
        found += kind.__subclasses__()
    return [kind for kind in found if kind.__module__ == "dolambda.errors"]


@pytest.mark.parametrize("kind", all_errors())
def test_every_error_stands_in_the_tree_and_can_travel(kind: type[errors.DolambdaError]) -> None:
    assert re.search(rf"\b{kind.__name__}\b", errors.__doc__ or "")
    error = kind("what is wrong", hint="what to do")
    assert str(error) == "what is wrong\n  what to do"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 - our own
