"""The process that owns one emulated AWS.

It makes the environment, runs the emulator, and removes every trace of it at the end.

    client  -- starts, keeps the lifeline open -->  guardian  -- its own session -->  emulator, its
    workers, and all that tasks start

It is run by path, with the user's own interpreter and the standard library only, not imported. It
ends when the emulator ends, on SIGTERM, when the lifeline (its standard input) closes, or when the
client is no longer its parent. The kernel ensures the last two even if the client was killed with
-9, and the last even if a fork of the client lives on. Then it kills all its descendants, of which
Linux lets none escape, and removes the directory. While it lives, it holds a lock on ``lock``: an
instance with a free lock has lost its guardian, and the next start or stop removes it.

**Input:** ``instance.json`` in the directory named by the first argument. The second argument is
the descriptor of the emulator's socket. **Output:** ``state.json`` in that directory, which shows
the progress.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import hmac
import http.client
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_READY_WITHIN = 60
_KILLED_WITHIN = 5
_LOOK = 0.5
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
_START = "import sys; sys.path.append(sys.argv[1]); from emulator import launcher; launcher.main()"


def main(directory: Path, socket: int) -> None:
    """Run as long as the instance."""
    sys.path.append(str(Path(__file__).parent))  # for `emulator.entries`
    lock = (directory / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    wanted = json.loads((directory / "instance.json").read_text(encoding="utf-8"))
    request = EndRequest()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    adopt_orphans()
    server: subprocess.Popen[bytes] | None = None
    stage = "starting"
    try:
        stage = "installing"
        tell(directory, stage)
        install(wanted)
        stage = "starting"
        server = launch(directory, wanted, socket)
        tell(directory, stage, group=server.pid)
        await_health(server, wanted)
        tell(directory, "ready", group=server.pid)
        watch(server, client=wanted["client"] if wanted["embedded"] else None)
    except Exception as error:  # noqa: BLE001 - reported to the client, which waits for it
        tell(directory, "failed", stage=stage, why=f"{error}{log_tail(directory)}")
        time.sleep(wanted["linger"])  # so that the client can read it
    finally:
        try:
            request.ignore()  # it already ends, completely
        except SystemExit:  # SIGTERM has arrived only now, as after the end of the lifeline
            request.ignore()
        if server:
            end_descendants()
            server.wait()
        shutil.rmtree(wanted["scratch"], ignore_errors=True)
        shutil.rmtree(directory, ignore_errors=True)
        with contextlib.suppress(OSError):
            directory.parent.rmdir()  # unless it holds other instances


class EndRequest:
    """SIGTERM, which raises SystemExit once: a second time it would interrupt the end itself."""

    def __init__(self) -> None:
        """Accept it from now on."""
        self._arrived = False
        signal.signal(signal.SIGTERM, self._take)

    def _take(self, *_: object) -> None:
        if not self._arrived:
            self._arrived = True
            sys.exit(0)

    def ignore(self) -> None:
        """Ignore it from now on."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that none can escape.

    Linux only.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def tell(directory: Path, state: str, **more: object) -> None:
    """Write the progress, atomically."""
    part = directory / "state.part"
    part.write_text(json.dumps({"state": state, "guardian": os.getpid(), **more}), encoding="utf-8")
    part.replace(directory / "state.json")


def install(wanted: dict[str, Any]) -> None:
    """Link the emulator's environment, for the user's own Python, from the cache.

    The entry stays in the cache while this process lives. At the first start, uv makes it in about
    a second. Later starts find it, with the bytecode that earlier ones have written.
    """
    # `main` has added it to the path.
    from emulator import entries  # type: ignore[import-not-found] # noqa: PLC0415

    requirements = Path(wanted["requirements"]).read_bytes()
    parts = (requirements, sys.version.encode(), os.path.realpath(sys.executable).encode())
    name = f"emulator-{hashlib.sha256(repr(parts).encode()).hexdigest()[:32]}"
    place, _, _ = entries.find_or_make(
        Path(wanted["cache"]), name, lambda part: make_environment(wanted, str(part))
    )
    Path(wanted["scratch"], "env").symlink_to(place)


def make_environment(wanted: dict[str, Any], place: str) -> None:
    """Make the emulator's environment in an empty directory."""
    for arguments in (
        ["venv", "--quiet", "--allow-existing", "--python", sys.executable, place],
        ["pip", "install", "--quiet", "--python", place, "--requirement", wanted["requirements"]],
    ):
        done = subprocess.run(
            [wanted["uv"], *arguments], capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode:
            raise RuntimeError(
                f"uv {arguments[0]}: {done.stderr.strip() or f'ended with {done.returncode}'}"
            )


def launch(directory: Path, wanted: dict[str, Any], socket: int) -> subprocess.Popen[bytes]:
    """Start the emulator in a session of its own, without the user's AWS or proxy configuration."""
    scratch = Path(wanted["scratch"])
    (scratch / "tmp").mkdir(mode=0o700)
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not (name.startswith(("AWS_", "PYTHON", "DOLAMBDA_")) or name.lower().endswith("_proxy"))
    }
    own = {"TMPDIR": str(scratch / "tmp"), "DOLAMBDA_LOCAL_SOCKET": str(socket)}
    with (directory / "server.log").open("wb") as log:
        started = subprocess.Popen(
            [
                str(scratch / "env" / "bin" / "python"),
                "-I",
                "-c",
                _START,
                str(Path(__file__).parent),
            ],
            env=inherited | wanted["environment"] | own,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=scratch / "tmp",
            pass_fds=(socket,),
            start_new_session=True,
        )
    os.close(socket)
    return started


def await_health(server: subprocess.Popen[bytes], wanted: dict[str, Any]) -> None:
    """Wait until the emulator responds and proves that it is the one that was started."""
    deadline = time.monotonic() + _READY_WITHIN
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise RuntimeError(f"the emulator ended with exit code {server.returncode}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            if is_ours(wanted):
                return
            raise RuntimeError(f"another server responds at {wanted['endpoint_url']}")
        time.sleep(0.05)
    raise RuntimeError(f"the emulator did not respond within {_READY_WITHIN} s")


def is_ours(wanted: dict[str, Any]) -> bool:
    """Return whether the server knows the secret. Configured proxies are not used."""
    challenge = secrets.token_hex(16)
    asked = http.client.HTTPConnection(wanted["endpoint_url"].removeprefix("http://"), timeout=2)
    try:
        asked.request("GET", f"/_ministack/health?challenge={challenge}")
        answer = asked.getresponse().read()
    finally:
        asked.close()
    secret = wanted["environment"]["AWS_SECRET_ACCESS_KEY"].encode()
    expected = hmac.new(secret, challenge.encode(), hashlib.sha256).hexdigest()
    return hmac.compare_digest(answer, json.dumps({"proof": expected}).encode())


def watch(server: subprocess.Popen[bytes], *, client: int | None) -> None:
    """Wait for the end of the server, or of the client if the instance depends on one."""
    while server.poll() is None:
        reap(server)
        if client is None:
            time.sleep(_LOOK)
        elif os.getppid() != client or lifeline_closed():
            return


def lifeline_closed() -> bool:
    """Wait a moment for the lifeline to close."""
    return bool(select.select([0], [], [], _LOOK)[0]) and not os.read(0, 1024)


def reap(server: subprocess.Popen[bytes]) -> None:
    """Collect adopted processes that have ended."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(ChildProcessError):
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid == server.pid:
                return
            os.waitpid(ended.si_pid, 0)


def end_descendants() -> None:
    """Kill the emulator, its workers, and all that tasks have started, until none is left."""
    deadline = time.monotonic() + _KILLED_WITHIN
    while (left := descendants()) and time.monotonic() < deadline:
        for process in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.02)


def descendants() -> set[int]:
    """Return the ids of all processes below this one."""
    children: dict[int, list[int]] = {}
    for process, parent in processes():
        children.setdefault(parent, []).append(process)
    found: set[int] = set()
    ahead = [os.getpid()]
    while ahead:
        below = [one for one in children.get(ahead.pop(), []) if one not in found]
        found.update(below)
        ahead += below
    return found


def processes() -> list[tuple[int, int]]:
    """Return the ids of all visible processes, each with its parent's id."""
    if sys.platform != "linux":
        listed = subprocess.run(
            ["ps", "-axo", "pid=,ppid=,comm="],  # noqa: S607 - POSIX has it
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        rows = [line.split(None, 2) for line in listed.splitlines()]
        return [(int(row[0]), int(row[1])) for row in rows if not row[2].endswith("ps")]
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            text = (entry / "stat").read_bytes()
            found.append((int(entry.name), int(text[text.rindex(b")") + 1 :].split()[1])))
    return found


def log_tail(directory: Path) -> str:
    """Return the last lines of the emulator's log."""
    with contextlib.suppress(OSError):
        text = (directory / "server.log").read_text(encoding="utf-8", errors="replace")
        return "\n" + "\n".join(text.splitlines()[-15:])
    return ""


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
