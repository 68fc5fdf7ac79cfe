"""The client imports, and its unit tests pass, where Windows has no fcntl, fork or select.poll.

Not a test on Windows: what these modules are hidden from may still need other things that Windows
lacks.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_POSIX = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "readline", "syslog")
_CLIENT = (
    "dolambda.session",
    "dolambda.registration",
    "dolambda.executor",
    "dolambda.joblib",
    "dolambda.loops",
    "dolambda.cli",
    "dolambda.iterators",
    "dolambda.testing",
)
_HIDE = f"""
import os, select, signal, sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name in {_POSIX!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

for name in {_POSIX!r}:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Hidden())
for module, names in ((os, ("fork", "getpgid", "killpg", "setsid", "register_at_fork")),
                      (select, ("poll", "epoll")), (signal, ("SIGALRM", "setitimer"))):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
"""


def _run_hidden(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _HIDE + program],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        cwd=_ROOT,
    )


@pytest.mark.parametrize("module", _CLIENT)
def test_the_client_imports_where_posix_is_hidden(module: str) -> None:
    ran = _run_hidden(f"\nimport {module}")
    assert ran.returncode == 0, ran.stderr


_TESTED = ("wire", "transport", "aws/test_small_objects.py", "test_settings.py")


@pytest.mark.soak
def test_the_clients_unit_tests_pass_where_posix_is_hidden() -> None:
    files = [f"tests/unit/{name}" for name in _TESTED]
    worker = (
        "wire/test_fuzz.py",
        "transport/test_direct.py",
        "transport/test_lease.py",
        "transport/test_refusals.py",
    )
    files += [f"--ignore=tests/unit/{name}" for name in worker]  # these start the worker's side
    program = (
        "\nimport pytest\nraise "
        f"SystemExit(pytest.main({['-q', '-p', 'no:cacheprovider', *files]!r}))"
    )
    ran = _run_hidden(program)
    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr


def test_tasks_run_in_process_where_posix_is_hidden() -> None:
    program = """
import dolambda
with dolambda.register("local", transport="in_process", progress=False):
    with dolambda.LambdaExecutor() as executor:
        assert list(executor.map(abs, [-1, 2])) == [1, 2]
"""
    ran = _run_hidden(program)
    assert ran.returncode == 0, ran.stderr


def test_emulating_is_refused_by_name_where_posix_is_hidden() -> None:
    program = """
import dolambda
from dolambda.errors import ConfigurationError
try:
    dolambda.register("local")
except ConfigurationError as error:
    assert "WSL" in str(error), error
else:
    raise SystemExit("it was not refused")
"""
    ran = _run_hidden(program)
    assert ran.returncode == 0, ran.stderr
