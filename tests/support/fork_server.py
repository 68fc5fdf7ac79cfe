"""A Python that has imported dolambda, and forks itself for each program that a test runs.

**Input:** from `support.programs`, over a socket: the descriptors of a program. **Output:** to it,
over a socket of the program's own: the program's process id, and at its end its exit code.
"""

from __future__ import annotations

import builtins
import contextlib
import fcntl
import gc
import importlib
import importlib.util
import json
import os
import signal
import socket
import struct
import sys
import tempfile
import termios
import time
from pathlib import Path
from types import CodeType, ModuleType
from typing import NamedTuple

# What the command line imports when it prints help, and when it reads a parameter.
_IMPORTED_LATER = ("rich.markdown", "pydantic.type_adapter")


class Request(NamedTuple):
    """What runs, where, and on which standard streams."""

    arguments: list[str]
    cwd: str | None
    environment: dict[str, str]
    new_session: bool
    streams: list[int]


def main() -> None:
    """Import what programs import; then serve until the tests end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps the keepers
    for name in ("dolambda.cli", "boto3", "joblib"):
        importlib.import_module(name)
    for name in _IMPORTED_LATER:
        with contextlib.suppress(ImportError):  # Typer does without them
            importlib.import_module(name)
    _read_models()
    gc.collect()
    gc.freeze()
    request = _serve(socket.socket(fileno=int(sys.argv[1])))
    if request:
        _take_over(request)
        _run(request.arguments)


def _read_models() -> None:
    """Have botocore read what it reads for the first client of a service: 0.2 s."""
    from dolambda.aws.account import Account  # noqa: PLC0415 - imported late, as the rest

    for account in (
        Account.emulated_at("http://127.0.0.1:1", "us-east-1", "none", "none"),
        Account.placeholder("000000000000", "us-east-1"),
    ):
        for service in ("iam", "lambda", "logs", "s3", "sts"):
            account.client(service)


def _serve(tests: socket.socket) -> Request | None:
    """Fork for each request; return it in the process that is to run it."""
    while True:
        message, received, _, _ = socket.recv_fds(tests, 1, 4)
        if not message:
            return None
        if os.fork() == 0:
            tests.close()
            return _keep(socket.socket(fileno=received[0]), received[1:])
        for descriptor in received:
            os.close(descriptor)


def _keep(caller: socket.socket, streams: list[int]) -> Request:
    """Fork the program; tell its caller how it ends. Return in the program alone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    with caller.makefile() as lines:
        request = Request(**json.loads(lines.readline()), streams=streams)
    program = os.fork()
    if program == 0:
        caller.close()
        return request
    for descriptor in streams:
        os.close(descriptor)
    try:
        caller.sendall(struct.pack("i", program))
        ended = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
        caller.sendall(struct.pack("i", ended))
    except OSError:  # the tests have ended
        os._exit(1)
    os._exit(0)


def _take_over(request: Request) -> None:
    """Make of this process what the interpreter makes of a new one."""
    for number, descriptor in enumerate(request.streams):
        os.dup2(descriptor, number)
    for descriptor in set(request.streams):
        os.close(descriptor)
    if request.new_session:
        os.setsid()
        if os.isatty(0):
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    if request.cwd is not None:
        os.chdir(request.cwd)
    os.environ.clear()
    os.environ.update(request.environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    tempfile.tempdir = None
    time.tzset()
    given, written, complained = (
        os.fdopen(number, mode, buffering, was.encoding, was.errors, closefd=False)
        for number, mode, buffering, was in (
            (0, "r", -1, sys.stdin),
            (1, "w", -1, sys.stdout),
            (2, "w", 1, sys.stderr),
        )
    )
    sys.stdin = sys.__stdin__ = given  # type: ignore[assignment, misc]
    sys.stdout = sys.__stdout__ = written  # type: ignore[assignment, misc]
    sys.stderr = sys.__stderr__ = complained  # type: ignore[assignment, misc]


def _run(arguments: list[str]) -> None:
    """Run a program as `python` with these arguments does."""
    sys.orig_argv = [sys.executable, *arguments]
    main = sys.modules["__main__"] = ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    importlib.invalidate_caches()
    if arguments[0] == "-c":
        sys.path[0], sys.argv = "", ["-c", *arguments[2:]]
        code = compile(arguments[1], "<string>", "exec", dont_inherit=True)
    elif arguments[0] == "-m":
        sys.path[0] = str(Path.cwd())
        code = _module(arguments[1], main)
        sys.argv = [str(main.__file__), *arguments[2:]]
    else:
        main.__file__ = os.path.abspath(arguments[0])  # noqa: PTH100 - follows no links
        sys.path[0], sys.argv = str(Path(arguments[0]).resolve().parent), list(arguments)
        code = compile(Path(arguments[0]).read_bytes(), main.__file__, "exec", dont_inherit=True)
    exec(code, main.__dict__)  # noqa: S102 - it is what this process is for


def _module(name: str, main: ModuleType) -> CodeType:
    """Return the code of a module, or of a package's `__main__`, and describe it in `main`."""
    spec = importlib.util.find_spec(name)
    if spec and spec.submodule_search_locations is not None:
        spec = importlib.util.find_spec(f"{name}.__main__")
    assert spec
    assert spec.loader
    code: CodeType = spec.loader.get_code(spec.name)  # type: ignore[attr-defined]
    main.__spec__, main.__file__, main.__loader__ = spec, spec.origin, spec.loader
    main.__package__ = spec.parent
    return code


if __name__ == "__main__":
    main()
