"""Errors in the terms of the command line.

**Input:** a message with Python arguments, such as ``memory=64``. **Output:** the message with
options, such as ``--memory 64``. Code in it, in backquotes or as a call, stays unchanged.
"""

from __future__ import annotations

import re

_OPTIONS = {
    name: "--" + name.replace("_", "-")
    for name in (
        *("stack", "region", "profile", "bucket", "endpoint_url", "requires", "requirements"),
        *("extra_requires", "exclude", "memory", "timeout", "storage", "architecture", "runtime"),
        *("workers", "concurrency", "log_days", "role", "permissions_boundary"),
        *("include_code", "exclude_code", "r_layers"),
    )
} | {"layers": "--layer", "r_packages": "--r-package"}
"""Arguments that are options of some command."""

_VARIABLES = {
    "key": "AWS_ACCESS_KEY_ID",
    "secret": "AWS_SECRET_ACCESS_KEY",
    "token": "AWS_SESSION_TOKEN",
}
"""Arguments that are no options: other users can see a command line."""

_LOCAL = re.compile(r"""(?:dolambda\.)?register\((?:'local'|"local")\)""")
_CODE = re.compile(r"(`[^`]*`|[\w.]+\([^()\n]*\))")
_ARGUMENT = re.compile(rf"(?<![\w.-])({'|'.join(_OPTIONS)})=(?=(.?))")
_ENDS = re.compile(r"[\s,.;:)]|\Z")


def in_options(message: str) -> str:
    """Return a message with options in place of Python arguments."""
    parts = _CODE.split(_LOCAL.sub("`dolambda local start`", message))
    return "".join(part if _CODE.fullmatch(part) else _rewritten(part) for part in parts)


def _rewritten(text: str) -> str:
    for name, variable in _VARIABLES.items():
        text = re.sub(rf"(?<![\w.-]){name}=(?![^\s,.;:)])", variable, text)
    return _ARGUMENT.sub(
        lambda found: _OPTIONS[found[1]] + ("" if _ENDS.match(found[2]) else " "), text
    )
