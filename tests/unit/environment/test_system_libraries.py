"""What packages expect of the system is compared with what Lambda's image has."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from dolambda.environment.elf import needed_by
from dolambda.environment.layer import Package
from dolambda.environment.system_libraries import missing_libraries
from support.elf_files import write_library

if TYPE_CHECKING:
    from pathlib import Path

LAMBDA = "python3.12"


def package(tmp_path: Path, name: str, **libraries: tuple[str, ...]) -> Package:
    """Return a package of libraries, each with what it needs; "__" in a name stands for ".so."."""
    files = {}
    for library, needed in libraries.items():
        place = f"{name}/{library.replace('__', '.so.')}"
        files[place] = write_library(tmp_path / place, *needed)
    return Package.from_files(name, files)


def told(*packages: Package, runtime: str = LAMBDA) -> list[str]:
    return [str(one) for one in missing_libraries(packages, runtime)]


def test_a_library_that_lambda_lacks_is_named_with_its_package(tmp_path: Path) -> None:
    boosts = package(tmp_path, "boosts", lib__1=("libc.so.6", "libgomp.so.1", "libstdc++.so.6"))
    fine = package(tmp_path, "fine", lib__1=("libc.so.6", "libz.so.1", "libssl.so.3"))
    assert told(fine, boosts) == ["boosts needs libgomp.so.1 (boosts/lib.so.1)"]


def test_what_any_of_the_packages_brings_is_there(tmp_path: Path) -> None:
    uses = package(tmp_path, "uses", lib__1=("libgomp.so.1", "liblarge.so.7"))
    brings = package(tmp_path, "brings", libgomp__1=(), liblarge__7=())
    assert told(uses, brings) == []
    assert told(uses) == ["uses needs libgomp.so.1, liblarge.so.7 (uses/lib.so.1)"]


def test_each_runtime_has_its_own_python_and_its_own_system(tmp_path: Path) -> None:
    one = package(tmp_path, "one", lib__1=("libpython3.12.so.1.0", "libssl.so.3"))
    assert told(one) == []
    assert told(one, runtime="python3.11") == [
        "one needs libpython3.12.so.1.0, libssl.so.3 (one/lib.so.1)"
    ]
    other = package(tmp_path, "other", lib__1=("libssl.so.3",))
    assert told(other, runtime="provided.al2023") == []


def test_files_for_other_systems_and_files_that_no_loader_reads_are_passed_over(
    tmp_path: Path,
) -> None:
    alpine = package(tmp_path, "alpine", lib__1=("libc.musl-x86_64.so.1", "libgomp.so.1"))
    numba = write_library(tmp_path / "omppool.so", "libgomp.so.1")
    optional = Package.from_files("numba", {"numba/np/ufunc/omppool.cpython-312.so": numba})
    whole = write_library(tmp_path / "whole.so", "libgomp.so.1").read_bytes()
    for size in (0, 3, 7, 70, 150, len(whole) - 30):
        cut = tmp_path / f"cut{size}.so"
        cut.write_bytes(whole[:size])
        assert told(alpine, optional, Package.from_files("cut", {"cut.so": cut})) == []


@pytest.mark.skipif(not shutil.which("ldd"), reason="compared with this system's loader")
def test_the_files_own_list_is_the_loaders(tmp_path: Path) -> None:
    written = write_library(tmp_path / "lib.so", "libm.so.6", "libnone.so.3")
    assert needed_by(written) == ["libm.so.6", "libnone.so.3"]
    said = subprocess.run(
        ["ldd", written],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert "libnone.so.3 => not found" in said
