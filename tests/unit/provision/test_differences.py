"""What differs between the function that is deployed and the one that is wanted."""

from __future__ import annotations

from typing import Any

import pytest

from dolambda.provision.differences import differences
from dolambda.stack import packed

SECRET = "5ec4e7" * 10


def function(**variables: str | None) -> dict[str, Any]:
    known = {"DOLAMBDA_WORKERS": "2", "DOLAMBDA_KEY": SECRET, **variables}
    there = {name: value for name, value in known.items() if value is not None}
    return {
        "MemorySize": 512,
        "Timeout": 300,
        "EphemeralStorage": {"Size": 512},
        "Layers": ["arn:1"],
        "Environment": {"Variables": there},
    }


def test_the_same_does_not_differ() -> None:
    assert differences(function(), function()) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"MemorySize": 1769}, "memory 512 -> 1769 MB"),
        ({"Timeout": 60}, "timeout 300 -> 60 s"),
        ({"EphemeralStorage": {"Size": 1024}}, "storage 512 -> 1024 MB"),
        ({"Layers": ["arn:a:b:layer:theirs:7"]}, "layers +theirs:7, -arn:1"),
    ],
)
def test_settings_are_named_with_both_values(change: dict[str, Any], says: str) -> None:
    assert differences(function(), function() | change) == [says]


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ({}, {"DOLAMBDA_WORKERS": "100"}, "workers 2 -> 100"),
        ({"DOLAMBDA_KEY": "0" * 64}, {}, "a signing key"),
        ({"DOLAMBDA_KEY_BEFORE": SECRET}, {}, "a signing key"),
        ({"TOKEN": SECRET}, {}, "variable TOKEN removed"),
        ({"DOLAMBDA_CODE": "a:b"}, {"DOLAMBDA_CODE": "a:c"}, "other worker code"),
        (
            {"DOLAMBDA_REQUIRES": packed(("a==1", "b==1"))},
            {"DOLAMBDA_REQUIRES": packed(("a==2", "b==1"))},
            "packages +a==2, -a==1",
        ),
    ],
)
def test_variables_are_named_and_secrets_are_not_shown(
    before: dict[str, str], after: dict[str, str], says: str
) -> None:
    (said,) = differences(function(**before), function(**after))
    assert said == says
    assert SECRET not in said


def test_many_packages_are_counted() -> None:
    names = tuple(f"p{number:02}==1" for number in range(12))
    (said,) = differences(function(), function(DOLAMBDA_REQUIRES=packed(names)))
    assert said.endswith("+p07==1, and 4 more")
