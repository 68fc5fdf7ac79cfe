"""Python programs that tests run as processes of their own, without waiting for their imports.

A server (`fork_server.py`) has imported dolambda, boto3 and joblib, and forks itself for each
program. This saves a second of a program's start, and nothing else: a program has its own process,
directory, environment, streams and `__main__`. The tests of a start itself, or of the modules that
are imported, run `sys.executable`. So does this module for a program with PYTHON... variables.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

_SERVER = Path(__file__).with_name("fork_server.py")
_START_WITHIN_S = 120
# Elsewhere, system libraries do not bear a fork without exec.
_FORKS = sys.platform == "linux"
_BECOME_FOREGROUND = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


class Program(Protocol):
    """A running program, which is one of `subprocess.Popen` where the server cannot fork."""

    stdout: IO[str] | None
    returncode: int | None

    @property
    def pid(self) -> int: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def send_signal(self, sig: int) -> None: ...

    def kill(self) -> None: ...


class _Forked:
    """A running program, as `subprocess.Popen` shows it."""

    def __init__(self, arguments: tuple[str, ...], control: socket.socket) -> None:
        self.args = (sys.executable, *arguments)
        self.returncode: int | None = None
        self.stdout: IO[str] | None = None
        self._control = control
        self.pid = self._number(_START_WITHIN_S)

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, negative if a signal ended it."""
        if self.returncode is None:
            self.returncode = self._number(timeout)
            self._control.close()
        return self.returncode

    def send_signal(self, sig: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)

    def _number(self, within: float | None) -> int:
        self._control.settimeout(within)
        try:
            received = self._control.recv(4, socket.MSG_WAITALL)
        except (TimeoutError, BlockingIOError):
            raise subprocess.TimeoutExpired(self.args, within or 0) from None
        if not received:
            raise RuntimeError(
                "the server of the tests' programs has ended: see its standard error"
            )
        number: int = struct.unpack("i", received)[0]
        return number


class _Server:
    """The process that forks, started with the first program."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ours: socket.socket | None = None

    def start(self, arguments: tuple[str, ...], streams: list[int], **request: object) -> _Forked:
        control, its = socket.socketpair()
        with its, self._lock:
            socket.send_fds(self._ours or self._started(), [b"."], [its.fileno(), *streams])
        control.sendall(json.dumps({"arguments": arguments, **request}).encode() + b"\n")
        return _Forked(arguments, control)

    def _started(self) -> socket.socket:
        # A library's threads do not survive a fork.
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        self._ours, its = socket.socketpair()
        with its:
            process = subprocess.Popen(
                [sys.executable, str(_SERVER), str(its.fileno())],
                pass_fds=[its.fileno()],
                env={k: v for k, v in environment.items() if not _is_of_interpreter(k)},
                stdin=subprocess.DEVNULL,
            )
        atexit.register(process.wait, _START_WITHIN_S)
        atexit.register(self._ours.close)
        return self._ours


def _is_of_interpreter(variable: str) -> bool:
    """Return whether the interpreter reads a variable at its start, and shows what it has read."""
    return variable.startswith("PYTHON") and variable != "PYTHONDONTWRITEBYTECODE"


_server = _Server()


def start(
    *arguments: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
    stderr: int | None = None,
    new_session: bool = False,
) -> Program:
    """Start `python` with these arguments: a file, `-m` and a module, or `-c` and a text.

    Args:
        arguments: What follows `python`.
        cwd: The directory that it runs in. Default: this one.
        env: Its whole environment. Default: this process's.
        stdin: A descriptor.
        stdout: A descriptor, or PIPE to read it. Default: this process's.
        stderr: A descriptor, or STDOUT. Default: this process's.
        new_session: Have it lead a session of its own, whose terminal is its `stdin`.
    """
    environment = dict(os.environ if env is None else env)
    if not _FORKS or any(map(_is_of_interpreter, environment)):
        lead = [sys.executable, "-c", _BECOME_FOREGROUND] if new_session else []
        return subprocess.Popen(
            [*lead, sys.executable, *arguments],
            cwd=cwd,
            env=environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            text=True,
            start_new_session=new_session,
        )
    opened = []
    read = None
    try:
        if stdin == subprocess.DEVNULL:
            opened.append(stdin := os.open(os.devnull, os.O_RDONLY))
        if stdout == subprocess.PIPE:
            read, stdout = os.pipe()
            opened.append(stdout)
        stdout = 1 if stdout is None else stdout
        stderr = 2 if stderr is None else stdout if stderr == subprocess.STDOUT else stderr
        program = _server.start(
            arguments,
            [stdin, stdout, stderr],
            cwd=str(cwd or Path.cwd()),
            environment=environment,
            new_session=new_session,
        )
    finally:
        for descriptor in opened:
            os.close(descriptor)
    if read is not None:
        program.stdout = os.fdopen(read)
    return program


def run(
    *arguments: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int | None = None,
    typed: str | None = None,
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run `python` with these arguments to its end, as `subprocess.run` does.

    Args:
        arguments: See `start`.
        cwd: See `start`.
        env: See `start`.
        stdin: A descriptor.
        stdout: A descriptor. Default: what it writes is returned.
        typed: What it reads.
        timeout: After how many seconds it is killed and `TimeoutExpired` raised.
    """
    with _file(typed or "") as given, _file() as written, _file() as complained:
        program = start(
            *arguments,
            cwd=cwd,
            env=env,
            stdin=given.fileno() if typed is not None else stdin,
            stdout=written.fileno() if stdout is None else stdout,
            stderr=complained.fileno(),
        )
        try:
            code = program.wait(timeout)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait(_START_WITHIN_S)
            raise subprocess.TimeoutExpired(
                (sys.executable, *arguments), timeout, _text(written), _text(complained)
            ) from None
        return subprocess.CompletedProcess(
            (sys.executable, *arguments), code, _text(written), _text(complained)
        )


def _file(content: str = "") -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    file.write(content.encode())
    file.seek(0)
    return file


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()
