"""Check for a running process, on every system.

Windows has no `kill` that only asks: its `os.kill(pid, 0)` sends Ctrl-C.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_QUERY = 0x1000  # PROCESS_QUERY_LIMITED_INFORMATION
_STILL_ACTIVE = 259
_ACCESS_DENIED = 5


def is_running(pid: int) -> bool:
    """Return whether a process of that number runs, also if it is another user's."""
    if sys.platform == "win32":
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        return is_running_on_windows(pid, kernel, ctypes.get_last_error)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def is_running_on_windows(pid: int, kernel: Any, last_error: Callable[[], int]) -> bool:
    """Return the same from Windows' kernel32."""
    handle = kernel.OpenProcess(_QUERY, False, pid)  # noqa: FBT003 - Windows' own order
    if not handle:
        return last_error() == _ACCESS_DENIED
    try:
        code = ctypes.c_ulong()
        kernel.GetExitCodeProcess(handle, ctypes.byref(code))
        return code.value == _STILL_ACTIVE
    finally:
        kernel.CloseHandle(handle)
