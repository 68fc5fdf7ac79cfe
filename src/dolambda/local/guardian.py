"""Own one emulated AWS: make its environment, run it, and remove every trace of it in the end.

    client  -- starts, keeps the lifeline open -->  guardian  -- its own process group -->  emulator and its workers

Run by path with the user's own interpreter and the standard library only; not imported. It ends when the emulator ends, on
SIGTERM, or when the lifeline (its standard input) closes, which the kernel does even if the client was killed with -9.
Then it kills the whole group and removes the directory. It holds a lock on ``lock`` all the while: an instance whose lock
is free has lost its guardian, and the next start or stop sweeps it up.

On entry: ``instance.json`` in the directory named by the one argument. On leaving: ``state.json`` there tells how far it is.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

_READY_WITHIN = 60


def main(directory: Path) -> None:
    """Live as long as the instance."""
    lock = (directory / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    wanted = json.loads((directory / "instance.json").read_text(encoding="utf-8"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    server: subprocess.Popen[bytes] | None = None
    try:
        tell(directory, "installing")
        install(directory, wanted)
        server = launch(directory, wanted)
        tell(directory, "starting", group=server.pid)
        await_health(server, wanted)
        tell(directory, "ready", group=server.pid)
        watch(server, lifeline=wanted["embedded"])
    except Exception as error:  # noqa: BLE001 - told to the client, who waits for it
        tell(directory, "failed", why=f"{error}{log_tail(directory)}")
        time.sleep(wanted["linger"])  # so that the client can read it
    finally:
        signal.signal(
            signal.SIGTERM, signal.SIG_IGN
        )  # it ends already: a second reason must not stop it half-way
        if server:
            end(server)
        shutil.rmtree(directory, ignore_errors=True)
        with contextlib.suppress(OSError):
            directory.parent.rmdir()  # unless other instances are there


def tell(directory: Path, state: str, **more: object) -> None:
    """Write how far it is, at once and whole."""
    part = directory / "state.part"
    part.write_text(json.dumps({"state": state, "guardian": os.getpid(), **more}), encoding="utf-8")
    part.replace(directory / "state.json")


def install(directory: Path, wanted: dict[str, Any]) -> None:
    """Make the emulator's environment with the user's own Python; uv links it from its cache in about a second."""
    for arguments in (
        ["venv", "--quiet", "--python", sys.executable, str(directory / "env")],
        [
            "pip",
            "install",
            "--quiet",
            "--python",
            str(directory / "env"),
            "--requirement",
            wanted["requirements"],
        ],
    ):
        done = subprocess.run(
            [wanted["uv"], *arguments], capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode:
            raise RuntimeError(f"uv {arguments[0]}: {done.stderr.strip()}")


def launch(directory: Path, wanted: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Start the emulator in a process group of its own, with nothing of the user's AWS environment."""
    (directory / "tmp").mkdir()
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not (name.startswith(("AWS_", "PYTHON", "DOLAMBDA_")) or name.lower().endswith("_proxy"))
    }
    with (directory / "server.log").open("wb") as log:
        return subprocess.Popen(
            [str(directory / "env" / "bin" / "python"), wanted["launcher"]],
            env=inherited | wanted["environment"] | {"TMPDIR": str(directory / "tmp")},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def await_health(server: subprocess.Popen[bytes], wanted: dict[str, Any]) -> None:
    """Wait until it answers."""
    deadline = time.monotonic() + _READY_WITHIN
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the emulator ended with exit code {server.returncode}")
        with contextlib.suppress(OSError):
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
                wanted["endpoint_url"] + "/_ministack/health", timeout=2
            ).read()
            return
        time.sleep(0.05)
    raise RuntimeError(f"the emulator did not answer within {_READY_WITHIN} s")


def watch(server: subprocess.Popen[bytes], *, lifeline: bool) -> None:
    """Wait for the end: the server's, or the client's."""
    while server.poll() is None:
        if not lifeline:
            time.sleep(0.5)
        elif select.select([0], [], [], 0.5)[0] and not os.read(0, 1024):
            return


def end(server: subprocess.Popen[bytes]) -> None:
    """Kill the group: the emulator, its workers, and whatever tasks have started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:  # killed processes may hold files for a moment
        try:
            os.killpg(server.pid, 0)
        except (ProcessLookupError, PermissionError):
            return
        time.sleep(0.02)


def log_tail(directory: Path) -> str:
    """The emulator's last words."""
    with contextlib.suppress(OSError):
        text = (directory / "server.log").read_text(encoding="utf-8", errors="replace")
        return "\n" + "\n".join(text.splitlines()[-15:])
    return ""


if __name__ == "__main__":
    main(Path(sys.argv[1]))
