"""``dolambda config`` names the source of each setting; ``dolambda init`` adds a table and changes
nothing else.
"""

from __future__ import annotations

import json
import os
import tomllib
from typing import TYPE_CHECKING

import pytest

from dolambda.settings import Settings
from support import programs

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path


def dolambda(*arguments: str, at: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a directory, as a module and with no configuration of AWS's."""
    kept = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    env = {**kept, "HOME": str(at), "AWS_EC2_METADATA_DISABLED": "true", **variables}
    return programs.run("-m", "dolambda", *arguments, cwd=at, env=env)


def test_config_shows_where_each_setting_comes_from(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text('[tool.dolambda]\nmemory = 512\nexclude = ["a", "b"]\n')
    done = dolambda("config", "--json", at=tmp_path, DOLAMBDA_TIMEOUT="60")
    found = json.loads(done.stdout)
    settings = found["settings"]
    assert settings["memory"] == {"value": 512, "from": str(file)}
    assert settings["timeout"] == {"value": 60, "from": "DOLAMBDA_TIMEOUT"}
    assert settings["stack"] == {"value": "dolambda", "from": "default"}
    assert set(settings) == set(Settings.origins())
    assert found["project_file"] == str(file)
    assert found["aws"]["credentials"][0] == "none"
    shown = dolambda("config", at=tmp_path, DOLAMBDA_TIMEOUT="60").stdout
    rows = {row.split()[0]: row.split()[1:] for row in shown.splitlines() if row.split()}
    assert rows["timeout"] == ["60", "DOLAMBDA_TIMEOUT"]
    assert rows["exclude"][:2] == ["a,", "b"]


def test_config_shows_no_secret(tmp_path: Path) -> None:
    secrets = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "very-secret-indeed"}
    for option in ((), ("--json",)):
        done = dolambda("config", *option, at=tmp_path, **secrets)
        assert done.returncode == 0, done.stderr
        assert "secret" not in done.stdout
        assert "env" in done.stdout


def test_a_wrong_setting_is_two_lines_that_name_its_source(tmp_path: Path) -> None:
    for variable, value in (("DOLAMBDA_MEMORY", "64"), ("DOLAMBDA_ENDPOINT_URL", "nonsense")):
        done = dolambda("config", at=tmp_path, **{variable: value})
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"dolambda: {variable}='{value}' is not") or (
            done.stderr.startswith(f"dolambda: {variable}={value} is not")
        )
        assert len(done.stderr.splitlines()) == 2
    done = dolambda("config", at=tmp_path, DOLAMBDA_MEMROY="512")
    assert done.returncode == 0
    assert done.stderr == (
        "dolambda: the variable DOLAMBDA_MEMROY is not a setting: did you mean DOLAMBDA_MEMORY?\n"
    )


def test_doctor_shows_sizes_before_there_is_an_account(tmp_path: Path) -> None:
    here = {"DOLAMBDA_REQUIRES": "", "TMPDIR": str(tmp_path)}
    done = dolambda("doctor", "--sizes", "--json", at=tmp_path, **here)
    found = {one["what"]: one for one in json.loads(done.stdout)}
    assert (done.returncode, found["credentials"]["fine"]) == (1, False)
    assert found["sizes"]["fine"] is True
    plain = dolambda("doctor", at=tmp_path, **here)
    assert (plain.returncode, plain.stdout, len(plain.stderr.splitlines())) == (1, "", 2)


@pytest.mark.parametrize(
    "before",
    [
        "",
        "# mine\n[project]\nname = 'x'  # here\n",
        "[project]\r\nname = 'x'\r\n",
        "[tool.other]\nx = 1",
    ],
)
def test_init_keeps_what_is_there(tmp_path: Path, before: str) -> None:
    file = tmp_path / "pyproject.toml"
    if before:
        file.write_bytes(before.encode())
    done = dolambda("init", "--stack", "mine", "--memory", "512", "--budget", "0.5", at=tmp_path)
    assert done.returncode == 0, done.stderr
    after = file.read_bytes().decode()
    assert after.startswith(before)
    assert "\n" not in after.replace("\r\n", "") or "\r\n" not in before
    table = tomllib.loads(after)["tool"]["dolambda"]
    assert table == {"stack": "mine", "memory": 512, "budget": 0.5}
    settings = Settings.resolve(directory=tmp_path, environ={})
    assert (settings.stack, settings.memory, settings.budget) == ("mine", 512, 0.5)


def test_init_without_options_changes_no_setting(tmp_path: Path) -> None:
    assert dolambda("init", at=tmp_path).returncode == 0
    assert Settings.resolve(directory=tmp_path, environ={}) == Settings()
    again = dolambda("init", at=tmp_path)
    assert again.returncode == 1
    assert again.stderr.startswith(
        f"dolambda: {tmp_path / 'pyproject.toml'} has a table [tool.dolambda]"
    )


@pytest.mark.parametrize(
    "before",
    [
        b"[tool",
        b"tool = 5\n",
        b"[[tool]]\n",
        b"tool = {x = 1}\n",
        b"\xff\xfe",
        b"tool.dolambda = 5\n",
    ],
)
def test_init_leaves_a_file_alone_that_it_cannot_extend(tmp_path: Path, before: bytes) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_bytes(before)
    done = dolambda("init", at=tmp_path)
    assert done.returncode == 1
    assert str(file) in done.stderr
    assert len(done.stderr.splitlines()) == 2, done.stderr
    assert file.read_bytes() == before


def test_init_refuses_a_wrong_value_before_writing(tmp_path: Path) -> None:
    done = dolambda("init", "--memory", "64", at=tmp_path)
    assert done.stderr.startswith("dolambda: --memory 64 is not a whole number of MB")
    assert not (tmp_path / "pyproject.toml").exists()
