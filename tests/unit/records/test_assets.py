"""The plotting library is the one that its README names."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files

LIBRARY = files("dolambda.records") / "assets" / "uplot"


def test_its_files_are_unchanged() -> None:
    named = dict(re.findall(r"\| (\S+) \| ([0-9a-f]{64}) \|", (LIBRARY / "README.md").read_text()))
    assert set(named) == {"uPlot.iife.min.js", "uPlot.min.css"}
    for name, digest in named.items():
        assert hashlib.sha256((LIBRARY / name).read_bytes()).hexdigest() == digest


def test_its_licence_travels_with_it() -> None:
    assert "Permission is hereby granted, free of charge" in (LIBRARY / "LICENSE").read_text()
