"""A user's mistake is an error of two lines, wherever it is made; never a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from support import programs


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["status", "--endpoint-url", "nonsense"], "--endpoint-url 'nonsense' is not a URL"),
        (["doctor", "--endpoint-url", "ftp://x"], "--endpoint-url 'ftp://x' is not a URL"),
        (["deploy", "--bucket", "Bad_Bucket!"], "--bucket 'Bad_Bucket!' is not a bucket name"),
        (["plan", "--stack", "My Stack"], "--stack 'My Stack' is not a name"),
        (["plan", "--memory", "20000"], "--memory 20000 is not a whole number of MB"),
        (["code", "nowhere.py"], "'nowhere.py' cannot be read as a program: No such file"),
        (["code", "no_such_module.part"], "there is neither a file nor a module 'no_such_module"),
        (["quote", "."], "the program '.' is not a file"),
        (["quote", "no.py"], "the program 'no.py' does not exist"),
        (["tune", "--sizes", "1,2", "x.py"], "--sizes is not an option of this command"),
        (["runs", "show", "x"], "no run 'x' is recorded, and named runs of a stack cannot be read"),
        (["r-layers", "no/such/file.zip"], "FILE 'no/such/file.zip': the directory"),
        (["r-layers", "."], "FILE '.' is a directory"),
        (["template", "cloudformation", "--output", __file__], "--output '"),
        (["template", "cloudformation", "--stack", "local"], "--stack 'local' means"),
        (["logs", "--since", "yesterday"], "--since 'yesterday' is neither a duration nor a date"),
        (["logs", "--local"], "no emulated AWS is running on this machine"),
        (["local", "env"], "no emulated AWS is running on this machine"),
        (["status", "--profile", "nope"], "The config profile (nope) could not be found"),
        (["status"], "no AWS credentials were found, and no emulated AWS is running"),
        (["status", "--region", "us-east-1"], "no AWS credentials were found"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_it_is_two_lines(tmp_path: Path, arguments: list[str], says: str) -> None:
    done = dolambda(*arguments, at=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"dolambda: {says}")
    assert len(done.stderr.splitlines()) == 2
    assert "key=" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["deploy", "--memory", "12.5"], "'--memory': '12.5' is not a whole number."),
        (["local", "start", "--workers", "x"], "'--workers': 'x' is not a whole number."),
        (["local", "start", "--workers", "0"], "'--workers': 0 is not at least 1."),
        (["dashboard", "--port", "99999"], "'--port': 99999 is not at most 65,535."),
        (["dashboard", "--idle", "abc"], "'--idle': 'abc' is not a number."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_value_of_an_option_is_shown(
    tmp_path: Path, arguments: list[str], says: str
) -> None:
    done = dolambda(*arguments, at=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert arguments[-2] in done.stderr
    assert arguments[-1] in done.stderr
    if any(one.startswith("pydantic") for one in metadata.requires("typer") or ()):
        assert says in done.stderr  # before typer 0.29 its own words


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    file = tmp_path / ".local" / "state" / "dolambda" / "runs" / "abc.run"
    file.parent.mkdir(parents=True, mode=0o700)
    file.write_text("garbage\n")
    for command in ("report", "advise"):
        done = dolambda(command, "abc", at=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"dolambda: {file} is not a record of format")


def test_a_program_that_cannot_be_compiled_is_shown_without_frames_of_dolambda(
    tmp_path: Path,
) -> None:
    (tmp_path / "bad.py").write_text("def f(:\n")
    done = dolambda("quote", "bad.py", at=tmp_path)
    assert done.returncode == 1
    assert "SyntaxError: invalid syntax" in done.stderr
    assert "quote.py" not in done.stderr


def test_where_nothing_has_run_there_are_no_runs(tmp_path: Path) -> None:
    done = dolambda("runs", "--json", at=tmp_path)
    assert (done.returncode, done.stdout) == (0, "[]\n")
    assert done.stderr.startswith("dolambda: named runs of a stack are not listed: no AWS cred")


@pytest.mark.parametrize(
    "content", ["[tool", "tool.dolambda = 5", "[tool.dolambda]\nworkers = true"]
)
def test_a_broken_project_file_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text(content)
    for command in ("status", "plan", "config", "runs", "logs"):
        done = dolambda(command, at=tmp_path)
        assert done.returncode == 1
        assert str(file) in done.stderr
        assert len(done.stderr.splitlines()) == 2


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):  # noqa: PTH110 - it is no file
        pytest.skip("there is no /dev/full")
    with open("/dev/full", "w") as full:  # noqa: PTH123 - as above
        done = dolambda("config", "--json", at=tmp_path, stdout=full.fileno())
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("started", [[sys.executable, "-m", "dolambda"], ["dolambda"]])
def test_a_process_of_its_own_says_the_same(tmp_path: Path, started: list[str]) -> None:
    """As a module and as a script, without what the tests' other programs have imported."""
    scripts = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [*started, "status"],
        cwd=tmp_path,
        env=environment(tmp_path) | {"PATH": scripts},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == dolambda("status", at=tmp_path).stderr
    assert len(done.stderr.splitlines()) == 2


def environment(at: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(at),
        "TMPDIR": str(at),
        "DOLAMBDA_REQUIRES": "",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def dolambda(
    *arguments: str, at: Path, stdout: int | None = None
) -> subprocess.CompletedProcess[str]:
    return programs.run("-m", "dolambda", *arguments, cwd=at, env=environment(at), stdout=stdout)
