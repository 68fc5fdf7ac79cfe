"""Nothing is believed, and nothing removed, that another user may have put there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dolambda.errors import LocalAwsError
from dolambda.local import place
from dolambda.local.failures import advice
from dolambda.local.instance import Instance

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
NOBODY = 65534
NO_ENTRY = 54_321


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def old(directory: Path) -> Path:
    """Make a directory look as if its maker had long gone."""
    directory.mkdir(mode=0o700)
    (directory / "instance.json").write_text("{}", encoding="utf-8")
    (directory / "state.json").write_text("{}", encoding="utf-8")
    os.utime(directory, (1, 1))
    return directory


def test_what_an_instance_left_is_swept_up_and_nothing_else(apart: Path) -> None:
    home = place.checked_home(make=True)
    assert home == apart / f"dolambda-{os.geteuid()}"
    left = old(home / "left")
    other = home / "thesis"
    other.mkdir(mode=0o700)
    os.utime(other, (1, 1))
    elsewhere = apart / "elsewhere"
    precious = old(elsewhere)
    (home / "link").symlink_to(precious)
    assert place.sweep() == ["left"]
    assert not left.exists()
    assert other.is_dir()
    assert (precious / "instance.json").exists()


def test_what_another_program_sweeps_meanwhile_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "instances", lambda: [tmp_path / "gone"])
    assert place.sweep() == []


def test_a_link_in_the_place_of_the_directory(apart: Path) -> None:
    victim = apart / "victim"
    victim.mkdir(mode=0o700)
    precious = old(victim / "thesis")
    place.home().symlink_to(victim)
    for act in (place.sweep, Instance.find_shared, Instance.from_start):
        with pytest.raises(
            LocalAwsError, match="is a link or a file, not a directory\n  Set TMPDIR"
        ):
            act()
    assert precious.is_dir()


def test_a_directory_that_is_open_to_others(apart: Path) -> None:
    place.home().mkdir()
    place.home().chmod(0o777)
    with pytest.raises(LocalAwsError, match=r"open to other users \(mode 777, not 700\)"):
        Instance.find_shared()
    assert list(apart.iterdir()) == [place.home()]


def test_a_temporary_directory_in_which_others_may_rename(apart: Path) -> None:
    place.home().mkdir(mode=0o700)
    apart.chmod(0o777)
    with pytest.raises(LocalAwsError, match="other users can rename the contents of"):
        Instance.from_start()
    apart.chmod(0o1777)
    assert place.checked_home() == place.home()


@as_root
@pytest.mark.parametrize("whose", ["home", "parent"])
def test_a_directory_of_another_user(apart: Path, whose: str) -> None:
    place.home().mkdir(mode=0o700)
    os.chown(place.home() if whose == "home" else apart, NOBODY, NOBODY)
    with pytest.raises(LocalAwsError, match=f"belongs to user {NOBODY}"):
        place.checked_home(make=True)


def test_the_runtime_directory_is_used_if_it_is_ones_own(
    apart: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = apart / "run"
    runtime.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    assert place.home().parent == apart  # TMPDIR was given for this program
    monkeypatch.delenv("TMPDIR")
    assert place.home() == runtime / "dolambda"
    runtime.chmod(0o755)
    assert place.home().parent == apart
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(apart / "missing"))
    assert place.home().parent == apart


def test_names_of_users_play_no_part(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "../../company/someone")
    assert place.home().name == f"dolambda-{os.geteuid()}"


@as_root
def test_a_user_without_an_entry_in_passwd(tmp_path: Path) -> None:
    """As in a container that is started with a number for a user."""
    tmp_path.chmod(0o1777)
    for parent in tmp_path.parents[:2]:  # pytest's own, which only root may enter
        parent.chmod(0o711)
    script = f"""
import os, pwd
from dolambda.local import instance, place
from dolambda.settings import Settings
os.setgroups([]); os.setgid({NO_ENTRY}); os.setuid({NO_ENTRY})
try:
    pwd.getpwuid({NO_ENTRY})
except KeyError:
    Settings.resolve()
    print(place.checked_home(make=True).name, place.sweep(), instance.Instance.find_shared())
"""
    environment = {"TMPDIR": str(tmp_path), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == f"dolambda-{NO_ENTRY} [] None\n", done.stderr


@pytest.mark.parametrize(
    ("stage", "said", "hint"),
    [
        ("installing", "uv pip: failed: No space left on device (os error 28)", "disk is full"),
        ("installing", "uv venv: Read-only file system (os error 30)", "UV_CACHE_DIR"),
        ("installing", "Permission denied (os error 13)", "UV_CACHE_DIR"),
        ("installing", "Too many open files (os error 24)", "ulimit -n"),
        ("starting", "memory allocation of 65536 bytes failed", "ulimit -v"),
        ("starting", "RuntimeError: can't start new thread", "ulimit -u"),
        ("installing", "dns error: failed to lookup address", "package registry"),
        ("starting", "the emulator ended with exit code 1", "report them"),
    ],
)
def test_the_advice_is_of_what_was_said(stage: str, said: str, hint: str) -> None:
    assert hint in advice(stage, said)


def test_a_temporary_directory_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/proc/nowhere")
    monkeypatch.setenv("TMPDIR", "/proc/nowhere")
    with pytest.raises(LocalAwsError, match="TMPDIR"):
        Instance.from_start()
    assert not Path("/proc/nowhere").exists()


@pytest.mark.parametrize(("sandbox", "limits"), [("cpu", True), ("yes", False), ("", False)])
def test_an_instance_whose_sandbox_limits_cpu_is_known_by_its_url(
    apart: Path, sandbox: str, *, limits: bool
) -> None:
    url = "http://127.0.0.1:12345"
    directory = place.checked_home(make=True) / "shared"
    directory.mkdir(mode=0o700)
    wanted = {"endpoint_url": url, "environment": {"DOLAMBDA_LOCAL_SANDBOX": sandbox}}
    (directory / "instance.json").write_text(json.dumps(wanted), encoding="utf-8")
    assert place.limits_cpu(url) is limits
    assert not place.limits_cpu("http://127.0.0.1:54321")
    assert not place.limits_cpu(None)
    apart.joinpath(f"dolambda-{os.geteuid()}").chmod(0o777)  # others may have written there
    assert not place.limits_cpu(url)
