from __future__ import annotations

import io
import os
import sys
import zipfile
from types import ModuleType
from typing import TYPE_CHECKING

import joblib
import pytest

from dolambda.environment import code
from dolambda.environment import worker_zip as worker_zip_module
from dolambda.environment.archive import digest_of, make_zip
from dolambda.environment.bytecode import marshalled
from dolambda.environment.requirements import pinned
from dolambda.environment.worker_zip import worker_code, worker_zip
from dolambda.errors import ConfigurationError, TooLargeError
from dolambda.version import VERSION

if TYPE_CHECKING:
    from pathlib import Path


def names(content: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(content)).namelist()


def test_zips_are_the_same_whatever_the_order_and_the_time(tmp_path: Path) -> None:
    file = tmp_path / "b"
    file.write_bytes(b"2")
    one = make_zip({"a": b"1", "b": file})
    file.touch()
    assert digest_of(make_zip({"b": file, "a": b"1"})) == digest_of(one)


def in_another_process(script: str, *args: str, option: str = "-B", **variables: str) -> str:
    import subprocess  # noqa: PLC0415 - only here

    command = [sys.executable, option, "-c", script, *args]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, **variables}
    ).stdout.strip()


USES_THE_CLIENT = """
import sys
sys.path = [sys.argv[1], *(place for place in sys.path if "site-packages" not in place)]
import dolambda
from dolambda import LambdaExecutor, dopar, foreach, register

class Mine(LambdaExecutor): pass

def run(executor: LambdaExecutor | None = None): return isinstance(executor, LambdaExecutor)

print(run(), LambdaExecutor is dolambda.LambdaExecutor, hasattr(dolambda, "absent"))
for use in (register, LambdaExecutor, Mine):
    try:
        use()
    except dolambda.errors.ConfigurationError as error:
        print(str(error).splitlines()[0])
"""


def test_modules_that_import_the_client_load_on_a_worker(tmp_path: Path) -> None:
    (tmp_path / "worker.zip").write_bytes(worker_zip())
    printed = in_another_process(USES_THE_CLIENT, str(tmp_path / "worker.zip"), option="-I")
    used = "was used in a task, but workers have no client of dolambda"
    assert printed.splitlines() == [
        "False True False",
        f"dolambda.register {used}",
        f"dolambda.LambdaExecutor {used}",
        f"dolambda.LambdaExecutor {used}",
    ]


def test_a_worker_knows_the_version_and_names_modules_of_the_client_that_it_has_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "worker.zip").write_bytes(worker_zip())
    asks = """
import sys
sys.path = [sys.argv[1], *(place for place in sys.path if "site-packages" not in place)]
import dolambda
from dolambda.worker.explain import explain
print(dolambda.__version__)
try:
    import dolambda.joblib
except ModuleNotFoundError as error:
    explain(error)
    print(*error.__notes__)
"""
    printed = in_another_process(asks, str(tmp_path / "worker.zip"), option="-I").splitlines()
    assert printed[0] == VERSION
    assert printed[1].startswith("Workers have no client of dolambda, and so no module")


def test_the_workers_zip_is_made_once_unless_a_source_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "added.py"
    source.write_text("first = 1\n")
    sources = worker_zip_module._sources()
    monkeypatch.setattr(
        worker_zip_module, "_sources", lambda: {**sources, "dolambda/added.py": source}
    )
    made = worker_zip()
    assert worker_zip() is made
    source.write_text("second = 2\n")
    with zipfile.ZipFile(io.BytesIO(worker_zip())) as changed:
        assert changed.read("dolambda/added.py") == b"second = 2\n"


def test_the_workers_zip_is_small_whole_and_without_an_sdk(tmp_path: Path) -> None:
    content = worker_zip()
    assert len(content) < 520 * 1024
    (tmp_path / "worker.zip").write_bytes(content)
    script = (
        "import sys; sys.path = [p for p in sys.path if 'site-packages' not in p]; "
        "sys.path.insert(0, sys.argv[1]);"
        "import dolambda.handler; print(dolambda.__file__);"
        "print([m for m in ('boto3', 'botocore', 'obstore', 'joblib', 'numpy') if m in "
        "sys.modules])"
    )
    said = in_another_process(script, str(tmp_path / "worker.zip"), option="-S")
    assert "worker.zip" in said
    assert said.endswith("[]")


def test_the_workers_zip_is_the_same_whoever_makes_it() -> None:
    """Its bytecode too, which would otherwise name what it shares with the process that compiled
    it.
    """
    script = (
        "from dolambda.environment import archive, worker_zip as w; "
        "print(archive.digest_of(w.worker_zip()), w.worker_code())"
    )
    ours = f"{digest_of(worker_zip())} {worker_code()}"
    assert [
        in_another_process(script, PYTHONHASHSEED=seed, PYTHONPYCACHEPREFIX="/nowhere")
        for seed in ("1", "2")
    ] == [ours, ours]


def test_the_worker_compiles_nothing_unless_its_python_is_another(tmp_path: Path) -> None:
    zipfile.ZipFile(io.BytesIO(worker_zip())).extractall(tmp_path)
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from dolambda import errors; "
        "print(errors.__file__, hasattr(errors, 'LostError'))"
    )
    source = tmp_path / "dolambda" / "errors.py"  # it has no slices: see `marshalled`
    good = source.read_text()
    source.write_text("")  # not even looked at
    assert in_another_process(script, str(tmp_path)) == f"{source} True"
    source.write_text(good)
    (compiled,) = (tmp_path / "dolambda" / "__pycache__").glob("errors.*.pyc")
    compiled.write_bytes(b"0000" + compiled.read_bytes()[4:])  # another Python's
    assert in_another_process(script, str(tmp_path)) == f"{source} True"


def test_code_that_cannot_be_brought_compiled_is_brought_as_source() -> None:
    code = compile("a = 1", "a.py", "exec")
    assert marshalled(code)
    assert marshalled(code.replace(co_consts=(slice(1),))) is None


def own_module(tmp_path: Path, name: str = "mine") -> ModuleType:
    package = tmp_path / name
    package.mkdir()
    (package / "__init__.py").write_text("A = 1\n")
    (package / "data.csv").write_text("1,2\n")
    (package / ".secret").write_text("no\n")
    module = ModuleType(name)
    module.__file__ = str(package / "__init__.py")
    return module


def test_own_packages_travel_whole_without_hidden_files(tmp_path: Path) -> None:
    blob = code.collect(
        {
            "mine": own_module(tmp_path),
            "json": sys.modules["json"],
            "joblib": joblib,
            "__main__": sys.modules["__main__"],
        }
    ).archive()
    assert blob is not None
    assert names(bytes(blob.data)) == ["mine/__init__.py", "mine/data.csv"]


def test_more_can_be_included_and_some_excluded(tmp_path: Path) -> None:
    modules = {
        "mine": own_module(tmp_path),
        "theirs": own_module(tmp_path, "theirs"),
        "joblib": joblib,
    }
    blob = code.collect(
        modules,
        include=["joblib"],
        exclude=["theirs", "mine/*.csv", "joblib/test/*", "joblib/externals"],
    ).archive()
    assert blob is not None
    found = names(bytes(blob.data))
    assert "joblib/parallel.py" in found
    assert not [
        name for name in found if name.startswith(("theirs", "joblib/test/", "joblib/externals"))
    ]
    assert [name for name in found if name.startswith("mine")] == ["mine/__init__.py"]


def test_a_subpackage_travels_with_what_it_has_elsewhere(tmp_path: Path) -> None:
    """Its package was walked already, but that does not reach what its path or a link leads to."""
    place = tmp_path / "mine"
    package = own_module(tmp_path)
    inside, spread = own_module(place, "inside"), own_module(place, "spread")
    linked = own_module(tmp_path, "linked")
    (place / "linked").symlink_to(tmp_path / "linked")
    linked.__file__ = str(place / "linked" / "__init__.py")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "far.py").write_text("B = 1\n")
    for module, path in (
        (package, place),
        (inside, place / "inside"),
        (spread, tmp_path / "more"),
        (linked, place / "linked"),
    ):
        module.__path__ = [str(path)]
    inner = {f"mine.{module.__name__}": module for module in (inside, spread, linked)}
    blob = code.collect({"mine": package, **inner}).archive()
    assert blob is not None
    assert [name for name in names(bytes(blob.data)) if name.endswith(".py")] == [
        "mine/__init__.py",
        "mine/inside/__init__.py",
        "mine/linked/__init__.py",
        "mine/spread/__init__.py",
        "mine/spread/far.py",
    ]


def test_modules_of_a_namespace_package_travel_one_by_one(tmp_path: Path) -> None:
    file = tmp_path / "space" / "mod.py"
    file.parent.mkdir()
    file.write_text("B = 2\n")
    module = ModuleType("space.mod")
    module.__file__ = str(file)
    blob = code.collect({"space.mod": module, "space": ModuleType("space")}).archive()
    assert blob is not None
    assert names(bytes(blob.data)) == ["space/mod.py"]


def test_nothing_of_ones_own_is_nothing_to_send() -> None:
    assert code.collect({"json": sys.modules["json"], "joblib": joblib}).archive() is None


def test_too_much_names_the_largest_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "LIMIT", 10)
    with pytest.raises(TooLargeError, match="largest is mine/"):
        code.collect({"mine": own_module(tmp_path)}).archive()


def test_bare_names_are_pinned_to_what_is_installed() -> None:
    assert pinned(["joblib", "no-such-package", "numpy>=1", ""]) == (
        f"joblib=={joblib.__version__}",
        "no-such-package",
        "numpy>=1",
    )


@pytest.mark.parametrize("requirement", ["./mine", "git+ssh://x", "-r more.txt"])
def test_what_is_no_package_of_the_registry_is_refused(requirement: str) -> None:
    with pytest.raises(ConfigurationError, match="Your own modules travel without being required"):
        pinned([requirement])
