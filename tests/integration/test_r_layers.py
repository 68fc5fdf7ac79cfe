"""R's layers, made here of Debian's packages: they start where there is nothing else."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from dolambda.environment.debian import this_architecture
from dolambda.environment.r_layers import FOLDER, LAYERS, build_r
from dolambda.environment.r_source import SourcePackage, compile_packages
from dolambda.errors import ConfigurationError
from dolambda.r.find_r import find_r

if TYPE_CHECKING:
    from pathlib import Path

    from dolambda.environment.r_layers import RLayers

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

NOBODY = 65534
# What e_machine says in an ELF file: https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html
MACHINES = {"x86_64": 62, "arm64": 183}
# Modules are imported while it may still read them; from then on it is another user.
MAKE_AS_NOBODY = """
import io, json, os, sys, zipfile
from dolambda.environment.r_layers import LAYERS, build_r
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
layers, machines = build_r(["data.table"], sys.argv[1]), set()
for name in LAYERS:
    with zipfile.ZipFile(io.BytesIO(layers.archive(name, compress=False).content)) as archive:
        heads = [archive.read(file)[:20] for file in archive.namelist()]
    machines |= {int.from_bytes(head[18:20], "little") for head in heads if head[:4] == b"\x7fELF"}
print(json.dumps({"machines": sorted(machines)}))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> RLayers:
    """Layers with a package of Debian's, and one to be compiled where that is possible."""
    packages = ["data.table"]
    with pytest.MonkeyPatch.context() as monkeypatch:
        if all(map(shutil.which, ("Rscript", "gcc", "make"))):
            place = tmp_path_factory.mktemp("sources")
            repository(place, monkeypatch)
            packages.append(str(adder(place)))
        return build_r(packages, this_architecture())


@pytest.fixture(scope="module")
def opt(built: RLayers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as /opt is on a worker."""
    return unpacked(built, tmp_path_factory.mktemp("opt"))


def unpacked(layers: RLayers, place: Path) -> Path:
    """Unpack layers as Lambda does."""
    for name in LAYERS:
        with zipfile.ZipFile(io.BytesIO(layers.archive(name, compress=False).content)) as archive:
            for entry in archive.infolist():
                path = archive.extract(entry, place)
                os.chmod(path, entry.external_attr >> 16)  # noqa: PTH101 - extract gives a string
    (place / "bin").mkdir()
    return place


def run_in_layers(opt: Path, code: str, scratch: Path) -> str:
    """Run code with the R of unpacked layers; return what it prints."""
    script = scratch / "script.R"
    packages = ("methods", "datasets", "utils", "grDevices", "graphics", "stats")
    script.write_text("".join(f"library({package})\n" for package in packages) + code)
    command = find_r("/nowhere", {"PATH": f"{opt}/bin", "TMPDIR": str(scratch)})
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
    return done.stdout


def test_r_runs_with_no_library_but_those_of_the_layers(opt: Path, tmp_path: Path) -> None:
    loaded = run_in_layers(opt, SCRIPT, tmp_path).splitlines()
    assert len(loaded) > 20
    assert [file for file in loaded if not file.startswith(f"{opt}/{FOLDER}/")] == []


def test_it_has_room_beside_what_lambda_allows(built: RLayers) -> None:
    assert sum(built.size(name) for name in LAYERS) < 200 << 20
    assert built.size("r") > 10 << 20


@pytest.mark.needs("Rscript")
def test_a_package_that_is_nowhere_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository(tmp_path, monkeypatch)
    version = subprocess.check_output(["Rscript", "-e", "cat(format(getRversion()))"], text=True)  # noqa: S607
    wanted = [SourcePackage("nosuchpackage", "nosuchpackage")]
    with pytest.raises(ConfigurationError, match="nosuchpackage could not be compiled"):
        compile_packages(wanted, tmp_path / "library", tmp_path, version)
    with pytest.raises(ConfigurationError, match=r"has R \d.* while the workers have R 1\.2\.3"):
        compile_packages(wanted, tmp_path / "library", tmp_path, "1.2.3")


@pytest.mark.needs("Rscript", "gcc", "make")
def test_what_debian_does_not_have_is_compiled_with_what_it_needs(
    built: RLayers, opt: Path, tmp_path: Path
) -> None:
    assert set(built.packages) >= {"foreach", "adder", "upper", "jsonlite"}
    assert run_in_layers(opt, "cat(adder::add(1, 2))", tmp_path) == "3 X [1,2]"


def test_what_cannot_be_compiled_says_why(tmp_path: Path) -> None:
    other = {"x86_64": "arm64", "arm64": "x86_64"}[this_architecture()]
    source(tmp_path / "mine", "", "", "")
    with pytest.raises(ConfigurationError, match=f"for mine, and .* does not run on {other}"):
        build_r([str(tmp_path / "mine")], other)


def test_another_user_makes_those_of_the_other_architecture() -> None:
    """Without root, and whatever the user's directory for temporary files is."""
    other = {"x86_64": "arm64", "arm64": "x86_64"}[this_architecture()]
    scratch = tempfile.mkdtemp()
    if os.geteuid() == 0:
        os.chown(scratch, NOBODY, NOBODY)
    try:
        done = subprocess.run(
            [sys.executable, "-c", MAKE_AS_NOBODY, other],
            env={"PATH": os.environ["PATH"], "TMPDIR": scratch, "HOME": scratch},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"machines": [MACHINES[other]]}
        assert os.listdir(scratch) == []  # noqa: PTH208 - only the names
    finally:
        shutil.rmtree(scratch)


def source(package: Path, fields: str, namespace: str, code: str) -> None:
    """Write a source package."""
    (package / "R").mkdir(parents=True)
    (package / "DESCRIPTION").write_text(
        f"Package: {package.name}\nVersion: 1.0\nTitle: T\nDescription: D.\nLicense: "
        f"GPL-2\n{fields}"
    )
    (package / "NAMESPACE").write_text(f"{namespace}\n")
    (package / "R" / "code.R").write_text(f"{code}\n")


def adder(place: Path) -> Path:
    """Write a package with compiled code that needs one of Debian's and one of the repository."""
    package = place / "adder"
    source(
        package,
        "Imports: jsonlite (>= 1.0),\n    upper, stats\n",
        "useDynLib(adder, add_them)\nexport(add)\nimportFrom(upper, up)",
        'add <- function(a, b) paste(.Call(add_them, a, b), up("x"), jsonlite::toJSON(1:2))',
    )
    (package / "src").mkdir()
    (package / "src" / "add.c").write_text(
        "#include <Rinternals.h>\nSEXP add_them(SEXP a, SEXP b)"
        " { return ScalarReal(asReal(a) + asReal(b)); }\n"
    )
    return package


def repository(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let R know a repository that has one package, "upper"."""
    contributed = place / "src" / "contrib"
    contributed.mkdir(parents=True)
    source(place / "upper", "", "export(up)", "up <- toupper")
    run_r("CMD", "build", str(place / "upper"), cwd=contributed)
    run_r("--no-echo", "-e", "tools::write_PACKAGES(type='source')", cwd=contributed)
    (place / "profile").write_text(f'options(repos = c(CRAN = "file://{place}"))\n')
    monkeypatch.setenv("R_PROFILE_USER", str(place / "profile"))


def run_r(*arguments: str, cwd: Path) -> None:
    # The R on the path is meant.
    subprocess.run(["R", *arguments], cwd=cwd, check=True, capture_output=True, timeout=60)  # noqa: S607
