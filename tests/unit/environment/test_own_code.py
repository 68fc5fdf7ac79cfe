"""What of the user's own code travels, seen from a program that is run in a directory of its
own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from dolambda.environment import module_search
from support import programs

COLLECT = """
import json, sys
from dolambda.environment.code import collect
from dolambda.wire import pickler, pickling
def travels(*functions):
    for function in functions:
        pickling.dump(function, "x")
    files = collect(names=sorted(pickler.imported_names))
    print(json.dumps([sorted(files.entries), files.left_out]))
"""


def write(place: Path, contents: dict[str, str]) -> None:
    for name, text in contents.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def travels(place: Path, program: str, **variables: str) -> tuple[list[str], dict[str, str]]:
    """Run a program that calls `travels`; return what travels, and what stays with the reason."""
    (place / "program.py").write_text(COLLECT + program)
    done = subprocess.run(
        [sys.executable, "program.py"],
        capture_output=True,
        text=True,
        cwd=place,
        check=False,
        timeout=60,
        env=os.environ | variables,
    )
    assert done.returncode == 0, done.stderr
    entries, left = json.loads(done.stdout)
    return entries, left


def test_modules_that_only_a_task_imports_travel(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "in_function.py": "def f():\n    import in_module\n",
            "in_module.py": "import importlib\ndef g():\n    importlib.import_module('by_name')\n",
            "by_name.py": "import numpy, os, nothing_of_that_name\n",
            "in_lambda.py": "",
            "package/__init__.py": "",
            "package/deep/__init__.py": "from ..sibling import x\n",
            "package/sibling.py": "from outside import x\n",
            "outside.py": "x = 1\n",
            "broken.py": "this is no Python\n",
            "unused.py": "",
        },
    )
    program = """
def task():
    import in_function
    from package import deep
    def inner():
        import broken
    return inner
travels(task, lambda: __import__("in_lambda"))
"""
    found, _ = travels(tmp_path, program)
    assert found == [
        "broken.py",
        "by_name.py",
        "in_function.py",
        "in_lambda.py",
        "in_module.py",
        "outside.py",
        "package/__init__.py",
        "package/deep/__init__.py",
        "package/sibling.py",
    ]


def test_submodules_of_namespace_packages_travel(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "space/one.py": "",
            "space/two.py": "from . import three\n",
            "space/three.py": "",
            "space/inner/four.py": "",
            "space/unused.py": "",
        },
    )
    program = """
import space.one
def task():
    from space import two
    import space.inner.four
travels(task)
"""
    found, _ = travels(tmp_path, program)
    assert found == ["space/inner/four.py", "space/one.py", "space/three.py", "space/two.py"]


def test_a_library_under_the_name_of_an_own_module_hides_no_file(tmp_path: Path) -> None:
    write(tmp_path, {"mine.py": ""})
    program = """
import joblib.logger
sys.modules["mine"] = joblib.logger
def task():
    import mine
travels(task)
"""
    assert travels(tmp_path, program)[0] == ["mine.py"]


def test_modules_below_the_interpreters_prefix_are_the_users_own() -> None:
    """As after `python -m venv .`, or with /usr/local/airflow/dags."""
    place = Path(sys.prefix, f"project-{os.getpid()}")
    place.mkdir()
    try:
        write(place, {"mine.py": "", "share/other.py": ""})
        found, _ = travels(place, "import mine, share.other, json, joblib\ntravels()")
    finally:
        shutil.rmtree(place)
    assert found == ["mine.py", "share/other.py"]


def test_what_the_standard_library_links_to_is_not_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Debian's sitecustomize.py, which is a link to /etc."""
    library, elsewhere, mine = (tmp_path / name for name in ("library", "etc", "mine"))
    write(elsewhere, {"sitecustomize.py": ""})
    write(mine, {"tool.py": ""})
    (library / "site-packages").mkdir(parents=True)
    (library / "sitecustomize.py").symlink_to(elsewhere / "sitecustomize.py")
    (library / "site-packages" / "tool.py").symlink_to(mine / "tool.py")
    places = sysconfig.get_paths() | {"stdlib": str(library), "platstdlib": str(library)}
    monkeypatch.setattr(sysconfig, "get_paths", lambda: places)
    is_own = module_search.is_own.__wrapped__
    assert not is_own(str(library / "sitecustomize.py"))
    assert is_own(str(library / "site-packages" / "tool.py"))
    assert is_own(str(elsewhere / "sitecustomize.py"))


def test_modules_in_a_zip_travel(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "libs.zip", "w") as archive:
        archive.writestr("zipped/__init__.py", "from . import part\n")
        archive.writestr("zipped/part.py", "import second\n")
        archive.writestr("zipped/data.txt", "data")
        archive.writestr("second.py", "")
        archive.writestr("unused.py", "")
    program = """
sys.path.insert(0, "libs.zip")
import zipped
travels()
"""
    found, _ = travels(tmp_path, program)
    assert found == ["second.py", "zipped/__init__.py", "zipped/data.txt", "zipped/part.py"]


def test_a_source_travels_under_the_name_that_it_was_loaded_by(tmp_path: Path) -> None:
    """As plugins are, and by pytest --import-mode=importlib."""
    write(tmp_path, {"plugins/a-first.py": "x = 1\n", "plugins/second.py": "import helper\n"})
    write(tmp_path, {"helper.py": ""})
    program = """
import importlib.util
for name, file in {"plugin_one": "a-first", "package.plugin": "second"}.items():
    spec = importlib.util.spec_from_file_location(name, f"plugins/{file}.py")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
sys.modules["another_name_of_one"] = sys.modules["plugin_one"]
travels()
"""
    entries, _ = travels(tmp_path, program)
    assert entries == ["helper.py", "package/plugin.py", "plugin_one.py"]


def test_compiled_modules_of_ones_own_travel(tmp_path: Path) -> None:
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    source = Path(str(sys.modules["_ctypes" if "_ctypes" in sys.modules else "_json"].__file__))
    if not source.name.endswith(".so"):
        pytest.skip("this interpreter has its extensions built in")
    name = source.name.split(".")[0]
    shutil.copy(source, tmp_path / f"{name}{suffix}")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    shutil.copy(source, tmp_path / "package" / f"{name}{suffix}")
    found, _ = travels(tmp_path, f"import package\ndef task():\n    import {name}\ntravels(task)")
    assert f"package/{name}{suffix}" in found
    assert f"{name}{suffix}" in found


def test_data_travels_with_its_package_but_not_what_nobody_means_to_send(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    project = tmp_path / "project"
    write(outside, {"secret.txt": "no", "big/data.bin": "no"})
    write(
        project,
        {
            "beside.txt": "not below a package",
            "mine/__init__.py": "",
            "mine/data/table.csv": "1,2",
            "mine/data/ignored.bin": "no",
            "mine/generated.py": "",
            "mine/.env": "no",
            "mine/.cache/x": "no",
            "mine/server.pem": "no",
            "mine/id.KEY": "no",
            "mine/credentials.json": "no",
            "mine/credentials.py": "code is no data",
            "mine/node_modules/x.js": "no",
            "mine/.gitignore": "*.bin\ngenerated.py\n",
            "mine/venv/pyvenv.cfg": "",
        },
    )
    (project / "mine" / "link.txt").symlink_to(outside / "secret.txt")
    (project / "mine" / "big").symlink_to(outside / "big")
    (project / "mine" / "alias.csv").symlink_to(project / "mine" / "data" / "table.csv")
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)  # noqa: S607 - any git
    found, left = travels(project, "import mine\ntravels()")
    assert found == [
        "mine/__init__.py",
        "mine/alias.csv",
        "mine/credentials.py",
        "mine/data/table.csv",
        "mine/generated.py",
    ]
    assert left["mine/data/ignored.bin"] == "git ignores it"
    assert left["mine/link.txt"] == left["mine/big/"] == "link that leads out of the package"
    assert left["mine/server.pem"] == left["mine/id.KEY"] == "looks like a key or credentials"
    assert left["mine/.env"] == "hidden"
    assert {"mine/node_modules/", "mine/venv/", "mine/credentials.json"} <= left.keys()


def test_the_metadata_of_what_is_installed_in_editable_mode_travels_with_it(tmp_path: Path) -> None:
    """Packages ask for their version and their entry points when they are imported."""
    source, site = tmp_path / "project" / "src", tmp_path / "site"
    editable = json.dumps({"url": source.parent.as_uri(), "dir_info": {"editable": True}})
    unused = json.dumps({"url": (tmp_path / "b").as_uri(), "dir_info": {"editable": True}})
    write(
        tmp_path,
        {
            "project/src/mine/__init__.py": "import importlib.metadata as m\nm.version('a')\n",
            "site/a-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: a\nVersion: 1.0\n",
            "site/a-1.0.dist-info/entry_points.txt": "[plugins]\none = mine:x\n",
            "site/a-1.0.dist-info/direct_url.json": editable,
            "site/a-1.0.dist-info/RECORD": "__editable__.a-1.0.pth,,\n",
            "site/b-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: b\nVersion: 1.0\n",
            "site/b-1.0.dist-info/direct_url.json": unused,
            "site/c-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: c\nVersion: 1.0\n",
            "project/src/d_e.egg-info/PKG-INFO": "Metadata-Version: 2.1\nName: d-e\nVersion: 2\n",
        },
    )
    entries, _ = travels(
        tmp_path, "import mine\ntravels()", PYTHONPATH=f"{source}{os.pathsep}{site}"
    )
    assert entries == [
        "a-1.0.dist-info/METADATA",
        "a-1.0.dist-info/entry_points.txt",
        "d_e-2.dist-info/METADATA",
        "mine/__init__.py",
    ]


def test_what_an_editable_package_links_to_travels(tmp_path: Path) -> None:
    """In strict mode, setuptools makes a directory of links to the files of the project."""
    write(
        tmp_path,
        {
            "project/linked/__init__.py": "from . import other\n",
            "project/linked/other.py": "",
            "project/linked/data.txt": "data",
            "elsewhere/secret.txt": "secret",
        },
    )
    links = tmp_path / "build" / "linked"
    links.mkdir(parents=True)
    for name in ("__init__.py", "other.py", "data.txt"):
        (links / name).symlink_to(tmp_path / "project" / "linked" / name)
    (links / "secret.txt").symlink_to(tmp_path / "elsewhere" / "secret.txt")
    entries, left = travels(
        tmp_path, "import linked\ntravels()", PYTHONPATH=str(tmp_path / "build")
    )
    assert entries == ["linked/__init__.py", "linked/data.txt", "linked/other.py"]
    assert left["linked/secret.txt"] == "link that leads out of the package"


def test_what_a_subpackage_links_to_travels_with_the_metadata_of_its_project(
    tmp_path: Path,
) -> None:
    """The directories are no links, but each of their files is one."""
    project = tmp_path / "project"
    editable = json.dumps({"url": project.as_uri(), "dir_info": {"editable": True}})
    write(
        tmp_path,
        {
            "project/outer/__init__.py": "",
            "project/inner/__init__.py": "",
            "project/inner/data.txt": "data",
            "links/a-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: a\nVersion: 1.0\n",
            "links/a-1.0.dist-info/direct_url.json": editable,
        },
    )
    inner = tmp_path / "links" / "outer" / "inner"
    inner.mkdir(parents=True)
    (inner.parent / "__init__.py").symlink_to(project / "outer" / "__init__.py")
    for name in ("__init__.py", "data.txt"):
        (inner / name).symlink_to(project / "inner" / name)
    entries, _ = travels(
        tmp_path, "import outer.inner\ntravels()", PYTHONPATH=str(tmp_path / "links")
    )
    assert entries == [
        "a-1.0.dist-info/METADATA",
        "outer/__init__.py",
        "outer/inner/__init__.py",
        "outer/inner/data.txt",
    ]


FINDER = """
import sys
from importlib.util import spec_from_file_location
class Finder:
    places = {"mapped": "lib", "mapped.inner": "inner"}
    def find_spec(name, path=None, target=None):
        if place := Finder.places.get(name):
            return spec_from_file_location(name, f"{place}/__init__.py")
sys.meta_path.append(Finder)
"""


def test_a_subpackage_in_another_directory_travels(tmp_path: Path) -> None:
    """The finders of editable packages map each package to a directory."""
    write(
        tmp_path,
        {
            "lib/__init__.py": "def f():\n    from mapped.inner import x\n",
            "inner/__init__.py": "from .deep import x\n",
            "inner/deep.py": "x = 1\n",
        },
    )
    program = "def g():\n    import mapped\ntravels(g)"
    entries, _ = travels(tmp_path, FINDER + program)
    assert entries == ["mapped/__init__.py", "mapped/inner/__init__.py", "mapped/inner/deep.py"]


def test_odd_entries_of_sys_modules_do_no_harm(tmp_path: Path) -> None:
    program = """
import types
class Lazy(types.ModuleType):
    def __getattr__(self, name):
        raise RuntimeError("imported by being asked")
class Slotted:
    __slots__ = ()
sys.modules["lazy_one"] = Lazy("lazy_one")
sys.modules["blocked"] = None
sys.modules["slotted"] = Slotted()
import mine
def task():
    import blocked, lazy_one.part
travels(task)
"""
    write(tmp_path, {"mine.py": "", "blocked.py": ""})
    found, _ = travels(tmp_path, program)
    assert "mine.py" in found


def dolambda_code(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return programs.run("-m", "dolambda", "code", *arguments, cwd=place)


def test_what_would_travel_is_listed_without_running_the_program(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "script.py": "import mine\nraise SystemExit('it was run')\n",
            "mine/__init__.py": "import other\nraise SystemExit('it was run')\n",
            "mine/data.csv": "1,2",
            "mine/key.pem": "no",
            "other.py": "",
            "book.ipynb": json.dumps(
                {
                    "cells": [
                        {"cell_type": "code", "source": ["%matplotlib inline\n", "import other"]}
                    ]
                }
            ),
        },
    )
    said = dolambda_code(tmp_path, "script.py")
    assert said.returncode == 0, said.stderr
    lines = said.stdout.splitlines()
    assert sorted(line.split()[1] for line in lines[:3]) == [
        "mine/__init__.py",
        "mine/data.csv",
        "other.py",
    ]
    assert "3  mine/data.csv" in said.stdout
    assert lines[3].startswith("3 files, ")
    assert lines[-1] == "  mine/key.pem: looks like a key or credentials"

    found = json.loads(dolambda_code(tmp_path, "script.py", "--json").stdout)
    assert found["travels"]["mine/data.csv"] == 3
    assert list(json.loads(dolambda_code(tmp_path, "book.ipynb", "--json").stdout)["travels"]) == [
        "other.py"
    ]
    assert "mine/__init__.py" in dolambda_code(tmp_path, "mine").stdout
    refused = dolambda_code(tmp_path, "nothing.py")
    assert refused.returncode == 1
    assert "'nothing.py' cannot be read as a program" in refused.stderr


def test_a_program_without_modules_of_its_own_says_that_no_files_are_sent(tmp_path: Path) -> None:
    write(tmp_path, {"script.py": "import json\n"})
    said = dolambda_code(tmp_path, "script.py")
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith("No files are sent: ")


def test_too_much_code_is_listed_and_refused(tmp_path: Path) -> None:
    write(tmp_path, {"mine/__init__.py": ""})
    (tmp_path / "mine" / "noise.bin").write_bytes(os.urandom(21 << 20))
    said = dolambda_code(tmp_path, "mine")
    assert said.returncode == 1
    assert "22,020,096  mine/noise.bin" in said.stdout
    assert "more than the 20 MiB that can be sent. The largest is mine/noise.bin" in said.stderr
