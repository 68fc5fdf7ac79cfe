"""The child process in which tasks run, as the worker that supervises it sees it.

    worker                                   child (serve.py)
    job          --- JOB or REST ------->
                 <-- BEGUN --------------    it has received the job, and is fit to run it
                                             writes the outcome of each task to shared memory
                                             (`Region`)
                 <-- FULL ---------------    there is no room for more outcomes
    copies them  --- TAKEN ------------->
                 <-- OUTCOME ------------    one that is larger than the region
    takes it     --- TAKEN ------------->
                 <-- DONE ---------------    all tasks have an outcome; LAST when the child ends
                                             after one
    cancelled    --- STOP -------------->    leave out the tasks that have not begun
    SIGKILL      ---------------------->     a time limit has passed, or the data was no frame of
                                             this attempt

A task that exits, crashes or hangs ends only the child. The child leads a session and a process
group of its own: a signal that a task sends to its group reaches the child alone, and all processes
of the group end with it. Every read and write here has a deadline. A frame counts only if it names
the attempt that it belongs to (frames.py).

**Input:** opened jobs and their bytes. **Output:** packed outcomes, or how the child ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dolambda.worker import frames
from dolambda.worker.capture import Capture
from dolambda.worker.frames import FrameError, Kind, Sending
from dolambda.worker.outcome_writer import Region
from dolambda.worker.serve import DEFECT, PIPE_GONE, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from resource import struct_rusage

    from dolambda.wire.blob import BlobSource
    from dolambda.wire.job import Job
    from dolambda.wire.outcome_table import OutcomeTable
    from dolambda.worker.frames import Frame

_PAGE = os.sysconf("SC_PAGE_SIZE")
_MB = 1 << 20
_PIPE_BYTES = 1 << 20  # the most that Linux gives to any process
_POLL = 0.02  # seconds between two checks whether it has ended, if no descriptor reports it
_EXIT_WITHIN = 2.0  # seconds in which a child that has closed its pipe ends
_CANNOT_GO_ON = {
    DEFECT: "the task has changed something that dolambda needs: see the traceback in its output",
    PIPE_GONE: "the task has closed file descriptors that are not its own",
}


class ChildGoneError(Exception):
    """The child has ended, or has closed its pipe."""


@dataclass(frozen=True)
class End:
    """The end of a child.

    It has a description for the user, the largest MB of memory used, the last output, and the cause
    if it is known.
    """

    how: str
    peak: float
    output: str
    why: str = ""
    by_kill: bool = False


class Child:
    """A running child. `alive` until it was collected, `used` once it has run a task."""

    def __init__(
        self, pid: int, to_child: int, from_child: int, capture: Capture, region: Region
    ) -> None:
        """Use `Child.from_fork`."""
        self._pid = pid
        self._region = region
        self._to_child = to_child
        self._from_child = from_child
        self._capture = capture
        self._reader = frames.Reader(from_child)
        self._sending: Sending | None = None
        self._status: tuple[int, struct_rusage] | None = None
        self._pidfd = _open_pidfd(pid)
        self._calls: Counter[str] = Counter()
        self._parent_at_fork = _resident("self")[1]
        self.alive = True
        self.used = False
        os.set_blocking(to_child, False)
        os.set_blocking(from_child, False)

    @classmethod
    def from_fork(
        cls,
        source: Callable[[], BlobSource],
        room: int,
        threads: int | None,
        env: Mapping[str, str],
    ) -> Child:
        """Fork a child.

        ``source`` is called in the child, so that no connection is shared. `TaskContext` describes
        ``threads`` and ``env``.
        """
        capture, region = Capture(), Region()
        child_reads, to_child = os.pipe()
        from_child, child_writes = os.pipe()
        _enlarge(to_child)
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, ValueError, OSError):  # None, or closed
                stream.flush()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(to_child)
                os.close(from_child)
                pipes = (child_reads, child_writes)
                serve(pipes, region, source, room, capture, threads, env)
            finally:
                os._exit(DEFECT)
        os.close(child_reads)
        os.close(child_writes)
        return cls(pid, to_child, from_child, capture, region)

    def begin(self, job: Job, until: float, *, rest: bool) -> bool:
        """Send a job.

        Args:
            job: The job.
            until: When the child must have begun it.
            rest: True if another child had the job before.

        Returns:
            Whether the child has begun the job in time.

        Raises:
            ChildGoneError: The child has ended. It must be replaced, and has run no task of the
                job.
            FrameError: The child wrote something else. The same holds.
        """
        self._sending = Sending.of_job(job)
        self._region.reset(b"")  # no outcome counts before the child has begun
        parts = frames.pack(self._sending, Kind.REST if rest else Kind.JOB, body=job.to_plain())
        try:
            while not frames.write(self._to_child, parts):
                if self._has_ended():  # while a process that a task started holds the pipe
                    raise ChildGoneError
                if now() >= until:
                    return False
                self._wait(until, self._to_child, select.POLLOUT)
        except BrokenPipeError:
            raise ChildGoneError from None
        while (frame := self._next()) is None:
            if now() >= until:
                return False
            self._wait(until, self._from_child)
        if frame.kind is not Kind.BEGUN:
            raise FrameError("an outcome before its job has begun")
        return True

    def wait(self, seconds: float) -> Frame | None:
        """Return the next frame, or None if none arrives within that time.

        Raises:
            ChildGoneError: The child has ended.
            FrameError: The data is not a frame of this attempt.
        """
        frame = self._next()
        if frame is None:
            self._wait(now() + seconds, self._from_child)
            frame = self._next()
        return frame

    def committed(self) -> int:
        """Return the number of outcomes in the region."""
        return int(self._region.committed[0])

    def is_restless(self) -> bool:
        """Return whether tasks that are done have left threads in it."""
        return bool(self._region.restless[0])

    def take_outcomes(self, indexes: Sequence[int]) -> OutcomeTable:
        """Return the outcomes in the region, and remove them from it.

        They are those of the first of the tasks with these indexes.
        """
        nonce = self._sending.nonce if self._sending else b""
        table = self._region.table(nonce, indexes)
        self._region.committed[0] = 0
        self.used = self.used or bool(len(table))
        return table

    def take(self, frame: Frame) -> OutcomeTable:
        """Return the outcome in a frame, and count the requests that the frame names."""
        table, calls = frames.open_outcome(frame)
        self._calls.update(calls)
        self.used = True
        return table

    def count_calls(self, frame: Frame) -> None:
        """Count the requests that a frame names."""
        self._calls.update(frames.open_calls(frame))

    def continue_writing(self) -> None:
        """Inform the child that the region is empty."""
        if self._sending:
            with contextlib.suppress(BrokenPipeError):  # it has ended: `wait` finds that
                frames.write(self._to_child, frames.pack(self._sending, Kind.TAKEN))

    def is_ending(self) -> bool:
        """Return whether the child has ended or is about to.

        Between two jobs it writes nothing, so readable data is an end of file or garbage.
        """
        return _is_readable(self._from_child) or self._has_ended()

    def take_calls(self) -> Counter[str]:
        """Return the requests that the child has made since the last call of this method."""
        calls, self._calls = self._calls, Counter()
        return calls

    def stop_before_next(self) -> None:
        """Ask the child to leave out the tasks that it has not begun."""
        if self._sending:
            # If the pipe is full or the child has ended, the message is not needed: the child is
            # killed at the next check.
            with contextlib.suppress(BrokenPipeError):
                frames.write(self._to_child, frames.pack(self._sending, Kind.STOP))

    def peek_output(self, start: int, most: int) -> bytes:
        """Return up to ``most`` bytes, from ``start``, of the current task's output so far."""
        return self._capture.peek(start, most)

    def memory(self) -> float:
        """Return the MB that the environment has in memory now, 0 if the system does not report it.

        It is the memory of the child, shared memory included, and what this process has taken since
        the fork: while a large result is read, both hold it.
        """
        child, _ = _resident(str(self._pid))
        grown = _resident("self")[1] - self._parent_at_fork
        return child + max(0.0, grown) if child else 0.0

    def end(self, *, kill: bool) -> End:
        """Collect the child, and end its process group.

        Do so at once with ``kill``, otherwise after the child had time to end by itself.
        """
        if not kill:
            until = now() + _EXIT_WITHIN
            while not self._has_ended() and now() < until:
                self._wait(until)
        gone = kill or self._has_ended()
        # macOS refuses to signal zombies.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)
        if self._status is None:
            os.kill(self._pid, signal.SIGKILL)  # it may not lead its group yet
            self._status = os.wait4(self._pid, 0)[1:]
        status, usage = self._status
        code = os.waitstatus_to_exitcode(status)
        output = self._capture.take()
        self._capture.close()
        for fd in (self._to_child, self._from_child, self._pidfd):
            if fd is not None:
                os.close(fd)
        self.alive = False
        # getrusage(2): bytes on macOS, KB elsewhere
        peak = usage.ru_maxrss / (_MB if sys.platform == "darwin" else 1024)
        why = _CANNOT_GO_ON.get(code if gone else PIPE_GONE, "")
        return End(_told(code), peak, output, why, by_kill=code == -signal.SIGKILL)

    def _next(self) -> Frame | None:
        """Return the next complete frame.

        After the child's end, return what it had written before.
        """
        ended = self._has_ended()
        try:
            frame = self._reader.next(self._sending)
        except EOFError:
            raise ChildGoneError from None
        if frame is None and ended:
            # Without an end of file: a process that a task started holds the pipe.
            raise ChildGoneError
        return frame

    def _wait(self, until: float, fd: int | None = None, events: int = select.POLLIN) -> None:
        """Wait until the descriptor has ``events``, the child ends, or the time has come."""
        poll = select.poll()
        if fd is not None:
            poll.register(fd, events)
        seconds = max(0.0, until - now())
        if self._pidfd is None:
            seconds = min(seconds, _POLL)
        else:
            poll.register(self._pidfd, select.POLLIN)
        poll.poll(seconds * 1000)

    def _has_ended(self) -> bool:
        """Return whether the process has ended, even if others hold its pipe."""
        if self._pidfd is not None:
            return _is_readable(self._pidfd)
        if self._status is None:
            pid, status, usage = os.wait4(self._pid, os.WNOHANG)
            if pid:
                self._status = status, usage
        return self._status is not None


def _enlarge(pipe: int) -> None:
    """Let a pipe hold a whole job, if the system can: writing one takes a turn for each 64 KB."""
    with contextlib.suppress(AttributeError, OSError):  # not Linux, or too many large ones
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _resident(pid: str) -> tuple[float, float]:
    """Return a process's MB in memory and how many of them are not shared, 0 if unknown."""
    try:
        _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_bytes().split())
    except (OSError, ValueError):  # not Linux, or it has just ended
        return 0.0, 0.0
    return resident * _PAGE / _MB, (resident - shared) * _PAGE / _MB


def _open_pidfd(pid: int) -> int | None:
    """Return a descriptor that becomes readable when the process ends.

    Return None if the system has no such descriptors.
    """
    try:
        return os.pidfd_open(pid)
    except (AttributeError, OSError):  # not Linux, or an old or restricted one
        return None


def _is_readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def _told(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:  # a real-time signal has no name
        return f"signal {-code}"


def now() -> float:
    """Return seconds on a clock that no one sets."""
    return time.monotonic()
