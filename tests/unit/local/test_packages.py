"""Packages laid out for workers: as their zips would unpack, found again, and never outdated."""

from __future__ import annotations

import importlib.util
import os
import py_compile
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from dolambda.environment.archive import digest_of_files
from dolambda.environment.layer import Archive, Contents
from dolambda.local.cache import DIGESTS
from dolambda.local.emulator import entries
from dolambda.local.packages import NAMING, laid_out


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    (tmp_path / "cache" / DIGESTS).mkdir(parents=True, mode=0o700)
    return tmp_path / "cache"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A package, installed a while ago."""
    package = tmp_path / "site" / "one"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("ANSWER = 41 + 1\n", encoding="utf-8")
    (package / "data.bin").write_bytes(bytes(3 << 20))
    (package / "program").write_text("#!/bin/sh\n", encoding="utf-8")
    (package / "program").chmod(0o755)
    return package.parent


def archive(site: Path, below: str = "python/") -> Archive:
    files = {
        f"{below}{path.relative_to(site).as_posix()}": path
        for path in site.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return Archive(["one"], files, sum(map(os.path.getsize, files.values())), compress=False)


def place_of(contents: Contents, cache: Path) -> Path:
    found = entries.find(cache, entries.packages_name(one.digest for one in contents.layers))
    assert found is not None
    os.close(found[1])
    return found[0]


def test_layers_lie_together_as_their_zips_would_unpack(installed: Path, cache: Path) -> None:
    first = archive(installed)
    files: dict[str, bytes | Path] = {
        "python/one/two.py": b"TWO = 2\n",
        "python/one/program": b"\x7fELF",  # both have it: the later layer's is in force
    }
    second = Archive(["two"], files, 8, compress=False)
    contents = laid_out(Contents((), (), (first, second)), cache)
    place = place_of(contents, cache)
    found = {
        path.relative_to(place).as_posix(): path for path in place.rglob("*") if path.is_file()
    }
    wanted = {**first.entries, **second.entries}
    assert found.keys() == wanted.keys()
    assert digest_of_files(found) == digest_of_files(wanted)
    assert os.access(found["python/one/program"], os.X_OK)
    assert not found["python/one/data.bin"].stat().st_mode & 0o333


def test_digests_are_those_of_the_content_and_zips_only_name_them(
    installed: Path, cache: Path
) -> None:
    layer, bundle = archive(installed), archive(installed, "")
    contents = laid_out(Contents(("one==1",), (), (layer,), bundle), cache)
    assert contents.bundle is not None
    assert (contents.layers[0].digest, contents.bundle.digest) == (layer.digest, bundle.digest)
    assert contents.storage == Contents((), (), (layer,), bundle).storage
    for named in (contents.layers[0], contents.bundle):
        with zipfile.ZipFile(BytesIO(named.content)) as opened:
            assert opened.namelist() == [NAMING]
            assert opened.read(NAMING).decode() == named.digest


def test_a_changed_file_changes_the_digest_whatever_its_time_and_size(
    installed: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dolambda.local.packages._SETTLED_NS", -1)  # as if all had been there long
    module = installed / "one" / "__init__.py"
    before = module.stat()
    first = laid_out(Contents((), (), (archive(installed),)), cache)
    assert list((cache / DIGESTS).iterdir()) != []
    module.write_text("ANSWER = 41 + 2\n", encoding="utf-8")
    os.utime(module, ns=(before.st_atime_ns, before.st_mtime_ns))
    second = laid_out(Contents((), (), (archive(installed),)), cache)
    assert first.layers[0].digest != second.layers[0].digest
    assert second.layers[0].digest == archive(installed).digest
    source = place_of(second, cache) / "python" / "one" / "__init__.py"
    assert source.read_text(encoding="utf-8") == "ANSWER = 41 + 2\n"


def test_digests_of_files_that_were_written_just_now_are_not_kept(
    installed: Path, cache: Path
) -> None:
    laid_out(Contents((), (), (archive(installed),)), cache)
    assert list((cache / DIGESTS).iterdir()) == []


def test_a_known_digest_is_found_without_reading(
    installed: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dolambda.local.packages._SETTLED_NS", -1)
    laid_out(Contents((), (), (archive(installed),)), cache)
    (memo,) = (cache / DIGESTS).iterdir()
    memo.write_text("0" * 64, encoding="ascii")
    assert laid_out(Contents((), (), (archive(installed),)), cache).layers[0].digest == "0" * 64


def loaded(place: Path) -> tuple[int, str]:
    """What a worker gets that imports the package, and the bytecode's file."""
    script = "import one; print(one.ANSWER, one.__cached__)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(place / "python")},
        capture_output=True,
        text=True,
        check=True,
    )
    answer, cached = done.stdout.split()
    return int(answer), cached


def test_bytecode_that_is_valid_comes_along(installed: Path, cache: Path) -> None:
    module = installed / "one" / "__init__.py"
    py_compile.compile(str(module))
    place = place_of(laid_out(Contents((), (), (archive(installed),)), cache), cache)
    answer, cached = loaded(place)
    assert answer == 42
    header = Path(cached).read_bytes()[:16]
    assert header == importlib.util.MAGIC_NUMBER + b"\1\0\0\0" + bytes(8)


def test_bytecode_of_another_source_stays(installed: Path, cache: Path) -> None:
    module = installed / "one" / "__init__.py"
    py_compile.compile(str(module))
    module.write_text("ANSWER = 40 + 40\n", encoding="utf-8")
    place = place_of(laid_out(Contents((), (), (archive(installed),)), cache), cache)
    assert loaded(place)[0] == 80
