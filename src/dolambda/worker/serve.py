"""The child's own side: take jobs from a pipe, run their tasks, and write the outcome of each.

**Input:** frames with sealed jobs. **Output:** for each job BEGUN, then a frame for each task (child.py has the diagram).

The child ends when its worker does: it then reads an end of file, or on Linux the kernel ends it. It ends by itself when a
task has left it unfit for the next one. Only this process, and only this module, writes to the pipe: what a task forks
closes it, and ends where it would come back here.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import select
import signal
import stat
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from dolambda.wire.envelope import key_of
from dolambda.wire.signing_keys import VARIABLES
from dolambda.wire.task import Job
from dolambda.worker import frames, import_path
from dolambda.worker.disk import Disk
from dolambda.worker.frames import Kind, Sending
from dolambda.worker.process_state import ProcessState
from dolambda.worker.run_job import run_job
from dolambda.worker.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dolambda.wire.blob import BlobSource
    from dolambda.worker.capture import Capture
    from dolambda.worker.frames import Frame

DEFECT, PIPE_GONE = 70, 71
"""Exit codes of a child in which dolambda's own code failed, and of one whose file descriptors were closed."""

_PR_SET_PDEATHSIG = 1
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "BLIS_NUM_THREADS",
)

# Taken at import: a task that replaces them in `os` harms itself only.
_getpid, _exit, _set_blocking = os.getpid, os._exit, os.set_blocking


def serve(
    reads: int,
    writes: int,
    source: Callable[[], BlobSource],
    room: int,
    capture: Capture,
    keys: Sequence[bytes],
    threads: int | None,
    env: Mapping[str, str],
) -> NoReturn:
    """Live as the child until the worker closes its end of the pipe."""
    code = DEFECT
    try:
        os.setsid()
        _die_with_parent()
        _leave_sockets()
        capture.take_over()
        _set_up(threads, env)
        _Server(reads, writes, Shelf(source(), room, Disk()), capture, keys).run()
        code = 0
    except BaseException as error:  # noqa: BLE001 - never back into the worker's code; its output is shown with the task
        if isinstance(error, OSError) and error.errno == errno.EBADF:
            code = PIPE_GONE
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        _exit(code)


class _Server:
    """Runs one job after the other."""

    def __init__(
        self, reads: int, writes: int, shelf: Shelf, capture: Capture, keys: Sequence[bytes]
    ) -> None:
        """Take note of the process as it is now."""
        self._process = _getpid()
        self._reads, self._writes = reads, writes
        self._reader = frames.Reader(reads)
        self._shelf = shelf
        self._capture = capture
        self._keys = keys
        self._state = ProcessState()
        self._calls = 0  # of users' functions
        self._run = ""
        self._log_level = logging.root.level
        os.register_at_fork(after_in_child=self._leave_pipes)

    def run(self) -> None:
        """Return at the end of the pipe, or when this process is not to be used any more."""
        while (frame := self._read()) is not None:
            if frame.kind is Kind.STOP:  # of a job that was done meanwhile
                continue
            job = Job.from_bytes(frame.body, key_of(frame.body, self._keys))
            if Sending.of_job(job, frame.sending.nonce) != frame.sending:
                return
            if self._calls and not self._is_fit_for(job.run):
                return
            self._run = job.run
            self._write(frames.pack(frame.sending, Kind.BEGUN))
            if not self._run_tasks(job, frame):
                return

    def _is_fit_for(self, run: str) -> bool:
        return self._state.is_fit() and (run == self._run or not self._state.is_changed())

    def _run_tasks(self, job: Job, frame: Frame) -> bool:
        """Run the tasks of a job; return False if this process cannot run another."""
        if self._log_level != job.surroundings.log_level:
            # Set once only: a task may have chosen another since.
            self._log_level = job.surroundings.log_level
            logging.root.setLevel(self._log_level)
        before = self._calls
        for outcome in run_job(
            job,
            self._shelf,
            stopped=lambda: self._is_stopped(frame.sending),
            output=self._after_task,
            called=self._count_call,
        ):
            # A function that does not load may load in a process without what earlier tasks have left: that is tried once.
            blamable = frame.kind is Kind.JOB and before > 0 and self._calls == before
            last = outcome.kind == "failure" and (blamable or not self._state.is_fit())
            kind = Kind.LAST if last else Kind.OUTCOME
            body = frames.outcome_body(outcome, self._shelf.calls())
            self._write(frames.pack(frame.sending, kind, outcome.index, body))
            if last:
                return False
            before = self._calls
        return True

    def _after_task(self) -> str:
        """Put back what tasks share; return what was printed."""
        self._end_if_forked()
        self._state.put_back()
        self._capture.put_back()
        return self._capture.take()

    def _count_call(self) -> None:
        self._calls += 1

    def _is_stopped(self, sending: Sending) -> bool:
        poll = select.poll()
        poll.register(self._reads, select.POLLIN)
        if not poll.poll(0):
            return False
        frame = self._read()
        if frame is None:
            _exit(0)
        return frame.kind is Kind.STOP and frame.sending == sending

    def _read(self) -> Frame | None:
        try:
            while (frame := self._reader.next()) is None:
                _set_blocking(self._reads, True)  # noqa: FBT003 - a task has changed that
        except EOFError:
            return None
        return frame

    def _write(self, parts: frames.Parts) -> None:
        self._end_if_forked()
        try:
            while not frames.write(self._writes, parts):
                _set_blocking(self._writes, True)  # noqa: FBT003 - as above
        except BrokenPipeError:
            _exit(0)  # the worker has ended

    def _end_if_forked(self) -> None:
        if _getpid() != self._process:
            _exit(0)

    def _leave_pipes(self) -> None:
        """Close them in a process that a task has forked, so that it neither writes to them nor keeps them open."""
        for fd in {self._reads, self._writes} - {-1}:
            try:
                os.close(fd)
            except OSError:  # the task had closed it
                continue
        self._reads = self._writes = -1


def _set_up(threads: int | None, env: Mapping[str, str]) -> None:
    """Make the process what tasks find."""
    if threads:  # read when numpy and the like are first imported
        os.environ.update(dict.fromkeys(_THREADS, str(threads)))
    os.environ.update(env)
    for variable in VARIABLES:  # tasks have no use for keys, and might print their environment
        os.environ.pop(variable, None)
    # Lambda's client has put a handler of its own.
    logging.basicConfig(format="%(levelname)s:%(name)s:%(message)s", force=True)
    import_path.export()
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _leave_sockets() -> None:
    """Put nothing in the place of the worker's connections: what a task writes to a wrong descriptor must not reach them.

    The numbers stay taken, as objects that the fork has copied would close them.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in sorted(int(path.name) for path in Path("/dev/fd").iterdir()):
        try:
            if fd > 2 and stat.S_ISSOCK(os.fstat(fd).st_mode):  # noqa: PLR2004 - the standard streams
                os.dup2(nothing, fd, inheritable=False)
        except OSError:  # the one that listed them
            continue
    os.close(nothing)
