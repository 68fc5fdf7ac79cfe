"""A worker's sandbox, as on Lambda: its access to files, its memory and its CPU.

**Input:** a function's code and layers, and the process that its worker runs in. **Output:** the
command that starts the worker confined by bubblewrap, and a context in which it runs, frozen
outside of it.

    as on Lambda    another user, everything read-only but /tmp, code at /var/task, layers at /opt,
                    no /dev/shm, 1,024 descriptors, stopped between invocations
    approximated    memory: all processes together are killed when they exceed it, checked every
                    50 ms. CPU: memory/1,769 of a core, by stopping processes that had more
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUNTIME = "/var/runtime"
"""Directory of the workers' Python, with Lambda's own client."""

TASK, LAYERS = "/var/task", "/opt"
_USER, _GROUP = 993, 990  # Lambda's sbx_user1051
_DESCRIPTORS = 1024
_DEVICES = ("null", "zero", "full", "random", "urandom")
_LINKED = ("/bin", "/sbin", "/lib", "/lib32", "/lib64")
_MB_PER_CPU = 1769
_PERIOD_S, _PERIOD_OF_MEMORY_S = 0.02, 0.05
_FREEZE_ROUNDS = 5


def python() -> str:
    """Return the path of the workers' Python inside the sandbox."""
    return f"{RUNTIME}/bin/{Path(sys.executable).name}"


def script(command: str, layers: Path, storage_mb: int, bundle: Path | None) -> str:
    """Return lines of a shell script that run a command in the sandbox.

    The script runs where the function's code is. ``bundle`` is a link to a bundle, put into the
    worker's /tmp. The shell stays the parent: bubblewrap ends with the thread that started it, and
    a shell has only one.
    """
    parts = _arguments(layers, storage_mb)
    if bundle is not None:
        # The sandbox has its own /tmp.
        parts += ["--symlink", os.fspath(bundle.readlink()), f"/tmp/{bundle.name}"]  # noqa: S108
    arguments = " ".join(map(shlex.quote, parts))
    return (
        f"ulimit -n {_DESCRIPTORS}\nunset HOME TMPDIR\nexport LAMBDA_TASK_ROOT={TASK}\n"
        f'bwrap {arguments} --ro-bind "$PWD" {TASK} --remount-ro / --chdir {TASK} {command}\n'
        "exit $?\n"
    )


def _arguments(layers: Path, storage_mb: int) -> list[str]:
    user = ["--unshare-user", "--uid", str(_USER), "--gid", str(_GROUP)]
    processes = ["--unshare-pid", "--unshare-ipc", "--die-with-parent", "--proc", "/proc"]
    # The /tmp of the worker alone.
    temporary = ["--size", str(storage_mb << 20), "--tmpfs", "/tmp"]  # noqa: S108
    found = [*user, *processes, *temporary]
    cache = os.environ.get("DOLAMBDA_LOCAL_CACHE", "")  # layers can contain links into it
    for place in ("/usr", "/etc", sys.base_prefix, cache):
        if place and not place.startswith("/usr/"):
            found += ["--ro-bind-try", place, place]
    for linked in map(Path, _LINKED):
        if linked.is_symlink():
            found += ["--symlink", os.fspath(linked.readlink()), str(linked)]
        elif linked.is_dir():
            found += ["--ro-bind", str(linked), str(linked)]
    found += ["--ro-bind", sys.prefix, RUNTIME, "--ro-bind", str(layers), LAYERS]
    found += ["--tmpfs", "/dev"]
    for device in _DEVICES:
        found += ["--dev-bind", f"/dev/{device}", f"/dev/{device}"]
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        found += ["--symlink", f"/proc/self/fd/{number}", f"/dev/{name}"]
    return [*found, "--symlink", "/proc/self/fd", "/dev/fd", "--remount-ro", "/dev"]


class Confined:
    """The processes of a worker, which run only during an invocation.

    They have the function's memory and share of CPU.
    """

    def __init__(self, root: Callable[[], int | None], memory_mb: int, *, limit_cpu: bool) -> None:
        """Prepare the limits.

        Args:
            root: Returns the id of the shell that started them, or None if there is none.
            memory_mb: Memory of all together.
            limit_cpu: True to limit the CPU too.
        """
        self._root = root
        self._memory = memory_mb << 20
        self._cpus = memory_mb / _MB_PER_CPU if limit_cpu else None
        self.killed = False

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Let the processes run during an invocation."""
        self.killed = False
        ended = threading.Event()
        watching = threading.Thread(target=self._watch, args=(ended,), daemon=True)
        self._signal(signal.SIGCONT)
        watching.start()
        try:
            yield
        finally:
            ended.set()
            watching.join()
            self._freeze()

    def _watch(self, ended: threading.Event) -> None:
        """Limit memory and CPU until the invocation ends."""
        begun, memory_at = time.monotonic(), 0.0
        before = sum(map(_cpu_seconds, self._processes()))
        pause = _PERIOD_S if self._cpus else _PERIOD_OF_MEMORY_S
        while not ended.wait(pause):
            now = time.monotonic()
            if now >= memory_at:
                memory_at = now + _PERIOD_OF_MEMORY_S
                self._check_memory()
            if self._cpus is None:
                continue
            used = sum(map(_cpu_seconds, self._processes()))
            # Processes have just started, or some have ended.
            if not before or used < before:
                begun, before = now, used
            ahead = (used - before) / self._cpus - (now - begun)
            if ahead > 0:
                self._signal(signal.SIGSTOP)
                ended.wait(ahead)
                self._signal(signal.SIGCONT)
            elif ahead < -_PERIOD_S:  # unused time is not saved
                begun, before = now, used

    def _check_memory(self) -> None:
        if sum(map(_memory_bytes, self._processes())) <= self._memory:
            return
        root = self._root()
        if root is not None:
            self.killed = True
            with contextlib.suppress(ProcessLookupError):
                os.kill(root, signal.SIGKILL)  # the kernel kills all that it has started

    def _freeze(self) -> None:
        """Stop the processes. One that has just forked may have a child that was not seen."""
        seen: list[int] = []
        for _ in range(_FREEZE_ROUNDS):
            found = self._processes()
            if found == seen:
                return
            self._signal(signal.SIGSTOP)
            seen = found

    def _signal(self, number: int) -> None:
        for process in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)

    def _processes(self) -> list[int]:
        """Return all processes below the shell."""
        root = self._root()
        found: list[int] = []
        ahead = [] if root is None else [root]
        while ahead:
            children = _children(ahead.pop())
            found += children
            ahead += children
        return found


def _children(process: int) -> list[int]:
    found: list[int] = []
    for listed in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, listed.read_text(encoding="ascii").split())
    return found


def _memory_bytes(process: int) -> int:
    """Return a process's memory, with its part of shared memory."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return 0


def _cpu_seconds(process: int) -> float:
    total = 0
    for thread in Path(f"/proc/{process}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            total += int(thread.read_text(encoding="ascii").split()[0])
    return total / 1e9
