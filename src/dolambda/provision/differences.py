"""The differences between a deployed function and the wanted one, in words for `dolambda plan`.

**Input:** both configurations, in the form of Lambda's API. **Output:** one phrase for each
difference, such as "workers 2 -> 100". Values of variables that may be secret are never included.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dolambda.stack import unpacked
from dolambda.wire import signing_keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_MAX_NAMED = 8  # packages or layers in one phrase

_SETTINGS = {
    "MemorySize": ("memory", " MB"),
    "Timeout": ("timeout", " s"),
    "Runtime": ("runtime", ""),
    "Handler": ("handler", ""),
    "Role": ("role", ""),
}
_VARIABLES = {
    "DOLAMBDA_WORKERS": "workers",
    "DOLAMBDA_BUCKET": "bucket",
    "DOLAMBDA_PYTHON_VERSION": "Python",
    "DOLAMBDA_PYTHON": "interpreter",
}
_CONTENTS = {"DOLAMBDA_CODE": "worker code", "DOLAMBDA_BUNDLE": "packages in the bundle"}


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return phrases for the differences, or none."""
    phrases: list[str] = []
    for name in sorted(wanted):
        if found[name] == wanted[name]:
            continue
        if name == "Environment":
            phrases += _of_variables(found[name]["Variables"], wanted[name]["Variables"])
        elif name == "EphemeralStorage":
            phrases.append(f"storage {found[name]['Size']} -> {wanted[name]['Size']} MB")
        elif name in _SETTINGS:
            title, unit = _SETTINGS[name]
            phrases.append(f"{title} {found[name]} -> {wanted[name]}{unit}")
        elif name == "Layers":
            phrases.append(_of_lists("layers", map(_layer, found[name]), map(_layer, wanted[name])))
        else:
            phrases.append(f"other {name.lower()}")
    return phrases


def _of_variables(found: Mapping[str, str], wanted: Mapping[str, str]) -> Iterator[str]:
    for name in sorted({*found, *wanted}):
        before, after = found.get(name), wanted.get(name)
        if before == after:
            continue
        if name == "DOLAMBDA_REQUIRES":
            yield _of_lists("packages", unpacked(before or ""), unpacked(after or ""))
        elif name in _VARIABLES:
            yield f"{_VARIABLES[name]} {before or 'none'} -> {after or 'none'}"
        elif name in _CONTENTS:
            yield f"other {_CONTENTS[name]}"
        elif name in (signing_keys.KEY, signing_keys.BEFORE, signing_keys.NEXT):
            yield "a signing key"
        else:
            done = "added" if before is None else "removed" if after is None else "changed"
            yield f"variable {name} {done}"


def _layer(arn: str) -> str:
    """Return a layer's name and version, which are the end of its ARN."""
    return ":".join(arn.split(":")[-2:])


def _of_lists(title: str, found: Iterable[str], wanted: Iterable[str]) -> str:
    before, after = set(found), set(wanted)
    changes = [f"+{name}" for name in sorted(after - before)]
    changes += [f"-{name}" for name in sorted(before - after)]
    if len(changes) > _MAX_NAMED:
        changes[_MAX_NAMED:] = [f"and {len(changes) - _MAX_NAMED:,} more"]
    return f"{title} {', '.join(changes)}" if changes else f"order of the {title}"
