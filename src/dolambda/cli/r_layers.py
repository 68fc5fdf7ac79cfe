"""``dolambda r-layers``: R's layers in one file, for machines without apt."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dolambda.cli.files import refuse_unwritable, writing
from dolambda.cli.options import Architecture, RPackages
from dolambda.environment.debian import this_architecture
from dolambda.environment.layer import MB
from dolambda.environment.r_layers import LAYERS, build_r
from dolambda.settings import Settings

File = Annotated[Path, typer.Argument(help="The file to write, a zip.")]


def r_layers(file: File, architecture: Architecture = None, packages: RPackages = None) -> None:
    """Write R's layers to a file, which `dolambda deploy --r-layers` takes."""
    refuse_unwritable(file, "FILE")
    settings = Settings.resolve(
        architecture=architecture, r_packages=tuple(packages) if packages else None
    )
    layers = build_r(settings.r_packages, settings.architecture or this_architecture())
    for name in LAYERS:
        print(f"{name:<12}{layers.size(name) / MB:8.1f} MiB")
    with writing(file, "FILE"):
        layers.write(file)
    print(
        f"R {layers.version} for {layers.architecture} with {', '.join(layers.packages)}: {file},"
        f" {file.stat().st_size / MB:.1f} MiB"
    )
