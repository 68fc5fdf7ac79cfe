"""The child's own side: it takes jobs from a pipe, runs their tasks, and writes their outcomes.

**Input:** frames with jobs, whose signature the worker has checked. **Output:** outcomes in shared
memory, and frames (child.py has the diagram).

The child ends when its worker does: it then reads an end of file, or on Linux the kernel ends it.
It ends by itself when a task has left it unfit for the next one. Only this process, and only this
module, writes to the pipe. A process that a task forks closes it, and ends where it would return to
this module.
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
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from dolambda.wire.job import Job
from dolambda.wire.signing_keys import VARIABLES
from dolambda.worker import frames, import_path
from dolambda.worker.blob_cache import BlobCache
from dolambda.worker.disk import Disk
from dolambda.worker.frames import Kind, Sending
from dolambda.worker.outcome_writer import RegionWriter
from dolambda.worker.process_state import ProcessState, seed_again
from dolambda.worker.run_job import SHORT_S, TaskRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dolambda.wire.blob import BlobSource
    from dolambda.worker.capture import Capture
    from dolambda.worker.frames import Frame
    from dolambda.worker.outcome_writer import Region
    from dolambda.worker.run_job import Measures

DEFECT, PIPE_GONE = 70, 71
"""Exit codes of a child in which dolambda's own code failed, and of one that has lost its pipe in
the middle of a job: its file descriptors were closed or replaced, or the worker has ended.
"""

_PR_SET_PDEATHSIG = 1
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "BLIS_NUM_THREADS",
)

# Taken at import: a task that replaces them in `os` harms only itself.
_getpid, _exit, _set_blocking = os.getpid, os._exit, os.set_blocking
_perf_counter = time.perf_counter


def serve(
    pipes: tuple[int, int],
    region: Region,
    source: Callable[[], BlobSource],
    room: int,
    capture: Capture,
    threads: int | None,
    env: Mapping[str, str],
) -> NoReturn:
    """Run as the child until the worker closes its end of the pipe."""
    code = DEFECT
    try:
        os.setsid()
        _die_with_parent()
        _leave_sockets()
        capture.take_over()
        _set_up(threads, env)
        _Server(pipes, region, BlobCache(source(), room, Disk()), capture).run()
        code = 0
    except BaseException as error:  # noqa: BLE001 - it must not return to the worker's code
        if isinstance(error, OSError) and error.errno == errno.EBADF:
            code = PIPE_GONE
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        _exit(code)


class _Server:
    """Server of one job after the other, and the surroundings that `TaskRunner` uses."""

    def __init__(
        self,
        pipes: tuple[int, int],
        region: Region,
        cache: BlobCache,
        capture: Capture,
    ) -> None:
        """Record the state of the process."""
        self._process = _getpid()
        self._reads, self._writes = pipes
        self._reader = frames.Reader(self._reads)
        self._writer = RegionWriter(region)
        self._cache = cache
        self._capture = capture
        self._state = ProcessState()
        self._runner = TaskRunner(cache, self)
        self._has_called = False  # users' functions
        self._run = ""
        self._log_level = logging.root.level
        self._frame: Frame | None = None  # of the current job
        self._indexes: Sequence[int] = ()
        self._base = 0  # outcomes of the job that have left the region
        self._last_put_back = 0.0
        self._stopped = False
        os.register_at_fork(after_in_child=self._leave_pipes)

    def run(self) -> None:
        """Run jobs until the pipe ends or this process must not be used again."""
        while (frame := self._read()) is not None:
            if frame.kind in (Kind.STOP, Kind.TAKEN):  # of a job that is already done
                continue
            job = Job.from_plain(frame.body)
            if Sending.of_job(job, frame.sending.nonce) != frame.sending:
                return
            if self._has_called and not self._is_fit_for(job.run):
                return
            if self._has_called and job.run != self._run:
                seed_again()
            self._run = job.run
            self._frame, self._indexes, self._base = frame, job.indexes(), 0
            self._stopped = False
            self._writer.begin(frame.sending.nonce)
            self._write(frames.pack(frame.sending, Kind.BEGUN))
            if not self._run_tasks(job, frame):
                return

    def _is_fit_for(self, run: str) -> bool:
        return self._is_fit() and (run == self._run or not self._state.is_changed())

    def _run_tasks(self, job: Job, frame: Frame) -> bool:
        """Run the tasks of a job. Return False if this process cannot run another job."""
        if self._log_level != job.context.log_level:
            # Set only once: a task may have changed it since.
            self._log_level = job.context.log_level
            logging.root.setLevel(self._log_level)
        if not self._runner.run(job, self._writer):
            return False
        self._put_back()
        calls = frames.calls_body(self._cache.calls())
        self._write(frames.pack(frame.sending, Kind.DONE, body=calls))
        return True

    # The methods of `Surroundings`.

    def is_stopped(self) -> bool:
        """See `Surroundings`."""
        poll = select.poll()
        poll.register(self._reads, select.POLLIN)
        if not self._stopped and poll.poll(0):
            frame = self._read()
            if frame is None:
                _exit(PIPE_GONE)
            self._stopped = frame.kind is Kind.STOP and frame.sending == self._sending
        return self._stopped

    def after_short_task(self, now: float, *, brief: bool) -> str:
        """See `Surroundings`.

        Changes that were not noticed are undone within `SHORT_S` of work.
        """
        if (
            now - self._last_put_back < SHORT_S
            and self._state.is_quiet()
            and self._capture.is_untouched(brief=brief)
        ):
            return ""
        return self.after_task()

    def after_task(self) -> str:
        """See `Surroundings`."""
        self._last_put_back = _perf_counter()
        self._put_back()
        return self._capture.take()

    def _put_back(self) -> None:
        self._end_if_forked()
        if self._state.has_threads():
            self._writer.note_restless()
        self._state.put_back()
        self._capture.put_back()

    def note_calls(self) -> None:
        """See `Surroundings`."""
        self._has_called = True

    def is_unfit_after(self, *, called: bool) -> bool:
        """See `Surroundings`.

        A function that does not load may load in a process without the effects of earlier tasks.
        That is tried once.
        """
        first_child = self._frame is not None and self._frame.kind is Kind.JOB
        blamable = first_child and self._has_called and not called
        return blamable or not self._is_fit()

    def _is_fit(self) -> bool:
        return self._state.is_fit() and self._cache.has_code()

    def overflow(self, kind: int, entry: bytes, measures: Measures) -> None:
        """See `Surroundings`.

        The worker empties the region. An outcome larger than the region is sent through the pipe.
        """
        if self._writer.count:
            self._base += self._writer.count
            calls = frames.calls_body(self._cache.calls())
            self._write(frames.pack(self._sending, Kind.FULL, body=calls))
            self._await_taken()
            if self._writer.add(kind, entry, *measures):
                return
        self._write_outcome(Kind.OUTCOME, kind, entry, measures)
        self._base += 1
        self._await_taken()

    def _await_taken(self) -> None:
        """Wait until the worker has copied the outcomes in the region."""
        while (frame := self._read()) is not None:
            if frame.sending != self._sending:
                continue
            self._stopped = self._stopped or frame.kind is Kind.STOP
            if frame.kind is Kind.TAKEN:
                self._writer.begin(self._sending.nonce)
                return
        _exit(PIPE_GONE)

    def end_with(self, kind: int, entry: bytes, measures: Measures) -> None:
        """See `Surroundings`."""
        self._write_outcome(Kind.LAST, kind, entry, measures)

    def _write_outcome(self, frame: Kind, kind: int, entry: bytes, measures: Measures) -> None:
        body = frames.outcome_body(kind, entry, tuple(measures), self._cache.calls())
        index = self._indexes[self._base + self._writer.count]
        self._write(frames.pack(self._sending, frame, index, body))

    @property
    def _sending(self) -> Sending:
        if self._frame is None:
            raise RuntimeError("no job is running")
        return self._frame.sending

    # The pipes.

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
                _set_blocking(self._writes, True)  # noqa: FBT003 - a task has changed that
        except BrokenPipeError:  # the worker has ended, or a task has closed or replaced the pipe
            _exit(PIPE_GONE)

    def _end_if_forked(self) -> None:
        if _getpid() != self._process:
            _exit(0)

    def _leave_pipes(self) -> None:
        """Close the pipes in a process that a task has forked.

        So it neither writes to them nor keeps them open.
        """
        for fd in {self._reads, self._writes} - {-1}:
            try:
                os.close(fd)
            except OSError:  # the task has closed it
                continue
        self._reads = self._writes = -1


def _set_up(threads: int | None, env: Mapping[str, str]) -> None:
    """Set up the process for tasks."""
    if threads:  # numpy and the like read it at their first import
        os.environ.update(dict.fromkeys(_THREADS, str(threads)))
    os.environ.update(env)
    for variable in VARIABLES:  # tasks have no use for keys, and might print their environment
        os.environ.pop(variable, None)
    # Lambda's client has installed a handler of its own.
    logging.basicConfig(format="%(levelname)s:%(name)s:%(message)s", force=True)
    import_path.export()
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _leave_sockets() -> None:
    """Replace the worker's connections by /dev/null.

    Data that a task writes to a wrong descriptor must not reach them. The numbers stay in use,
    because objects that the fork has copied would close them.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in sorted(int(path.name) for path in Path("/dev/fd").iterdir()):
        try:
            # The standard streams.
            if fd > 2 and stat.S_ISSOCK(os.fstat(fd).st_mode):  # noqa: PLR2004
                os.dup2(nothing, fd, inheritable=False)
        except OSError:  # the descriptor that listed them
            continue
    os.close(nothing)
