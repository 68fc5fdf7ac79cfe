"""One emulated AWS for several programs, none of which changes what another uses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dolambda.local.instance import Instance
from dolambda.local.place import home
from support import programs
from support.polling import until

if TYPE_CHECKING:
    from collections.abc import Iterator

DOLAMBDA = str(Path(sys.executable).with_name("dolambda"))

# It says which stack it uses, and at each line of its input what a task finds on the worker.
PROGRAM = """
import sys
import dolambda
from dolambda import LambdaExecutor

def version():
    import importlib.util
    return importlib.util.find_spec("joblib") is not None

session = dolambda.register("local", requires=sys.argv[1:], progress=False)
print(session.stack.name, session.settings.endpoint_url, flush=True)
for line in sys.stdin:
    if line == "wait\\n":  # until the emulator is stopped
        import time
        with LambdaExecutor() as executor:
            waiting = executor.submit(time.sleep, 600)
            while not session.report().jobs:
                time.sleep(0.01)
            print("waiting", flush=True)
            print(type(waiting.exception(60)).__name__, flush=True)
        continue
    with LambdaExecutor() as executor:
        print(executor.submit(version).result(60), flush=True)
"""


# It says how many of its tasks ran at a time.
CROWD = """
import sys, time
import dolambda
from dolambda import LambdaExecutor

def nap(_):
    begun = time.time()
    time.sleep(0.3)
    return begun, time.time()

workers, width = (int(one) or None for one in sys.argv[2:])
dolambda.register(
    "local", requires=(), transport=sys.argv[1], workers=workers, progress=False
)
with LambdaExecutor(width, batch=1) as executor:
    found = list(executor.map(nap, range(6)))
print(max(sum(begun <= moment < ended for begun, ended in found) for moment, _ in found))
"""


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A temporary directory of this module's own, so that other instances on this machine are out
    of sight.
    """
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("shared")
        patch.setenv("TMPDIR", str(place))
        patch.setattr("tempfile.tempdir", str(place))
        yield place


@pytest.fixture(scope="module")
def shared(apart: Path) -> Iterator[Instance]:
    assert str(apart) in str(home())
    started = dolambda("start", "--workers", "2")
    assert started.returncode == 0, started.stderr
    instance = Instance.find_shared()
    assert instance is not None
    yield instance
    dolambda("stop", "--yes")


def dolambda(*arguments: str) -> subprocess.CompletedProcess[str]:
    return programs.run("-m", "dolambda", "local", *arguments, timeout=150)


class Program:
    """Another program that has registered."""

    def __init__(self, *requires: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *requires],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.stack, self.endpoint = (self.read() + " ").split(" ")[:2]

    def has_joblib(self) -> str:
        return self.ask("\n")

    def ask(self, line: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()
        return self.read()

    def read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> str:
        """End it; return what it wrote to standard error."""
        _, errors = self.process.communicate(timeout=60)
        return errors


def test_programs_with_other_packages_leave_each_other_alone(shared: Instance) -> None:
    first = Program("joblib")
    assert first.has_joblib() == "True"
    second, third = Program("six"), Program("joblib")
    assert second.has_joblib() == "False"
    assert first.has_joblib() == "True"  # as before, though the second deployed what it wants
    assert first.stack == third.stack != second.stack
    assert first.endpoint == second.endpoint == shared.endpoint_url
    ids = sorted(one.process.pid for one in (first, second, third))
    assert shared.clients() == ids
    said = dolambda("status").stdout
    assert f"by 3 programs (processes {', '.join(map(str, ids))})" in said
    second.process.kill()
    until(lambda: second.process.pid not in shared.clients())
    for program in (first, second, third):
        program.end()
    assert shared.clients() == []


def test_another_python_gets_an_emulator_of_its_own(shared: Instance) -> None:
    file = shared.directory / "instance.json"
    before = file.read_text(encoding="utf-8")
    file.write_text(json.dumps(json.loads(before) | {"python": "3.9"}), encoding="utf-8")
    try:
        program = Program()
        assert program.endpoint != shared.endpoint_url
        assert program.stack == "dolambda"
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        assert program.end() == (
            "dolambda: the emulated AWS of `dolambda local start` runs Python 3.9, but this is "
            f"Python {here}: "
            "this program starts one of its own\n"
        )
    finally:
        file.write_text(before, encoding="utf-8")
    assert shared.running


def test_a_fork_of_a_client_is_no_client(shared: Instance) -> None:
    shared.join()
    child = os.fork()
    if not child:
        os.read(0, 0)
        # This interpreter.
        os.execv(sys.executable, [sys.executable, "-c", "import time; time.sleep(60)"])  # noqa: S606
    shared.leave()
    assert shared.clients() == []
    os.kill(child, 9)
    os.waitpid(child, 0)


def test_without_credentials_it_says_where_it_runs(shared: Instance, tmp_path: Path) -> None:
    script = (
        "from dolambda import LambdaExecutor\nwith LambdaExecutor() as e: "
        "print(e.submit(abs, -1).result(60))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.stdout, done.returncode) == ("1\n", 0)
    assert done.stderr == (
        "dolambda: no AWS credentials found; running on AWS emulated on this machine with "
        f'{shared.workers} workers (dolambda.register("local") chooses it explicitly)\n'
    )


@pytest.mark.parametrize("transport", ["queue", "direct"])
@pytest.mark.parametrize(("workers", "width"), [("1", "0"), ("2", "1"), ("0", "1")])
def test_no_more_tasks_run_at_a_time_than_were_asked_for(
    shared: Instance, transport: str, workers: str, width: str
) -> None:
    done = programs.run("-c", CROWD, transport, workers, width, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1\n"
    assert shared.workers > 1


def test_stop_says_who_uses_it(shared: Instance) -> None:
    program = Program()
    assert program.ask("wait\n") == "waiting"
    stopped = dolambda("stop")
    assert stopped.stdout.startswith(
        f"the emulated AWS is in use by 1 program (process {program.process.pid}), whose tasks "
        "will fail\n"
        "stopped\n"
    )
    assert not shared.running
    assert program.read() == "LocalAwsError"  # and not after some minutes of retries
    program.end()
