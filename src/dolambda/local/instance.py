"""An emulated AWS, seen from the client.

    <temporary directory>/dolambda-<user>/<name>/     one directory an instance; "shared" is the one of `dolambda local start`
        instance.json   what was asked for: port, keys of its root user (of no use anywhere else)
        state.json      how far its guardian is
        lock            held by the guardian while it lives
        env/ tmp/ server.log

On entry: how many workers. On leaving: an `Instance` that answers on 127.0.0.1; nothing on disk and no process once stopped.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import uv

from dolambda.errors import ConfigurationError, LocalAwsError

SHARED = "shared"
"""Name of the instance that outlives its client."""

REGION = "us-east-1"
_START_WITHIN = 420
_STOP_WITHIN = 30
_YOUNG = 15  # seconds in which a directory may still wait for its guardian
_HERE = Path(__file__).parent


def home() -> Path:
    """Where this user's instances are."""
    return Path(tempfile.gettempdir(), f"dolambda-{getpass.getuser()}")


def default_workers() -> int:
    """One a core, but two at least: one worker would not be parallel."""
    return max(2, os.cpu_count() or 1)


@dataclass
class Instance:
    """One emulated AWS. ``key`` and ``secret`` are its root user's."""

    directory: Path
    endpoint_url: str
    workers: int
    key: str
    secret: str = field(repr=False)
    lifeline: IO[bytes] | None = field(default=None, repr=False)
    guardian: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @classmethod
    def from_start(cls, *, workers: int | None = None, name: str | None = None) -> Instance:
        """Start one and wait until it answers; without a ``name`` it ends with this process. Raises `LocalAwsError`."""
        if sys.platform == "win32":
            raise ConfigurationError(
                "AWS cannot be emulated on Windows",
                hint="Use WSL, or a stack on AWS: `dolambda deploy`.",
            )
        sweep()
        directory = home() / (name or f"{os.getpid()}-{secrets.token_hex(4)}")
        directory.parent.mkdir(mode=0o700, exist_ok=True)
        directory.mkdir(mode=0o700)
        wanted = _wanted(workers or default_workers(), embedded=name is None)
        (directory / "instance.json").write_text(json.dumps(wanted), encoding="utf-8")
        guardian = subprocess.Popen(
            [sys.executable, "-I", str(_HERE / "guardian.py"), str(directory)],
            stdin=subprocess.PIPE if name is None else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return cls._from_wanted(directory, wanted, guardian).when_ready()

    @classmethod
    def find_shared(cls) -> Instance | None:
        """The instance that `dolambda local start` left running, if any."""
        directory = home() / SHARED
        if _state(directory).get("state") != "ready" or not _alive(directory):
            return None
        return cls._from_wanted(
            directory, json.loads((directory / "instance.json").read_text(encoding="utf-8")), None
        )

    @classmethod
    def _from_wanted(
        cls, directory: Path, wanted: dict[str, Any], guardian: subprocess.Popen[bytes] | None
    ) -> Instance:
        environment = wanted["environment"]
        return cls(
            directory,
            wanted["endpoint_url"],
            int(environment["DOLAMBDA_LOCAL_SLOTS"]),
            environment["AWS_ACCESS_KEY_ID"],
            environment["AWS_SECRET_ACCESS_KEY"],
            guardian.stdin if guardian else None,
            guardian,
        )

    @property
    def running(self) -> bool:
        """Whether its guardian lives. Costs some 20 us, so it can be asked in a loop."""
        return _alive(self.directory)

    def stop(self) -> None:
        """End it and wait until nothing of it is left. Raises `LocalAwsError` if that takes too long."""
        if self.lifeline:
            self.lifeline.close()
        pid = _state(self.directory).get("guardian")
        if pid and _alive(self.directory):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_WITHIN
        while self.directory.exists():
            if not _alive(self.directory):
                sweep()
            if time.monotonic() > deadline:
                raise LocalAwsError(
                    f"the emulated AWS in {self.directory} did not end within {_STOP_WITHIN} s",
                    hint="`dolambda local stop` tries again.",
                )
            time.sleep(0.02)
        if self.guardian:
            self.guardian.wait(_STOP_WITHIN)

    def when_ready(self) -> Instance:
        """Wait until it answers; stop it if it does not. Raises `LocalAwsError`."""
        try:
            self._await_ready()
        except BaseException:  # Ctrl-C too: it was started for the caller, who does not get it
            self.stop()
            raise
        return self

    def _await_ready(self) -> None:
        deadline = time.monotonic() + _START_WITHIN
        while (state := _state(self.directory)).get("state") != "ready":
            ended = self.guardian is not None and self.guardian.poll() is not None
            if state.get("state") == "failed" or ended or time.monotonic() > deadline:
                why = state.get(
                    "why", "its guardian ended" if ended else f"not ready within {_START_WITHIN} s"
                )
                raise LocalAwsError(
                    f"AWS could not be emulated on this machine: {why}",
                    hint="Is the package registry reachable? The emulator is installed from it on first use.",
                )
            time.sleep(0.02)


def instances() -> list[Path]:
    """Directories of all instances, alive or not."""
    return sorted(path for path in home().glob("*") if path.is_dir())


def sweep() -> list[str]:
    """Clean up after instances whose guardian was killed; give their names."""
    swept = []
    for directory in instances():
        young = (
            time.time() - directory.stat().st_mtime < _YOUNG
            and not (directory / "state.json").exists()
        )
        if young or _alive(directory):
            continue
        group = _state(directory).get("group")
        if group and _is_ours(group, directory):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        shutil.rmtree(directory, ignore_errors=True)
        swept.append(directory.name)
    with contextlib.suppress(OSError):
        home().rmdir()
    return swept


def _alive(directory: Path) -> bool:
    """Whether its guardian lives: whether its lock is held. A process number alone may by now be someone else's."""
    try:
        with (directory / "lock").open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _is_ours(group: int, directory: Path) -> bool:
    """Whether that process group is still the emulator of that directory, and not someone else's by now."""
    asked = subprocess.run(
        ["ps", "-ww", "-o", "command=", "-p", str(group)],  # noqa: S607 - POSIX has it
        capture_output=True,
        text=True,
        check=False,
    )
    return str(directory) in asked.stdout


def _state(directory: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads((directory / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state


def _wanted(workers: int, *, embedded: bool) -> dict[str, Any]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    endpoint = f"http://127.0.0.1:{port}"
    return {
        "endpoint_url": endpoint,
        "embedded": embedded,
        "linger": 10,
        "uv": os.fspath(uv.find_uv_bin()),
        "launcher": str(_HERE / "launcher.py"),
        "requirements": str(_HERE / "requirements.txt"),
        "environment": {
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "LOCAL" + secrets.token_hex(8).upper(),
            "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AUTH": "true",
            "LOG_LEVEL": "INFO",
            "MINISTACK_REGION": REGION,
            "LAMBDA_WARM_TTL_SECONDS": "300",
            "LAMBDA_ACCOUNT_CONCURRENCY": "0",
            "DOLAMBDA_LOCAL_SLOTS": str(workers),
        },
    }
