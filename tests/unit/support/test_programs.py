"""A program that the tests' server forks is as one that the interpreter starts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from support import programs
from support.terminal import on_terminal

if TYPE_CHECKING:
    from pathlib import Path

SEEN = """
import json, os, pickle, signal, sys, tempfile
def function(): pass
class Kind: pass
json.dump({
    "name": __name__, "file": globals().get("__file__"), "package": __package__,
    "argv": sys.argv, "path": sys.path, "cwd": os.getcwd(), "environ": dict(os.environ),
    "module": Kind.__module__, "pickled": pickle.loads(pickle.dumps(function)) is function,
    "main": sys.modules["__main__"].Kind is Kind, "tmp": tempfile.gettempdir(),
    "read": sys.stdin.read(), "descriptors": sorted(os.listdir("/dev/fd"))[:3],
    "streams": [[s.encoding, s.errors, s.line_buffering] for s in
                (sys.stdin, sys.stdout, sys.stderr)],
    "signals": [str(signal.getsignal(number)) for number in
                (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)],
}, sys.stdout)
sys.exit(3)
"""


def real(*arguments: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=env,
        input="read",
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("way", [["seen.py"], ["-m", "package"], ["-m", "seen"], ["-c", SEEN]])
def test_it_sees_what_a_new_interpreter_sees(tmp_path: Path, way: list[str]) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    for file in ("seen.py", "package/__main__.py"):
        (tmp_path / file).write_text(SEEN)
    env = {
        "PATH": os.environ["PATH"],
        "HOME": "/nowhere",
        "TMPDIR": str(tmp_path),
        "LANG": "C.UTF-8",
    }
    done = programs.run(*way, "a", "b", cwd=tmp_path, env=env, typed="read")
    new = real(*way, "a", "b", cwd=tmp_path, env=env)
    assert json.loads(done.stdout) == json.loads(new.stdout)
    assert (done.returncode, done.stderr) == (new.returncode, new.stderr) == (3, "")


def test_an_error_that_nobody_catches_is_shown_and_is_its_exit_code(tmp_path: Path) -> None:
    done = programs.run("-c", "raise ValueError('some')", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback")
    assert done.stderr.endswith("ValueError: some\n")


def test_threads_and_last_words_run_before_its_end() -> None:
    program = """
import atexit, threading, time
atexit.register(print, "last")
threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
"""
    assert programs.run("-c", program).stdout == "thread\nlast\n"


def test_a_signal_reaches_it_and_is_its_exit_code() -> None:
    waits = "import time; print('ready', flush=True); time.sleep(100)"
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        program = programs.start("-c", waits, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert program.stdout
        with program.stdout as written:
            assert written.readline() == "ready\n"
            assert program.poll() is None
            program.send_signal(number)
            assert program.wait(60) == -number
            assert ("KeyboardInterrupt" in written.read()) is (number == signal.SIGINT)
        assert program.poll() == program.returncode == -number


def test_one_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    program = "import os, time; print(os.getpid(), flush=True); time.sleep(100)"
    with pytest.raises(subprocess.TimeoutExpired) as raised:
        programs.run("-c", program, cwd=tmp_path, timeout=1)
    if raised.value.output:  # it had begun
        with pytest.raises(ProcessLookupError):
            os.kill(int(raised.value.output), 0)


def test_many_run_at_once_each_with_its_own_output() -> None:
    found: dict[int, str] = {}

    def one(number: int) -> None:
        found[number] = programs.run("-c", f"import os; print({number}, os.getpid())").stdout

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {int(text.split()[0]) for text in found.values()} == set(range(8))
    assert len({text.split()[1] for text in found.values()}) == 8


def test_on_a_terminal_it_leads_a_session_of_its_own() -> None:
    program = """
import os, sys
print([os.isatty(number) for number in (0, 1, 2)], os.getsid(0) == os.getpid())
print(open("/dev/tty").name, os.get_terminal_size().columns, input("well? "))
"""
    status, written = on_terminal(["-c", program], {"well? ": "yes\n"}, columns=61)
    assert status == 0
    assert written.splitlines() == ["[True, True, True] True", "well? yes", "/dev/tty 61 yes"]


def test_a_variable_that_only_an_interpreter_reads_is_read(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_text("print('found')")
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    assert programs.run("-c", "import elsewhere", env=env).stdout == "found\n"
