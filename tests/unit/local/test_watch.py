"""Noticing that an emulated AWS has ended, and nothing else."""

from __future__ import annotations

import fcntl
import os
import resource
import threading
import time
from typing import TYPE_CHECKING

from dolambda.local.place import is_locked
from dolambda.local.watch import Watch

if TYPE_CHECKING:
    from pathlib import Path

SOON, EVERY = 20.0, 0.05


class Emulated:
    """Runs until it is told to end."""

    def __init__(self, looks: list[bool] | None = None) -> None:
        self.looks = looks or []
        self.runs = True
        self.asked = 0
        self.gone = threading.Event()

    def running(self) -> bool:
        self.asked += 1
        return self.looks.pop(0) if self.looks else self.runs

    def tell(self) -> None:
        self.gone.set()


def test_its_end_is_told_once() -> None:
    emulated = Emulated()
    Watch(emulated.running, emulated.tell, every=EVERY)
    assert not emulated.gone.wait(10 * EVERY)
    emulated.runs = False
    assert emulated.gone.wait(SOON)


def test_one_look_that_fails_is_no_end() -> None:
    emulated = Emulated([True, False, False, True, False, True])
    watch = Watch(emulated.running, emulated.tell, every=EVERY)
    deadline = time.monotonic() + SOON
    while emulated.asked < 7 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert emulated.asked >= 7
    assert not emulated.gone.is_set()
    watch.stop()


def test_it_keeps_nothing_alive() -> None:
    emulated = Emulated()
    Watch(emulated.running, emulated.tell, every=EVERY)
    del emulated
    deadline = time.monotonic() + SOON
    while _watching() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _watching()


def _watching() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "dolambda-emulator"]


def test_without_a_file_descriptor_left_a_lock_counts_as_held(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        opened = [os.open(path, os.O_RDONLY)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(opened) + 1, before[1]))
        try:
            while True:
                opened.append(os.open(path, os.O_RDONLY))
        except OSError:
            assert is_locked(path)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
            for descriptor in opened:
                os.close(descriptor)
    assert not is_locked(path)
