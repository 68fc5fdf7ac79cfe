"""One warm R process for each worker's child.

**Input:** shared data and a task's arguments, serialized by R. **Output:** the result, serialized
by R, or an error about the end of R.

    child (Python)                          R (worker.R)
      kind, length, bytes   --- pipe --->   a part, a function, a task
      failed, length, bytes <-- pipe ---    one reply to each task

The output of R goes where that of the child goes, so it is captured with it. R ends with the child:
the kernel or the end of the pipe ensures it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dolambda.errors import DolambdaError, OutOfMemoryError, WorkerCrashedError
from dolambda.r.find_r import find_r

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dolambda.r.function import Part

_SCRIPT = Path(__file__).with_name("worker.R")
_HEADER = struct.Struct(">dd")
_ANSWER = struct.Struct(">dd")
_PART, _FUNCTION, _TASK = 1, 2, 3
_READY_WITHIN_S = 60.0
_END_WITHIN_S = 5.0
_POLL_S = 0.05
_SMALL = 64 * 1024
_PR_SET_PDEATHSIG = 1
_MB = 1 << 20
_SPARE = 24.0  # MB of the worker's memory that tasks cannot use, as in worker.py
_PAGE = os.sysconf("SC_PAGE_SIZE")


class RTaskError(DolambdaError):
    """A task raised an error in R. ``data`` is the form in which its R session sees it."""

    def __init__(self, data: bytes | bytearray) -> None:
        """Create the error. ``data`` is serialized by R."""
        super().__init__("the task raised an error in R")
        self.data = data

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the arguments for pickling."""
        return RTaskError, (self.data,)


class REnded(Exception):  # noqa: N818 - it is caught and explained
    """The R process has ended, or was ended because of its memory use."""


class RProcess:
    """An R process that serves one R session."""

    def __init__(self, session: str, home: str) -> None:
        """Start R.

        Raises:
            ConfigurationError: There is no R.
            REnded: R did not start.
        """
        self.session = session
        self._limit = _memory_limit()
        self._current: tuple[str, ...] = ()
        self._known: set[str] = set()
        self.used = False
        self.out_of_memory: float | None = None
        command = find_r(home, os.environ)
        theirs_in, self._to_r = os.pipe()
        self._from_r, theirs_out = os.pipe()
        where = Path("/proc/self/fd") if Path("/proc/self/fd").is_dir() else Path("/dev/fd")
        self._process = subprocess.Popen(
            [*command.arguments, f"--file={_SCRIPT}"],
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs_in, theirs_out),
            env={
                **command.environment,
                "DOLAMBDA_R_IN": str(where / str(theirs_in)),
                "DOLAMBDA_R_OUT": str(where / str(theirs_out)),
            },
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - the child of the worker has one thread
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._await_answer(time.monotonic() + _READY_WITHIN_S)

    def run(self, parts: Sequence[Part], payload: bytes) -> bytes | bytearray:
        """Run a task. Raises `REnded`."""
        wanted = tuple(part.digest for part in parts)
        if wanted != self._current:
            for part in parts:
                if part.digest not in self._known:
                    self._write(_PART, part.digest.encode(), part.data)
            self._write(_FUNCTION, "".join(wanted).encode())
            self._current = wanted
            self._known = set(wanted)  # R forgets the parts that the function does not use
        self._write(_TASK, payload)
        answer = self._await_answer()
        self.used = True
        return answer

    def end(self) -> str:
        """End R if it still runs. Return how it ended."""
        with contextlib.suppress(OSError):
            os.close(self._to_r)
        try:
            self._process.wait(0 if self.out_of_memory else _END_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
        code = self._process.wait()
        os.close(self._from_r)
        return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"

    def _write(self, kind: int, *pieces: bytes | bytearray | memoryview) -> None:
        head = _HEADER.pack(kind, float(sum(map(len, pieces))))
        small = sum(map(len, pieces)) < _SMALL  # so that R wakes up once
        try:
            for piece in [b"".join((head, *pieces))] if small else [head, *pieces]:
                view = memoryview(piece)
                while view:
                    view = view[os.write(self._to_r, view) :]
        except BrokenPipeError:
            raise REnded from None

    def _await_answer(self, deadline: float | None = None) -> bytes | bytearray:
        """Read a reply.

        The worker enforces a task's time limit: it ends this process, and R with it.
        """
        first = b""
        while len(first) < _ANSWER.size:
            first += self._read_some(deadline)
        failed, length = _ANSWER.unpack_from(first)
        data: bytes | bytearray = first[_ANSWER.size :]
        if len(data) < length:
            data = self._read_rest(data, int(length), deadline)
        if failed:
            self.used = True
            raise RTaskError(data)
        return data

    def _read_rest(
        self, begun: bytes | bytearray, length: int, deadline: float | None
    ) -> bytearray:
        """Read the rest of a reply into its place, so that a large one is in memory once."""
        data = bytearray(length)
        data[: len(begun)] = begun
        at = len(begun)
        with memoryview(data) as view:
            while at < length:
                self._await_bytes(deadline)
                count = os.readv(self._from_r, [view[at : at + _MB]])
                if not count:
                    raise REnded
                at += count
        return data

    def _read_some(self, deadline: float | None) -> bytes:
        self._await_bytes(deadline)
        piece = os.read(self._from_r, _MB)
        if not piece:
            raise REnded
        return piece

    def _await_bytes(self, deadline: float | None) -> None:
        while not select.select([self._from_r], [], [], _POLL_S)[0]:
            # A process that R started may hold the pipe open after R's end.
            ended = self._process.poll() is not None
            if ended and not select.select([self._from_r], [], [], 0)[0]:
                raise REnded
            if (
                self._limit
                and (used := _resident("self") + _resident(self._process.pid)) > self._limit
            ):
                self.out_of_memory = used
                self._process.kill()
                raise REnded
            if deadline and time.monotonic() > deadline:
                raise REnded


_process: RProcess | None = None


def run_in_r(session: str, home: str, parts: Sequence[Part], payload: bytes) -> bytes | bytearray:
    """Run a task in this process's R, in one that has served no other R session.

    Raises:
        RTaskError: The task raised an error.
        WorkerCrashedError: R ended during the task.
        OutOfMemoryError: R ended because of its memory use.
    """
    process = _ready_process(session, home)
    try:
        return process.run(parts, payload)
    except REnded:
        blameless = process.out_of_memory is not None and process.used
        error = _explained(process)
    if not blameless:
        raise error
    # Earlier tasks may have left some of the memory: start another R.
    process = _ready_process(session, home)
    try:
        return process.run(parts, payload)
    except REnded:
        raise _explained(process) from None


def _ready_process(session: str, home: str) -> RProcess:
    global _process  # noqa: PLW0603 - a worker's child has one R
    if _process and (_process.session != session or _has_ended(_process)):
        _process.end()
        _process = None
    if _process is None:
        _process = RProcess(session, home)
    return _process


def _has_ended(process: RProcess) -> bool:
    return process._process.poll() is not None  # noqa: SLF001 - of the same module


def _explained(process: RProcess) -> WorkerCrashedError:
    """End the rest of the process, and return the error that explains it."""
    global _process
    how, _process = process.end(), None
    if process.out_of_memory:
        return OutOfMemoryError(
            f"R ran out of memory: it had used {process.out_of_memory:,.0f} of the worker's"
            f" {process._limit + _SPARE:,.0f} MB when it needed more",  # noqa: SLF001 - same module
            hint="Deploy the stack with more memory (`dolambda deploy --memory`), or split the "
            "task.",
        )
    return WorkerCrashedError(
        f"R ended during the task: {how}",
        hint="Check whether the task calls quit(), or crashes in compiled code.",
    )


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _memory_limit() -> float:
    """Return the MB that the task may use, 0 if unknown."""
    memory = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
    return float(memory) - _SPARE if memory else 0.0


def _resident(pid: int | str) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE / _MB
    except (OSError, IndexError):  # not Linux, or it has just ended
        return 0.0
