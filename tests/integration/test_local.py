"""The emulated AWS: what it is bound to, and that nothing of it outlives its owner, however that
ends.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import dolambda.local
from dolambda.errors import LocalAwsError
from dolambda.local.instance import Instance
from dolambda.local.place import home, instances, sweep
from dolambda.local.stack import root
from dolambda.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

DOLAMBDA = str(Path(sys.executable).with_name("dolambda"))

USE_UNTIL_KILLED = """
import signal, time, dolambda
from dolambda import LambdaExecutor
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, and what they start, ignore it
session = dolambda.register("local")
executor = LambdaExecutor()
busy = [executor.submit(time.sleep, 60) for _ in range(4)]
executor_ready = executor  # kept
while not session.report().jobs: time.sleep(0.01)
time.sleep(0.5)
print(session.instance.directory, flush=True)
time.sleep(60)
"""


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A temporary directory of this test's own, so that other instances on this machine are out of
    sight.
    """
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def processes_of(place: Path) -> list[str]:
    """Command lines that name a directory, or whose environment does: emulator, guardian, workers,
    tasks.
    """
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "cmdline").read_bytes() + b"\0" + (process / "environ").read_bytes()
        except OSError:
            continue
        if str(place).encode() in text and process.name != str(os.getpid()):
            found.append(
                (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if process.exists()
                else ""
            )
    return [
        line for line in found if "guardian" in line or "launcher" in line or "awslambdaric" in line
    ]


def wait_until_gone(place: Path) -> None:
    deadline = time.monotonic() + 30
    while (list(place.glob("dolambda-*")) or processes_of(place)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert list(place.glob("dolambda-*")) == []
    assert processes_of(place) == []


@pytest.fixture
def user(apart: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that is in the middle of using an embedded instance."""
    with subprocess.Popen(
        [sys.executable, "-c", USE_UNTIL_KILLED],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    ) as process:
        assert process.stdout is not None
        assert str(apart) in process.stdout.readline()
        assert processes_of(apart)
        yield process
        process.kill()


@pytest.mark.skipif(
    not Path("/proc").is_dir(), reason="looks for leftover processes in /proc, which only Linux has"
)
@pytest.mark.parametrize(
    "end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=["kill -9", "Ctrl-C", "terminate"]
)
def test_nothing_is_left_however_the_client_ends(
    user: subprocess.Popen[str], apart: Path, end: signal.Signals
) -> None:
    user.send_signal(end)
    user.wait(30)
    wait_until_gone(apart)


def test_after_the_guardian_is_killed_the_next_stop_cleans_up(apart: Path) -> None:
    instance = Instance.from_start(workers=1)
    assert instance.guardian is not None
    instance.guardian.kill()
    instance.guardian.wait(10)
    assert instances() == [instance.directory]
    assert processes_of(apart)
    assert sweep() == [instance.directory.name]
    wait_until_gone(apart)
    assert not home().exists()
    if instance.lifeline:
        instance.lifeline.close()


def test_start_status_stop(apart: Path) -> None:
    def dolambda(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [DOLAMBDA, "local", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    assert dolambda("status").stdout == "not running\n"
    assert "AWS is emulated at http://127.0.0.1:" in dolambda("start", "--workers", "1").stdout
    assert "running at http://127.0.0.1:" in dolambda("status").stdout
    again = dolambda("start")
    assert again.returncode == 1
    assert (
        again.stderr
        == "dolambda: the emulated AWS is already running\n  `dolambda local stop` ends it.\n"
    )
    script = (
        "import dolambda; s = dolambda.register('local'); "
        "print(dolambda.foreach(i=range(3)).dopar(lambda i: -i), s.instance.running)"
    )
    used = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120
    )
    assert used.stdout == "[0, -1, -2] True\n", used.stderr
    assert "running at" in dolambda("status").stdout  # a client that uses it does not end it
    assert "stopped" in dolambda("stop").stdout
    wait_until_gone(apart)
    assert dolambda("stop").stdout == "none was running\n"


def test_it_listens_on_this_machine_only(instance: Instance) -> None:
    port = int(instance.endpoint_url.rsplit(":", 1)[1])
    listening = [
        line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
    ]
    addresses = {
        fields[1].split(":")[0]
        for fields in listening
        if int(fields[1].split(":")[1], 16) == port and fields[3] == "0A"
    }
    assert addresses == {"0100007F"}


def test_a_failed_start_says_why_and_leaves_nothing(
    apart: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(apart / "cache"))  # in which no environment is
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(apart / "empty-cache"))
    with pytest.raises(
        LocalAwsError, match="could not be emulated on this machine: uv pip"
    ) as caught:
        Instance.from_start(workers=1)
    assert "Check that the package registry can be reached" in str(caught.value)
    wait_until_gone(apart)


def test_a_cache_that_cannot_be_written_is_not_blamed_on_the_registry(
    apart: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(apart / "cache"))  # in which no environment is
    (apart / "file").touch()
    for cache in ("/proc/nowhere", str(apart / "file")):
        monkeypatch.setenv("UV_CACHE_DIR", cache)
        with pytest.raises(LocalAwsError, match=r"uv (venv|pip)") as caught:
            Instance.from_start(workers=1)
        assert "registry" not in str(caught.value)
        assert "UV_CACHE_DIR" in str(caught.value)
    (apart / "file").unlink()
    wait_until_gone(apart)


def test_what_the_launcher_changes_is_there_in_the_pinned_emulator(instance: Instance) -> None:
    """The launcher replaces private parts of ministack: a new pin has to have them, with the same
    arguments.
    """
    script = """
import inspect, importlib.metadata as m
from ministack.core import iam_evaluator as e, lambda_runtime as r, responses as a
from ministack.services import lambda_svc as s
print(m.version("ministack"), m.version("awslambdaric"))
print(r.ProvidedWorker.__mro__[1].__name__)
for f in (r.ProvidedWorker._build_handler_class, r.ProvidedWorker._pump_output, r.ProvidedWorker._drain_stderr_bounded,
          r.ProvidedWorker._drain_stderr, r._worker_class_for, s._execute_function_warm, s._execute_function_provided_warm,
          s._provided_worker_env, s.invoke_async_with_retry, s._execute_function,
          s.invalidate_worker, s.release_worker, r.kill_workers, s._resolve_layer_zip, s._extract_zip_preserving_mode,
          e.is_root_access_key, e.find_iam_access_key_account, e.resolve_credential, a._account_from_sts_session):
    print(f.__name__, list(inspect.signature(f).parameters))
"""
    python = instance.directory / "env" / "bin" / "python"
    asked = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True)
    assert asked.stdout.splitlines() == [
        "1.5.33 4.2.2",
        "Worker",
        "_build_handler_class ['self', 'generation', 'pending']",
        "_pump_output ['self', 'stream', 'log_queue']",
        "_drain_stderr_bounded ['self', 'first_line_wait', 'idle_confirm', 'hard_cap']",
        "_drain_stderr ['self']",
        "_worker_class_for ['config']",
        "_execute_function_warm ['func', 'event', 'request_id']",
        "_execute_function_provided_warm ['func', 'event', 'request_id']",
        "_provided_worker_env ['config', 'code_dir', 'port']",
        "invoke_async_with_retry ['func', 'event']",
        "_execute_function ['func', 'event']",
        "invalidate_worker ['func_name', 'qualifier', 'account', 'region']",
        "release_worker ['worker']",
        "kill_workers ['workers']",
        "_resolve_layer_zip ['attachment']",
        "_extract_zip_preserving_mode ['zf', 'dest_dir']",
        "is_root_access_key ['access_key_id']",
        "find_iam_access_key_account ['access_key_id']",
        "resolve_credential ['access_key_id', 'account_id', 'session_token']",
        "_account_from_sts_session ['access_key_id']",
    ]


def test_what_an_invocation_prints_is_in_its_own_log_though_nobody_read_it_meanwhile(
    instance: Instance, tmp_path: Path
) -> None:
    """On a busy machine the thread that reads the output may get its turn only after the answer:
    here it gets none.
    """
    script = """
import io, sys, zipfile
from emulator import launcher
launcher.install()

class Starved(launcher.PythonWorker):
    def _pump_output(self, stream, log_queue): pass

file = io.BytesIO()
with zipfile.ZipFile(file, "w") as archive:
    archive.writestr("code.py", "def handler(event, context): print(*event, sep=chr(10))")
config = {"Handler": "code.handler", "Runtime": f"python{sys.version_info.major}.{sys.version_info.minor}", "Timeout": 20,
          "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:prints"}
worker = Starved("prints", config, file.getvalue())
print([worker.invoke(event, str(i))["log"][:20] for i, event in enumerate((["one", "two"], ["three"], ["x" * 60_000]))])
launcher.runtime.kill_workers([worker])
"""
    python = instance.directory / "env" / "bin" / "python"
    place = str(Path(dolambda.local.__file__).parent)
    environment = os.environ | {
        "DOLAMBDA_LOCAL_SLOTS": "1",
        "PYTHONPATH": place,
        "TMPDIR": str(tmp_path),
    }
    asked = subprocess.run(
        [python, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment,
    )
    assert (asked.stdout, asked.returncode) == (str(["one\ntwo", "three", "x" * 20]) + "\n", 0), (
        asked.stderr
    )


def test_why_a_function_cannot_be_loaded_is_reported(instance: Instance, tmp_path: Path) -> None:
    """By the part of Lambda's runtime client that is not compiled: it goes another way to the
    emulator.
    """
    script = """
import io, sys, zipfile
from emulator import launcher
launcher.install()

file = io.BytesIO()
with zipfile.ZipFile(file, "w") as archive:
    archive.writestr("code.py", "import no_such_module")
config = {"Handler": "code.handler", "Runtime": f"python{sys.version_info.major}.{sys.version_info.minor}", "Timeout": 20,
          "FunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:broken"}
worker = launcher.PythonWorker("broken", config, file.getvalue())
try:
    print(worker.invoke({}, "1"))
except RuntimeError as error:
    print(error)
"""
    python = instance.directory / "env" / "bin" / "python"
    asked = subprocess.run(
        [python, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=os.environ
        | {
            "DOLAMBDA_LOCAL_SLOTS": "1",
            "PYTHONPATH": str(Path(dolambda.local.__file__).parent),
            "TMPDIR": str(tmp_path),
        },
    )
    assert "init error" in asked.stdout, asked.stderr
    assert "No module named 'no_such_module'" in asked.stdout


@pytest.mark.usefixtures("apart")
def test_the_account_that_is_not_asked_for_is_the_right_one() -> None:
    instance = Instance.from_start()
    try:
        _, account = root(instance, Settings())
        assert account.number == account.client("sts").get_caller_identity()["Account"]
    finally:
        instance.stop()
