from __future__ import annotations

import io
import zipfile
from importlib.metadata import Distribution
from typing import TYPE_CHECKING

import pytest

from dolambda.environment import layer
from dolambda.environment.layer import MB, Package, Platform, build, table
from dolambda.environment.requirements import differing, from_file, installed_here, pins
from dolambda.errors import ConfigurationError
from dolambda.settings import Settings
from dolambda.stack import packed, unpacked

if TYPE_CHECKING:
    from pathlib import Path


def package(tmp_path: Path, name: str, megabytes: float) -> Package:
    file = tmp_path / f"{name}.so"
    with file.open("wb") as content:
        content.truncate(int(megabytes * MB))
    return Package.from_files(name, {f"{name}/{name}.so": file})


def names(content: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(content)).namelist()


def test_a_large_package_has_a_layer_to_itself_and_small_ones_share(tmp_path: Path) -> None:
    packages = [
        package(tmp_path, name, size) for name, size in [("a", 20), ("b", 1), ("c", 30), ("d", 2)]
    ]
    contents = layer._arranged((), packages, compress=False)
    assert [archive.packages for archive in contents.layers] == [("a",), ("c",), ("b", "d")]
    assert contents.bundle is None
    assert names(contents.layers[0].content) == ["python/a/a.so"]


def test_never_more_than_five_layers(tmp_path: Path) -> None:
    contents = layer._arranged(
        (), [package(tmp_path, f"p{n}", 20) for n in range(9)], compress=False
    )
    assert len(contents.layers) == 5
    assert sorted(name for archive in contents.layers for name in archive.packages) == [
        f"p{n}" for n in range(9)
    ]


def test_what_layers_cannot_hold_is_bundled_largest_first(tmp_path: Path) -> None:
    packages = [
        package(tmp_path, name, size) for name, size in [("huge", 200), ("big", 100), ("small", 1)]
    ]
    contents = layer._arranged((), packages, compress=True)
    assert contents.bundle is not None
    assert contents.bundle.packages == ("huge",)
    assert names(contents.bundle.content) == ["huge/huge.so"]
    assert sum(archive.size for archive in contents.layers) == 101 * MB
    assert contents.storage == 2 * 200 + 64


def test_more_than_tmp_holds_is_refused_with_the_culprits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer, "_STORAGE_LIMIT", 100 * MB)
    with pytest.raises(
        ConfigurationError,
        match=r"(?s)more than layers and /tmp hold\n  Require less.*huge +300.0 MiB",
    ):
        layer._arranged((), [package(tmp_path, "huge", 300)], compress=True)


def test_tests_caches_and_stubs_are_stripped_and_shared_objects_are_not(tmp_path: Path) -> None:
    files = {}
    for place in (
        "n/core.so",
        "n/a.py",
        "n/tests/test_a.py",
        "n/a.pyi",
        "n/__pycache__/a.pyc",
        "numpy/testing/tests/x.py",
    ):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 10)
        files[place] = path
    found = Package.from_files("n", files)
    assert sorted(found.files) == ["n/a.py", "n/core.so", "numpy/testing/tests/x.py"]
    assert (found.unstripped, found.size) == (60, 30)


def test_wheels_for_another_architecture_are_downloaded_and_the_zip_is_reproducible() -> None:
    platform = Platform("3.13", "aarch64-manylinux_2_34")
    one, two = (build(["markupsafe==3.0.2"], platform) for _ in range(2))
    assert one.layers[0].digest == two.layers[0].digest
    assert any("aarch64" in name for name in names(one.layers[0].content))
    assert one.requires == ("markupsafe==3.0.2",)
    assert "markupsafe" in table(one)[0]


def test_a_source_only_package_is_named_with_the_mend() -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"(?s)has no wheel for Python 3.13 on x86_64-manylinux_2_34.*another architecture",
    ):
        build(["docopt==0.6.2"], Platform("3.13", "x86_64-manylinux_2_34"))


def test_what_is_installed_here_is_taken_without_tools_and_without_the_client() -> None:
    found = installed_here()
    assert {
        "numpy",
        "scikit-learn",
        "scipy",
        "joblib",
    } <= found.keys()  # joblib: scikit-learn needs it too
    assert (
        not {
            "dolambda",
            "boto3",
            "obstore",
            "rich",
            "typer",
            "uv",
            "pytest",
            "ruff",
            "mypy",
            "hypothesis",
        }
        & found.keys()
    )
    assert "numpy" not in installed_here(["numpy", "scikit-learn"])
    assert f"numpy=={found['numpy'].version}" in pins(found)


def test_a_package_installed_from_a_path_is_refused_with_the_mend(tmp_path: Path) -> None:
    info = tmp_path / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    (info / "direct_url.json").write_text('{"url": "file:///home/me/mine", "dir_info": {}}')
    with pytest.raises(
        ConfigurationError,
        match=r"mine was installed from file:///home/me/mine.*\n  Install it in editable mode",
    ):
        pins({"mine": Distribution.at(info)})


def test_layers_from_what_is_installed_need_no_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    contents = build(None, Platform("3.11", None), compress=False)
    everything = [name for archive in contents.layers for name in names(archive.content)]
    assert "python/joblib/parallel.py" in everything
    assert not [name for name in everything if name.startswith("python/joblib/test/")]


def test_other_versions_here_are_told() -> None:
    assert differing(["numpy==0.1", "not-installed-here==1", "joblib>=1"])[0].startswith(
        "numpy is "
    )
    assert len(differing(["numpy==0.1", "not-installed-here==1", "joblib>=1"])) == 1


def test_pins_fit_into_the_functions_environment() -> None:
    some = tuple(f"package-{n}==1.{n}.0" for n in range(150))
    assert unpacked(packed(some)) == some
    assert packed(()) == ""
    assert unpacked("") == ()


def test_a_requirements_file_is_read_as_pip_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(
        "# what tasks need\nnumpy==2.0  # exactly\n\npandas>=2 \\\n    --hash=sha256:ab\nscikit-learn\n"
    )
    assert from_file(str(file)) == ("numpy==2.0", "pandas>=2", "scikit-learn")
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        from_file(str(tmp_path / "none.txt"))
    with pytest.raises(ConfigurationError, match="both requires= and requirements="):
        Settings(requires=("numpy",), requirements=str(file))
