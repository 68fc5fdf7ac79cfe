"""A static check that the client uses nothing that Windows lacks.

What runs on workers, in the emulated AWS or beside R is left out: these need Linux or macOS.
`test_without_posix` runs the client with such modules hidden.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_SOURCES = Path(__file__).parents[2] / "src" / "dolambda"
_NOT_THE_CLIENT = ("local/", "worker/", "r/", "bootstrap.py", "handler.py")
_MODULES = frozenset(
    {"fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty"}
)
_NAMES = {
    "asyncio": {"add_reader", "add_writer"},
    "os": {
        *("chown", "fchmod", "fchown", "fork", "forkpty", "getegid", "geteuid", "getgid"),
        *("getloadavg", "getpgid", "getpgrp", "getuid", "kill", "killpg", "lchown", "mkfifo"),
        *("openpty", "pipe2", "posix_spawn", "register_at_fork", "sched_getaffinity", "setpgid"),
        *("setsid", "statvfs", "sysconf", "uname", "wait", "waitid", "waitpid"),
    },
    "select": {"devpoll", "epoll", "kqueue", "poll", "select"},
    "signal": {
        *("SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP", "SIGUSR1"),
        *("SIGUSR2", "SIGWINCH", "alarm", "pause", "pthread_kill", "pthread_sigmask", "setitimer"),
        *("siginterrupt", "sigpending", "sigwait"),
    },
    "socket": {"AF_UNIX", "send_fds", "recv_fds"},
}
_ARGUMENTS = {"preexec_fn", "pass_fds", "start_new_session", "process_group"}
_ALLOWED = {
    "project_file.py: os.geteuid": "only after a check that os has it",
    "project_file.py: import grp": "in a function that Windows never calls",
    "project_file.py: import pwd": "in a function that Windows never calls",
    "running_process.py: os.kill": "only where the platform is not Windows",
}


def _client() -> list[Path]:
    return [
        path
        for path in sorted(_SOURCES.rglob("*.py"))
        if not path.relative_to(_SOURCES).as_posix().startswith(_NOT_THE_CLIENT)
    ]


def posix_only(tree: ast.AST) -> Iterator[str]:
    """Yield what a module imports or calls that Windows lacks."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"import {each.name}" for each in node.names if each.name in _MODULES)
        elif isinstance(node, ast.ImportFrom):
            yield from _imported_from(node.module or "", [each.name for each in node.names])
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.attr in _NAMES.get(node.value.id, ()):
                yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.keyword) and node.arg in _ARGUMENTS:
            yield f"{node.arg}="


def _imported_from(module: str, names: list[str]) -> Iterator[str]:
    if module in _MODULES:
        yield f"import {module}"
    yield from (f"{module}.{name}" for name in names if name in _NAMES.get(module, ()))


def _selects_on_pipes(tree: ast.AST) -> bool:
    """Return whether a module makes pipes and selects: Windows selects on sockets alone."""
    used = {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    return "os.pipe" in used and any(each.startswith(("select.", "selectors.")) for each in used)


def test_the_client_uses_nothing_that_windows_lacks() -> None:
    found = {
        f"{path.relative_to(_SOURCES).as_posix()}: {name}"
        for path in _client()
        for name in posix_only(ast.parse(path.read_text()))
    }
    assert found == set(_ALLOWED)


@pytest.mark.parametrize("package", ["aws", "transport", "scheduler"])
def test_the_path_of_a_task_needs_no_exception(package: str) -> None:
    files = [path for path in _client() if path.parent.name == package]
    assert len(files) > 5
    for path in files:
        tree = ast.parse(path.read_text())
        assert list(posix_only(tree)) == []
        assert not _selects_on_pipes(tree)


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import fcntl", ["import fcntl"]),
        ("from pwd import getpwuid", ["import pwd"]),
        ("from os import fork", ["os.fork"]),
        ("os.kill(pid, 0)", ["os.kill"]),
        ("signal.signal(signal.SIGHUP, f)", ["signal.SIGHUP"]),
        ("Popen(a, preexec_fn=f)", ["preexec_fn="]),
        ("os.getpid(); signal.SIGTERM", []),
    ],
)
def test_the_check_finds_what_windows_lacks(code: str, found: list[str]) -> None:
    assert list(posix_only(ast.parse(code))) == found


def test_the_check_finds_selecting_on_pipes() -> None:
    assert _selects_on_pipes(ast.parse("a, b = os.pipe()\nselectors.DefaultSelector()"))
    assert not _selects_on_pipes(ast.parse("socket.socketpair()\nselectors.DefaultSelector()"))
