"""R packages that Debian does not have, compiled by the R of this machine.

**Input:** paths of source packages, and names of packages. **Output:** a library with the installed
packages.

Names are searched for in the repositories that R itself is configured with, and R verifies its
downloads as usual.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dolambda.environment.debian import this_architecture
from dolambda.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_PATIENCE_S = 3600
_OF_R = frozenset(
    [
        "R",
        "base",
        "class",
        "cluster",
        "codetools",
        "compiler",
        "datasets",
        "foreign",
        "graphics",
        "grDevices",
        "grid",
        "KernSmooth",
        "lattice",
        "MASS",
        "Matrix",
        "methods",
        "mgcv",
        "nlme",
        "nnet",
        "parallel",
        "rpart",
        "spatial",
        "splines",
        "stats",
        "stats4",
        "survival",
        "tcltk",
        "tools",
        "utils",
    ]
)
"""R and the packages that come with it."""

_INSTALL = """
wanted <- commandArgs(TRUE)
library <- wanted[[1L]]
wanted <- wanted[-1L]
options <- c("--no-docs", "--strip", "--built-timestamp=1970-01-01")
paths <- grepl("/", wanted, fixed = TRUE)
if (any(!paths)) {
  repos <- getOption("repos")
  if ("@CRAN@" %in% repos) stop("R has no repository: set options(repos = ...) in ~/.Rprofile")
  install.packages(wanted[!paths], lib = library, repos = repos, type = "source",
                   INSTALL_opts = options)
}
for (path in wanted[paths])
  install.packages(path, lib = library, repos = NULL, type = "source", INSTALL_opts = options)
"""


@dataclass(frozen=True)
class SourcePackage:
    """A package to compile. ``where`` is its path, or a name that R searches for."""

    name: str
    where: str
    needs: tuple[str, ...] = ()

    @classmethod
    def from_path(cls, path: Path) -> SourcePackage:
        """Read the description in a directory or a .tar.gz.

        Raises:
            ConfigurationError: It is not a source package of R.
        """
        try:
            text = _description_of(path)
            fields = dict(re.findall(r"^(\w+):((?:.*\n)(?:[ \t].*\n)*)", f"{text}\n", re.MULTILINE))
            name = fields["Package"].strip()
        except (OSError, EOFError, KeyError, tarfile.TarError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"r_packages={str(path)!r} is not a source package of R: {error}",
                hint="Use a directory that contains DESCRIPTION, or a file of `R CMD build`.",
            ) from error
        listed = ",".join(fields.get(name, "") for name in ("Depends", "Imports", "LinkingTo"))
        needs = [re.split(r"[\s(]", entry.strip())[0] for entry in listed.split(",")]
        return cls(name, str(path.resolve()), tuple(n for n in needs if n and n not in _OF_R))


def is_path(package: str) -> bool:
    """Return whether an entry of ``r_packages`` is a path."""
    return "/" in package or package.endswith(".tar.gz")


def compile_packages(
    packages: Sequence[SourcePackage], library: Path, debians: Path, version: str
) -> None:
    """Install packages into a library.

    Args:
        packages: The packages, each after those that it needs.
        library: The directory to install into.
        debians: The library of Debian's packages that they may need.
        version: The version of R that the workers have.

    Raises:
        ConfigurationError: R of that version is not installed, or a package cannot be compiled.
    """
    names = ", ".join(one.name for one in packages)
    program = shutil.which("Rscript")
    if program is None or _minor(_version_of(program)) != _minor(version):
        here = f"R {_version_of(program)}" if program else "no R"
        raise ConfigurationError(
            f"Debian has no package for {names}: it has to be compiled, and this machine has {here}"
            f" while the workers have R {version}",
            hint=f"Install R {_minor(version)} and a compiler (r-base-dev), or leave the package "
            "out.",
        )
    library.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".R") as script:
        script.write(_INSTALL)
        script.flush()
        said = _run([program, script.name, str(library), *(one.where for one in packages)], debians)
    missing = [one.name for one in packages if not (library / one.name / "DESCRIPTION").is_file()]
    if missing:
        raise ConfigurationError(
            f"{', '.join(missing)} could not be compiled:\n    " + "\n    ".join(said[-12:]),
            hint="Does install.packages() compile it in R itself? Is the name as CRAN writes it?",
        )


def refuse_other_architecture(packages: Sequence[SourcePackage], architecture: str) -> None:
    """Refuse to compile for another architecture.

    Raises:
        ConfigurationError: This machine has another architecture.
    """
    here = this_architecture()
    if packages and architecture != here:
        raise ConfigurationError(
            f"Debian has no package for {', '.join(one.name for one in packages)}, and what is "
            f"compiled on this machine ({here}) does not run on {architecture}",
            hint=f"Deploy with --architecture {here}, or run `dolambda r-layers FILE` on a machine "
            f"that is {architecture}.",
        )


def _description_of(path: Path) -> str:
    if path.is_dir():
        return (path / "DESCRIPTION").read_text(encoding="utf-8")
    with tarfile.open(path) as archive:
        for member in archive:
            file = archive.extractfile(member)
            if file and re.fullmatch(r"[^/]+/DESCRIPTION", member.name):
                return file.read().decode()
    raise KeyError("it contains no DESCRIPTION")


def _version_of(program: str) -> str:
    return _run([program, "-e", "cat(format(getRversion()))"])[-1]


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _run(command: Sequence[str], debians: Path | None = None) -> list[str]:
    """Run R with its own packages and Debian's unpacked ones only."""
    own = {} if debians is None else {"R_LIBS_SITE": str(debians), "R_LIBS_USER": "NULL"}
    done = subprocess.run(
        ["env", *(f"{name}={value}" for name, value in own.items()), *command],  # noqa: S607
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=_PATIENCE_S,
        check=False,
    )
    return done.stdout.strip().splitlines() or [""]
