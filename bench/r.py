"""R: sizes of its layers, and loops on the emulated AWS beside doParallel's, in one R session."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from dolambda.environment.layer import MB
from dolambda.environment.r_layers import LAYERS, build_r
from results import main

PACKAGE = Path(__file__).parents[1] / "r" / "doLambda"
LOOPS = Path(__file__).with_name("r_loops.R")
PACKAGES = ("data.table", "MASS")


def sizes() -> list[str]:
    """Sizes of the layers, as a table."""
    lines = [
        f"Sizes in MiB, with {', '.join(PACKAGES)}.",
        "",
        f"| architecture | R | {' | '.join(LAYERS)} | together | zipped |",
        "|---|---|---|---|---|---|---|",
    ]
    for architecture in ("x86_64", "arm64"):
        layers = build_r(PACKAGES, architecture)
        each = [layers.size(name) / MB for name in LAYERS]
        zipped = sum(len(layers.archive(name).content) for name in LAYERS) / MB
        figures = " | ".join(f"{size:.0f}" for size in (*each, sum(each), zipped))
        lines.append(f"| {architecture} | {layers.version} | {figures} |")
    return lines


def loops() -> list[str]:
    """Times of loops, as a table."""
    with tempfile.TemporaryDirectory() as library:
        install = ["R", "CMD", "INSTALL", "--no-docs", "-l", library, str(PACKAGE)]
        subprocess.run(install, check=True, capture_output=True, timeout=120)
        done = subprocess.run(
            ["Rscript", "--vanilla", str(LOOPS)],  # noqa: S607 - the one on the path is meant
            env={**os.environ, "R_LIBS": library, "DOLAMBDA_PYTHON": sys.executable},
            capture_output=True,
            text=True,
            timeout=900,
            check=True,
        )
    head = "| loop | backend | best, s | median, s | doLambda takes |"
    return [head, "|---|---|---|---|---|", *done.stdout.splitlines()]


def measure() -> list[str]:
    """Both tables."""
    if shutil.which("Rscript") is None:
        sys.exit("Rscript is not on the path: install r-base-core and the others of .ci/apt.txt")
    return [*sizes(), "", *loops()]


if __name__ == "__main__":
    main("R", measure)
