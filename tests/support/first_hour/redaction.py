"""Texts without what identifies an account, a person or a machine.

What is known (the account's number, names of buckets, keys) is removed wherever it stands. What
only looks like a number, a key, a host or a path is removed too: rather too much than too little.
"""

from __future__ import annotations

import contextlib
import getpass
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_TOP = "com|net|org|io|dev|eu|de|fr|uk|cn|aws|edu|gov|internal|intern|local|localdomain|lan|corp"

_PATTERNS = [
    (re.compile(pattern, re.IGNORECASE), instead)
    for pattern, instead in (
        (r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", "<mail>"),
        (r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>)\]]+", "<URL>"),
        (r"\barn:[\w-]+:([\w-]*):[^\s'\"`,)\]}]*", r"<ARN of \1>"),
        (r"\b(?:AKIA|ASIA|AROA|AIDA|AGPA|ANPA|ABIA|ACCA)[A-Z0-9]{8,}\b", "<key>"),
        (r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<id>"),
        (r"\b[0-9a-f]{32,}\b", "<hex>"),
        (r"(?<![\w.~])[a-z]:\\[^\s'\"]+", "<path>"),
        (r"(?<!\w)~?(?:/[\w.@+=~-]+){2,}/?", "<path>"),
        (r"[A-Z0-9+/=_]{40,}", "<secret>"),
        (r"(?<!\d)(?:\d{12}|\d{4}-\d{4}-\d{4})(?!\d)", "<account>"),
        (r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])", "<host>"),
        (r"(?<![\w:])(?:[0-9a-f]{1,4}:){3,}[0-9a-f:]+", "<host>"),
        (rf"(?<![\w.-])(?:[a-z0-9-]+\.)+(?:{_TOP})(?![\w.])", "<host>"),
        (r"\bip-\d+(?:-\d+){3}\b", "<host>"),
    )
]
_LEAST = 3
"""Characters of a value that is removed wherever it stands: shorter ones are in every text."""


class Redactor:
    """Removes what is known, and what looks like it."""

    def __init__(self, known: Mapping[str, str] | None = None, host: str | None = None) -> None:
        """``known`` has values, each with the word that stands for it, such as "account"."""
        self._known: dict[str, str] = {}
        machine = _of_this_machine(host or socket.gethostname())
        for value, word in (machine | dict(known or {})).items():
            self.add(value, word)

    def add(self, value: str | None, word: str) -> None:
        """Remove one more value from now on."""
        if value and len(value) >= _LEAST:
            self._known[value] = word

    def __call__(self, text: str) -> str:
        """Return a text in which words in angle brackets stand for what was removed."""
        for value in sorted(self._known, key=len, reverse=True):
            ends = rf"(?<!\w){re.escape(value)}(?!\w)"
            text = re.sub(ends, f"<{self._known[value]}>", text, flags=re.IGNORECASE)
        for pattern, instead in _PATTERNS:
            text = pattern.sub(instead, text)
        return text


def _of_this_machine(host: str) -> dict[str, str]:
    """Return what the user and the machine are called."""
    found = {str(Path.home()): "path", str(Path.cwd()): "path"}
    with contextlib.suppress(KeyError, OSError):  # the user has no name
        found[getpass.getuser()] = "user"
    if host != "localhost":
        found |= dict.fromkeys((host, host.split(".", maxsplit=1)[0]), "host")
    return found
