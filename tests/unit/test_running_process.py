"""Asking for a process, by the system at hand and by a stand-in for Windows' kernel32."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from dolambda.running_process import is_running, is_running_on_windows


class _Kernel32:
    """Three functions of Windows, with the processes that it knows and their exit codes."""

    def __init__(self, codes: dict[int, int]) -> None:
        self.codes = codes
        self.open: list[int] = []

    def OpenProcess(self, access: int, inherit: bool, pid: int) -> int:  # noqa: N802 - Windows
        assert access == 0x1000
        assert not inherit
        if pid in self.codes:
            self.open.append(pid)
            return pid
        return 0

    def GetExitCodeProcess(self, handle: int, code: object) -> int:  # noqa: N802
        code._obj.value = self.codes[handle]  # type: ignore[attr-defined]
        return 1

    def CloseHandle(self, handle: int) -> int:  # noqa: N802
        self.open.remove(handle)
        return 1


def test_a_process_runs_until_it_has_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert is_running(process.pid)
        assert process.stdin
        process.stdin.close()
        process.wait(60)
    assert not is_running(process.pid)
    assert is_running(os.getpid())


@pytest.mark.parametrize(
    ("pid", "error", "running"),
    [(1, 0, True), (2, 0, False), (3, 87, False), (3, 5, True)],
    ids=["it runs", "it has ended", "there is none", "it is another user's"],
)
def test_windows_is_asked_without_a_signal(pid: int, error: int, running: bool) -> None:
    kernel = _Kernel32({1: 259, 2: 0})
    assert is_running_on_windows(pid, kernel, lambda: error) is running
    assert kernel.open == []
