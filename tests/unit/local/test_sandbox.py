"""A worker's sandbox: what can be seen of it without bubblewrap."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dolambda.errors import ConfigurationError
from dolambda.local.emulator import sandbox
from dolambda.local.instance import Instance
from support.polling import until

linux = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox is Linux's")


def test_without_bubblewrap_nothing_is_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"bwrap is not installed\n  Install bubblewrap"):
        Instance.from_start(sandbox=True)


def test_the_layers_and_a_bundle_are_where_lambda_has_them(tmp_path: Path) -> None:
    link = tmp_path / "dolambda-bundle-x"
    link.symlink_to("/somewhere/packages")
    text = sandbox.script("command", Path("/of/layers"), 512, link)
    assert "--ro-bind /of/layers /opt" in text
    assert "--symlink /somewhere/packages /tmp/dolambda-bundle-x" in text
    assert f"--size {512 << 20} --tmpfs /tmp" in text
    assert text.endswith("command\nexit $?\n")


def state(process: int) -> str:
    text = Path(f"/proc/{process}/stat").read_text(encoding="ascii")
    return text.rpartition(")")[2].split()[0]


def shell_of(program: str) -> subprocess.Popen[str]:
    """A shell with one child, which prints its id."""
    line = f"import os; print(os.getpid(), flush=True); {program}"
    command = f'"{sys.executable}" -c "{line}"; exit $?'
    return subprocess.Popen(["sh", "-c", command], stdout=subprocess.PIPE, text=True)  # noqa: S607


@linux
def test_what_a_shell_has_started_is_stopped_outside_of_invocations() -> None:
    with shell_of("import time; time.sleep(600)") as shell:
        assert shell.stdout is not None
        child = int(shell.stdout.readline())
        confined = sandbox.Confined(lambda: shell.pid, 512, limit_cpu=False)
        try:
            with confined.running():
                assert state(child) != "T"
            until(lambda: state(child) == "T")
            with confined.running():
                until(lambda: state(child) != "T")
            assert not confined.killed
        finally:
            os.kill(child, signal.SIGKILL)


@linux
def test_more_memory_than_the_function_has_ends_it() -> None:
    with shell_of("held = b'x' * (200 << 20); import time; time.sleep(600)") as shell:
        assert shell.stdout is not None
        child = int(shell.stdout.readline())
        confined = sandbox.Confined(lambda: shell.pid, 128, limit_cpu=False)
        try:
            with confined.running():
                assert shell.wait(60) == -signal.SIGKILL
            assert confined.killed
        finally:
            os.kill(child, signal.SIGKILL)


@linux
def test_cpu_is_limited_to_the_functions_share() -> None:
    loop = "import time\nwhile time.process_time() < 0.3: pass"
    with shell_of(f"exec({loop!r})".replace('"', "'")) as shell:
        confined = sandbox.Confined(lambda: shell.pid, 354, limit_cpu=True)  # a fifth of a core
        begun = time.monotonic()
        with confined.running():
            assert shell.wait(60) == 0
        assert time.monotonic() - begun > 0.5 * 5 * 0.3  # a busy machine only makes it longer
