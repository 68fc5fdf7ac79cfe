"""R's layers, made here of Debian's packages: they start where there is nothing else."""

from __future__ import annotations

import io
import os
import subprocess
import zipfile
from typing import TYPE_CHECKING

import pytest

from dolambda.environment.r_layers import FOLDER, LAYERS, build_r
from dolambda.errors import ConfigurationError
from dolambda.provision.deploy import this_architecture
from dolambda.r.find_r import find_r

if TYPE_CHECKING:
    from pathlib import Path

    from dolambda.environment.r_layers import RLayers
    from support.r_session import RSession

pytestmark = [pytest.mark.needs("apt-get", "dpkg-deb"), pytest.mark.timeout(400)]

SCRIPT = """
library(foreach); library(data.table)
stopifnot(data.table(a = 1:3)[, sum(a)] == 6, dim(solve(matrix(rnorm(1e4), 100))) == 100)
stopifnot(nchar("\\u00e4") == 1, toupper("\\u00e4") == "\\u00c4", gsub("\\\\p{L}", "x", "a\\u00e4", perl = TRUE) == "xx")
stopifnot(format(as.POSIXct("2024-07-01 12:00", tz = "UTC"), tz = "Europe/Berlin", usetz = TRUE) == "2024-07-01 14:00:00 CEST")
fit <- lm(mpg ~ wt, mtcars); stopifnot(length(coef(fit)) == 2)
maps <- readLines("/proc/self/maps")
files <- unique(sub("^[^/]*", "", grep("[.]so", maps, value = TRUE)))
cat(files, sep = "\\n")
"""


@pytest.fixture(scope="module")
def built() -> RLayers:
    return build_r(["data.table"], this_architecture())


@pytest.fixture(scope="module")
def opt(built: RLayers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as /opt is on a worker."""
    place = tmp_path_factory.mktemp("opt")
    for name in LAYERS:
        with zipfile.ZipFile(io.BytesIO(built.archive(name, compress=False).content)) as archive:
            for entry in archive.infolist():
                path = archive.extract(entry, place)
                os.chmod(path, entry.external_attr >> 16)  # noqa: PTH101 - extract gives a string
    (place / "bin").mkdir()
    return place


def test_r_runs_with_no_library_but_those_of_the_layers(opt: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.R"
    packages = ("methods", "datasets", "utils", "grDevices", "graphics", "stats")
    attached = "".join(f"library({package})\n" for package in packages)
    script.write_text(attached + SCRIPT)
    command = find_r("/nowhere", {"PATH": f"{opt}/bin", "TMPDIR": str(tmp_path)})
    done = subprocess.run(
        [*command.arguments, f"--file={script}"],
        env={**command.environment, "PATH": f"{opt}/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr.lower(), done.stderr
    loaded = done.stdout.splitlines()
    assert len(loaded) > 20
    assert [file for file in loaded if not file.startswith(f"{opt}/{FOLDER}/")] == []


def test_it_has_room_beside_what_lambda_allows(built: RLayers) -> None:
    assert sum(built.size(name) for name in LAYERS) < 200 << 20
    assert built.size("r") > 10 << 20


def test_a_package_that_debian_does_not_have_is_named() -> None:
    with pytest.raises(ConfigurationError, match="r-cran-nosuchpackage"):
        build_r(["nosuchpackage"], this_architecture())


@pytest.mark.needs("Rscript")
def test_the_emulated_workers_run_the_r_of_a_file_of_layers(
    built: RLayers, r_session: RSession, tmp_path: Path
) -> None:
    built.write(tmp_path / "r.zip")
    code = """
    suppressPackageStartupMessages({ library(foreach); library(doLambda) })
    registerDoLambda("local", r_layers = Sys.getenv("LAYERS"), progress = FALSE)
    x <- foreach(i = 1:3, .packages = "data.table") %dopar%
      list(R.home(), data.table(a = 1:i)[, sum(a)], nzchar(Sys.which("sh")), Sys.getlocale("LC_CTYPE"))
    cat(basename(dirname(x[[1]][[1]])), sapply(x, `[[`, 2), x[[1]][[3]], x[[1]][[4]], "\\n")
    cat(unlist(foreach(i = 1:2) %dopar% system("echo it runs", intern = TRUE)), "\\n")
    """
    printed = r_session.run(code, LAYERS=str(tmp_path / "r.zip"))
    assert printed.splitlines() == ["dolambda-r 1 3 6 TRUE C.UTF-8 ", "it runs it runs "]
