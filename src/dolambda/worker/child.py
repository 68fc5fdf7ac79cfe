"""The child process in which tasks run, so that one that exits, crashes or hangs takes only the child with it.

    parent (Worker)                       child
    job bytes    --- length, bytes --->   run_job
                 <-- length, reply ----   one reply of one outcome after each task
    SIGUSR1      ---------------------->  stop before the next task
    SIGKILL      ---------------------->  (deadline passed)

Both sides of the fork stand in this file. The child leaves when its parent does: it then reads an end of file, or on
Linux is told by the kernel. On entry: sealed jobs, already checked. On leaving: packed outcomes, or how the child ended.
"""

from __future__ import annotations

import ctypes
import logging
import os
import select
import signal
import struct
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dolambda.wire.envelope import key_of
from dolambda.wire.outcome import Reply, Usage
from dolambda.wire.signing_keys import VARIABLES
from dolambda.wire.task import Job
from dolambda.worker import import_path
from dolambda.worker.capture import Capture
from dolambda.worker.disk import Disk
from dolambda.worker.run_job import run_job
from dolambda.worker.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from dolambda.wire.blob import BlobSource
    from dolambda.wire.outcome import PackedOutcome

_LENGTH = struct.Struct(">Q")
_PR_SET_PDEATHSIG = 1
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MB = 1 << 20
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "BLIS_NUM_THREADS",
)


@dataclass(frozen=True)
class End:
    """How a child ended, for a person; the most memory it had in MB; what it printed last."""

    how: str
    peak: float
    output: str
    by_kill: bool = False


class Child:
    """A running child, seen from its parent. `alive` until it has been seen to end or was killed; `used` once it has run a task."""

    def __init__(self, pid: int, to_child: int, from_child: int, capture: Capture) -> None:
        """Use `Child.from_fork`."""
        self._pid = pid
        self._to_child = to_child
        self._from_child = from_child
        self._capture = capture
        self._key = b""
        self.alive = True
        self.used = False
        self._calls: Counter[str] = Counter()

    @classmethod
    def from_fork(
        cls, source: Callable[[], BlobSource], keys: Sequence[bytes], room: int, threads: int | None
    ) -> Child:
        """Fork. ``source`` is called in the child, so that no connection is shared; for ``threads`` see `Surroundings`."""
        capture = Capture()
        child_reads, to_child = os.pipe()
        from_child, child_writes = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(to_child)
                os.close(from_child)
                if threads:
                    os.environ.update(
                        dict.fromkeys(_THREADS, str(threads))
                    )  # read when numpy and the like are first imported
                _serve(child_reads, child_writes, Shelf(source(), room, Disk()), capture, keys)
            finally:
                os._exit(
                    70
                )  # only reached by a defect of ours: an exit code of its own, never back into the parent's code
        os.close(child_reads)
        os.close(child_writes)
        return cls(pid, to_child, from_child, capture)

    def send(self, sealed: bytes, key: bytes) -> None:
        """Give the child a job, and know which key signs it and what comes back."""
        self._key = key
        _write(self._to_child, sealed)

    def wait(self, seconds: float) -> list[PackedOutcome] | None:
        """Give what comes within that time: outcomes, none, or None once the child has ended."""
        if not select.select([self._from_child], [], [], max(0.0, seconds))[0]:
            return []
        frame = _read(self._from_child)
        if frame is None:
            return None
        reply = Reply.from_bytes(frame, self._key)
        self.used = True
        self._calls.update(reply.usage.calls)
        return list(reply.outcomes)

    def is_ending(self) -> bool:
        """Whether it has ended, or is about to, between two jobs: then it says nothing, so what can be read is the end of its pipe."""
        return bool(select.select([self._from_child], [], [], 0)[0])

    def take_calls(self) -> Counter[str]:
        """Requests that the child has made since this was last asked."""
        calls, self._calls = self._calls, Counter()
        return calls

    def stop_before_next(self) -> None:
        """Ask it to leave out the tasks it has not begun."""
        os.kill(self._pid, signal.SIGUSR1)

    def memory(self) -> float:
        """MB that it has in memory now; 0 where the system does not tell."""
        try:
            return int(Path(f"/proc/{self._pid}/statm").read_bytes().split()[1]) * _PAGE / _MB
        except (OSError, IndexError):  # not Linux, or it has just ended
            return 0.0

    def end(self, *, kill: bool) -> End:
        """Collect the ended child, or kill it first."""
        if kill:
            os.kill(self._pid, signal.SIGKILL)
        os.close(self._to_child)
        _, status, usage = os.wait4(self._pid, 0)
        code = os.waitstatus_to_exitcode(status)
        output = self._capture.take()
        self._capture.close()
        os.close(self._from_child)
        self.alive = False
        peak = usage.ru_maxrss / (
            _MB if sys.platform == "darwin" else 1024
        )  # getrusage(2): bytes there, KB here
        how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        return End(how, peak, output, by_kill=code == -signal.SIGKILL)


def _serve(reads: int, writes: int, shelf: Shelf, capture: Capture, keys: Sequence[bytes]) -> None:
    """Live as the child: jobs in, one frame out after each task, until the parent closes its end."""
    _die_with_parent()
    capture.take_over()
    for variable in VARIABLES:
        os.environ.pop(
            variable, None
        )  # tasks have no use for keys, and might print their environment
    logging.basicConfig(
        format="%(levelname)s:%(name)s:%(message)s", force=True
    )  # Lambda's client has put a handler of its own
    import_path.export()
    level = logging.root.level
    stop = Stop()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    while (sealed := _read(reads)) is not None:
        key = key_of(sealed, keys)
        job = Job.from_bytes(sealed, key)
        stop.asked = False
        if (
            level != job.surroundings.log_level
        ):  # set once only: a task may have chosen another since
            level = job.surroundings.log_level
            logging.root.setLevel(level)
        for outcome in run_job(job, shelf, stopped=stop, output=capture.take):
            usage = Usage(calls=shelf.calls())
            _write(writes, Reply(job.run, job.number, job.attempt, (outcome,), usage).to_bytes(key))
    os._exit(0)


class Stop:
    """Whether SIGUSR1 has come."""

    def __init__(self) -> None:
        """Listen for it."""
        self.asked = False
        signal.signal(signal.SIGUSR1, self._ask)

    def __call__(self) -> bool:
        """Tell."""
        return self.asked

    def _ask(self, _signal: int, _frame: FrameType | None) -> None:
        self.asked = True


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _write(fd: int, data: bytes) -> None:
    for part in (_LENGTH.pack(len(data)), data):
        view = memoryview(part)
        while view:
            view = view[os.write(fd, view) :]


def _read(fd: int) -> bytes | None:
    head = _read_exactly(fd, _LENGTH.size)
    return None if head is None else _read_exactly(fd, _LENGTH.unpack(head)[0])


def _read_exactly(fd: int, size: int) -> bytes | None:
    parts = []
    while size:
        part = os.read(fd, min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def now() -> float:
    """Seconds on a clock that no one sets."""
    return time.monotonic()
