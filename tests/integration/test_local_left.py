"""Nothing outlives the emulated AWS: not what a task has daemonised, and not for a fork of the
client.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dolambda.local.instance import Instance
from dolambda.local.stack import deploy_into, root
from dolambda.settings import Settings
from support.polling import until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux lets no descendant escape, and has /proc"
)

DAEMONISE = """
import os, subprocess, sys
import dolambda
from dolambda import LambdaExecutor

def daemonise():
    '''Leave a process behind whose parents have ended, in a session of its own and without the worker's environment.'''
    script = "import os, sys, time\\nif os.fork(): sys.exit()\\nos.setsid()\\nif os.fork(): os._exit(0)\\ntime.sleep(600)"
    subprocess.run([sys.executable, "-c", script, "MARK"], env={}, check=True)

with dolambda.register("local", workers=1, progress=False), LambdaExecutor() as executor:
    executor.submit(daemonise).result(60)
    print("done", flush=True)
    sys.stdin.readline()
"""

FORK = """
import ctypes, os, time
import dolambda
session = dolambda.register("local", workers=1, progress=False)
child = FORK()
if child == 0:
    time.sleep(600)
    os._exit(0)
print(session.instance.directory, child, flush=True)
time.sleep(600)
"""


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def running(mark: str) -> list[int]:
    """Return the ids of processes that have ``mark`` among their arguments."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark.encode() in arguments:
            found.append(int(process.name))
    return found


@pytest.mark.parametrize("end", ["close", "kill"])
def test_what_a_task_daemonised_ends_with_the_emulator(apart: Path, end: str) -> None:
    mark = f"daemon-of-{apart.name}-{os.getpid()}"
    with subprocess.Popen(
        [sys.executable, "-c", DAEMONISE.replace("MARK", mark)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as client:
        assert client.stdout is not None
        assert client.stdin is not None
        assert client.stdout.readline() == "done\n"
        until(lambda: len(running(mark)) == 1)
        if end == "kill":
            client.kill()
        else:
            client.stdin.close()
        client.wait(60)
    until(lambda: not running(mark))
    until(lambda: not list(apart.iterdir()))


@pytest.mark.parametrize(
    "fork", ["os.fork", "ctypes.CDLL(None).fork"], ids=["Python's", "behind Python's back"]
)
def test_a_fork_of_the_client_does_not_keep_the_emulator(apart: Path, fork: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FORK.replace("FORK", fork)], stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout is not None
        directory, child = client.stdout.readline().split()
        client.kill()
        client.wait(60)
        try:
            until(lambda: not Path(directory).exists())
            os.kill(int(child), 0)  # the fork lives on
        finally:
            os.kill(int(child), signal.SIGKILL)
    assert not list(apart.iterdir())


def workers_of(place: Path) -> list[int]:
    """Return the ids of workers' processes of the instances in a temporary directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes()
            environment = (process / "environ").read_bytes()
        except OSError:
            continue
        if b"awslambdaric" in arguments and f"TMPDIR={place}".encode() in environment:
            found.append(int(process.name))
    return found


def test_workers_start_before_the_first_task_and_end_with_the_emulator(apart: Path) -> None:
    instance = Instance.from_start(workers=2, wait=False)
    try:
        deploy_into(instance, Settings(requires=()))
        until(lambda: len(workers_of(apart)) == 2)
    finally:
        instance.stop()
    assert workers_of(apart) == []
    assert list(apart.iterdir()) == []


def test_one_that_is_not_ready_yet_can_be_stopped(apart: Path) -> None:
    instance = Instance.from_start(workers=1, wait=False)
    instance.stop()
    assert list(apart.iterdir()) == []


def test_cleaning_removes_what_no_program_uses(apart: Path) -> None:
    environment = {**os.environ, "XDG_CACHE_HOME": str(apart)}
    clean = [str(Path(sys.executable).with_name("dolambda")), "local", "clean"]
    place = apart / "dolambda-local"
    place.mkdir(mode=0o700)
    (place / "packages-1").mkdir()
    (place / "packages-1" / "file").write_bytes(bytes(3 << 20))
    (place / "packages-1.lock").write_text(str(3 << 20), encoding="ascii")
    done = subprocess.run(clean, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == f"3 MiB removed from {place}\n"
    assert not (place / "packages-1").exists()


def test_rules_of_a_file_are_in_force_at_the_gateway(apart: Path) -> None:
    file = apart / "slow_down.py"
    file.write_text(
        "from emulator.gateway import Answer\n"
        "async def slow_down(call, proceed):\n"
        "    answer = await proceed(call)\n"
        "    denied = call.service == 's3' and call.method == 'GET'\n"
        "    return Answer(403, [], b'<Error><Code>RuleSaysNo</Code></Error>') if denied else "
        "answer\n"
        "def rules():\n"
        "    return [slow_down]\n",
        encoding="utf-8",
    )
    instance = Instance.from_start(workers=1, rules=[file])
    try:
        _, account = root(instance, Settings())
        assert account.number == "000000000000"
        with pytest.raises(account.client("s3").exceptions.ClientError, match="RuleSaysNo"):
            account.client("s3").list_buckets()
    finally:
        instance.stop()
