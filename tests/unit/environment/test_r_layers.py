"""R in layers: which files, which libraries, and what is said where it cannot be."""

from __future__ import annotations

import gc
import sys
import weakref
import zipfile
from pathlib import Path

import pytest

from dolambda.environment.elf import needed_by
from dolambda.environment.layer import MB, Archive, Contents
from dolambda.environment.r_layers import LAYERS, RLayers, debian_name, r_for, read_r, with_r
from dolambda.errors import ConfigurationError
from dolambda.settings import Settings

SIZES = {"subsystem": 3, "r": 2, "r_lib": 1}


def layers(**sizes: int) -> RLayers:
    """Layers of that many MiB."""
    files = {name: {f"{name}/file": bytes(sizes.get(name, SIZES[name]) * MB)} for name in LAYERS}
    return RLayers("arm64", "4.2.2", ("foreach", "data.table"), files)


def python(size: int) -> Contents:
    entries = {"python/module.py": b""}
    return Contents(("a==1",), (), (Archive(("a",), entries, size * MB, compress=False),))


def names(archive: Archive) -> list[str]:
    return sorted(archive.entries)


def test_layers_come_after_pythons_and_lie_in_one_directory() -> None:
    contents = with_r(python(10), layers(), 5, compress=False)
    assert [names(layer) for layer in contents.layers[1:]] == [
        ["dolambda-r/subsystem/file"],
        ["dolambda-r/r/file"],
        ["dolambda-r/r_lib/file"],
    ]
    assert contents.bundle is None
    assert contents.requires == ("a==1",)


def test_packages_that_layers_have_no_room_for_go_into_the_bundle() -> None:
    contents = with_r(python(100), layers(subsystem=100, r_lib=80), 5, compress=False)
    assert len(contents.layers) == 3
    assert contents.bundle is not None
    assert names(contents.bundle) == ["dolambda-r/r_lib/file"]
    assert contents.storage > 160


def test_a_bundle_holds_pythons_packages_and_rs() -> None:
    large = Archive(("big",), {"big/module.py": b""}, 90 * MB, compress=False)
    contents = Contents((), (), python(100).layers, large)
    both = with_r(contents, layers(subsystem=100, r_lib=80), 5, compress=False).bundle
    assert both is not None
    assert names(both) == ["big/module.py", "dolambda-r/r_lib/file"]
    assert both.size == 170 * MB


def test_where_r_itself_has_no_room_it_says_what_takes_it() -> None:
    with pytest.raises(
        ConfigurationError, match=r"R \(102 MiB\) has no room beside 1 layers of 200"
    ):
        with_r(python(200), layers(subsystem=100), 5, compress=False)


def test_a_file_of_layers_gives_back_what_was_written(tmp_path: Path) -> None:
    file = tmp_path / "r.zip"
    written = layers()
    written.write(file)
    read = read_r(file, "arm64")
    assert (read.version, read.packages) == (written.version, written.packages)
    assert {name: dict(read.files[name]) for name in LAYERS} == dict(written.files)
    assert [read.archive(name).digest for name in LAYERS] == [
        written.archive(name).digest for name in LAYERS
    ]


def test_a_file_of_another_architecture_is_refused(tmp_path: Path) -> None:
    layers().write(tmp_path / "r.zip")
    with pytest.raises(ConfigurationError, match="layers for arm64, but the stack is x86_64"):
        read_r(tmp_path / "r.zip", "x86_64")


def test_a_file_that_was_changed_is_refused(tmp_path: Path) -> None:
    layers().write(tmp_path / "r.zip")
    with zipfile.ZipFile(tmp_path / "r.zip") as original:
        content = {name: original.read(name) for name in original.namelist()}
    with zipfile.ZipFile(tmp_path / "changed.zip", "w") as changed:
        for name, data in content.items():
            changed.writestr(name, b"PK" + data if name == "r.zip" else data)
    with pytest.raises(ConfigurationError, match=r"r\.zip in .* does not match its checksum"):
        read_r(tmp_path / "changed.zip", "arm64")


@pytest.mark.parametrize("content", [b"", b"no zip", None], ids=["empty", "text", "missing"])
def test_a_file_that_holds_no_layers_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "r.zip"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"r\.zip' does not contain layers of R"):
        read_r(file, "arm64")


def test_a_package_that_the_file_lacks_is_named(tmp_path: Path) -> None:
    layers().write(tmp_path / "r.zip")
    settings = Settings(r_layers=str(tmp_path / "r.zip"), r_packages=("data.table", "ranger"))
    with pytest.raises(ConfigurationError, match="lacks packages: ranger\n"):
        r_for(settings, "arm64")


def test_no_r_is_made_unless_it_is_asked_for() -> None:
    assert r_for(Settings(), "arm64") is None


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("data.table", "r-cran-data.table"),
        ("MASS", "r-cran-mass"),
        ("r-bioc-limma", "r-bioc-limma"),
    ],
)
def test_packages_have_debians_names(package: str, name: str) -> None:
    assert debian_name(package) == name


@pytest.mark.skipif(sys.platform != "linux", reason="it reads this system's own programs")
def test_the_libraries_that_a_program_needs_are_read_from_it(tmp_path: Path) -> None:
    assert any(name.startswith("libc.") for name in needed_by(Path("/bin/ls")))
    (tmp_path / "script").write_text("#!/bin/sh\n")
    assert needed_by(tmp_path / "script") == []


@pytest.mark.parametrize("room", [True, False])
def test_pythons_files_stay_as_long_as_the_contents_with_r(*, room: bool) -> None:
    given = python(10 if room else 100)
    ended = weakref.finalize(given, lambda: None)  # as `layer.build` removes its directory
    made = with_r(given, layers() if room else layers(subsystem=100, r_lib=80), 5, compress=False)
    del given
    gc.collect()
    assert ended.alive
    del made
    gc.collect()
    assert not ended.alive
