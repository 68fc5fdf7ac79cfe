"""The keywords of ``register`` and the settings are the same."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import fields
from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from dolambda import register
from dolambda.arguments import Source
from dolambda.settings import RULES, OtherSettings, Settings

_NOT_SETTINGS = {"where", "key", "secret", "token", "session", "env", "settings"}
TYPES = get_type_hints(OtherSettings, None, {"Iterable": Iterable})


def test_each_setting_is_a_keyword_once() -> None:
    named = set(inspect.signature(register).parameters) - _NOT_SETTINGS
    others = set(OtherSettings.__annotations__)
    assert not named & others
    assert named | others == {field.name for field in fields(Settings)}


@pytest.mark.parametrize("name", TYPES)
def test_what_a_type_names_is_what_the_setting_takes(name: str) -> None:
    kinds = get_args(TYPES[name])
    assert type(None) in kinds
    for literal in (kind for kind in kinds if get_origin(kind) is Literal):
        for value in get_args(literal):
            RULES[name].check(value, Source.argument(name))
    default = getattr(Settings(), name)
    if isinstance(default, tuple):
        assert [get_origin(kind) for kind in kinds] == [Iterable, None]
    elif isinstance(default, int | float):
        assert type(default) in kinds
