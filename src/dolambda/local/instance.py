"""An emulated AWS, as the client sees it.

    <directory>/           see place.py
        instance.json   the request: port, keys of its root user (of no use anywhere else)
        state.json      the guardian's progress
        lock            held by the guardian while it lives
        clients/        one file for each program that uses a shared instance, locked meanwhile
        env             link to the emulator's environment in the cache, see cache.py
        tmp/            (both in the temporary directory, if that is another)
        server.log

**Input:** the number of workers. **Output:** an `Instance` that responds on 127.0.0.1. Once it was
stopped, nothing is left on disk and no process runs.
"""

from __future__ import annotations

import contextlib
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
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import uv

from dolambda.errors import ConfigurationError, LocalAwsError
from dolambda.local.cache import opened
from dolambda.local.failures import advice
from dolambda.local.place import (
    checked_home,
    home,
    is_alive,
    is_locked,
    read,
    refuse_windows,
    sweep,
)
from dolambda.version import VERSION
from dolambda.wire.task import PYTHON

try:
    import fcntl
except ModuleNotFoundError:  # on Windows, where AWS cannot be emulated
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SHARED = "shared"
"""Name of the instance that outlives its client."""

REGION = "us-east-1"
ACCOUNT = "000000000000"
_START_WITHIN = 420
_STOP_WITHIN = 30
_DEPLOY_WITHIN = 600
_HERE = Path(__file__).parent
_STAGES = {"starting": "starting the emulated AWS", "installing": "installing the emulated AWS"}

_held: weakref.WeakSet[Instance] = weakref.WeakSet()
"""Instances of which this process holds a lifeline or a place among the clients."""


def default_workers() -> int:
    """Return the number of processors, but at least two: one worker would not be parallel."""
    return max(2, os.cpu_count() or 1)


@dataclass(eq=False)
class Instance:
    """One emulated AWS.

    ``key`` and ``secret`` belong to its root user. ``cache`` is the directory of its packages, see
    cache.py.
    """

    directory: Path
    endpoint_url: str
    workers: int
    key: str
    secret: str = field(repr=False)
    cache: Path
    python: str = PYTHON
    version: str = VERSION
    lifeline: IO[bytes] | None = field(default=None, repr=False)
    guardian: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _place: IO[str] | None = field(default=None, repr=False)

    @classmethod
    def from_start(
        cls,
        *,
        workers: int | None = None,
        name: str | None = None,
        rules: Sequence[Path] = (),
        sandbox: bool = False,
        limit_cpu: bool = False,
        wait: bool = True,
    ) -> Instance:
        """Start an instance and wait until it responds.

        Args:
            workers: Number of workers.
            name: Name of the instance. Without one it ends with this process.
            rules: Files whose function ``rules`` returns rules for the gateway, see
                emulator/gateway.py.
            sandbox: Confine workers as Lambda does, see emulator/sandbox.py. It needs bubblewrap.
            limit_cpu: Also limit workers in a sandbox to memory/1,769 of a core.
            wait: Without it the instance may not respond yet: `when_ready` waits for that, and
                `stop` ends the instance at any time.

        Returns:
            The instance.

        Raises:
            LocalAwsError: The instance did not start.
        """
        refuse_windows()
        if sandbox and shutil.which("bwrap") is None:
            raise ConfigurationError(
                "workers cannot run in a sandbox: bwrap is not installed",
                hint="Install bubblewrap (apt-get install bubblewrap), or leave sandbox= out.",
            )
        sweep()
        directory = checked_home(make=True) / (name or f"{os.getpid()}-{secrets.token_hex(4)}")
        try:
            confined = ("cpu" if limit_cpu else "yes") if sandbox else ""
            wanted_workers = workers or default_workers()
            started = cls._start(directory, wanted_workers, name is None, rules, confined)
        except OSError as error:
            shutil.rmtree(directory, ignore_errors=True)
            said = f"{error.strerror or error}: {directory}"
            raise LocalAwsError(
                f"AWS could not be emulated on this machine: {said}", hint=advice("starting", said)
            ) from error
        return started.when_ready() if wait else started

    @classmethod
    def _start(
        cls,
        directory: Path,
        workers: int,
        embedded: bool,  # noqa: FBT001 - private
        rules: Sequence[Path],
        sandbox: str,
    ) -> Instance:
        directory.mkdir(mode=0o700)
        with socket.socket() as first, _past_streams(first) as bound:
            # The emulator gets this very socket, so nobody else can have its port.
            bound.bind(("127.0.0.1", 0))
            wanted = _wanted(directory, workers, bound.getsockname()[1], embedded, rules, sandbox)
            (directory / "instance.json").write_text(json.dumps(wanted), encoding="utf-8")
            guardian = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    str(_HERE / "guardian.py"),
                    str(directory),
                    str(bound.fileno()),
                ],
                stdin=subprocess.PIPE if embedded else subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=(bound.fileno(),),
                start_new_session=True,
            )
        started = cls._from_wanted(directory, wanted)
        started.guardian, started.lifeline = guardian, guardian.stdin
        _held.add(started)
        return started

    @classmethod
    def find_shared(cls) -> Instance | None:
        """Return the instance that `dolambda local start` left running, if any.

        Raises:
            LocalAwsError: The directory of instances cannot be trusted.
        """
        directory = checked_home() / SHARED
        if read(directory, "state.json").get("state") != "ready" or not is_alive(directory):
            return None
        return cls._from_wanted(directory, read(directory, "instance.json"))

    @classmethod
    def _from_wanted(cls, directory: Path, wanted: dict[str, Any]) -> Instance:
        environment = wanted["environment"]
        return cls(
            directory,
            wanted["endpoint_url"],
            int(environment["DOLAMBDA_LOCAL_SLOTS"]),
            environment["AWS_ACCESS_KEY_ID"],
            environment["AWS_SECRET_ACCESS_KEY"],
            Path(environment.get("DOLAMBDA_LOCAL_CACHE", directory / "cache")),
            wanted.get("python", "another version"),
            wanted.get("dolambda", "another version"),
        )

    @property
    def running(self) -> bool:
        """True if its guardian lives. The check takes some 20 us, so it can be done in a loop."""
        return is_alive(self.directory)

    @property
    def is_shared(self) -> bool:
        """True if other programs can use it too."""
        return self.directory.name == SHARED

    @property
    def misfit(self) -> str:
        """Reason why this program cannot use it, "" if it can.

        Workers run the Python and the dolambda that the instance was started with.
        """
        if self.python != PYTHON:
            return f"runs Python {self.python}, but this is Python {PYTHON}"
        if self.version != VERSION:
            return f"is of dolambda {self.version}, but this is {VERSION}"
        return ""

    def join(self) -> None:
        """Count this program among those that use it, until `leave` or this process ends."""
        place = self.directory / "clients"
        place.mkdir(mode=0o700, exist_ok=True)
        self._place = (place / f"{os.getpid()}-{secrets.token_hex(4)}").open("w")
        fcntl.flock(self._place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _held.add(self)

    def leave(self) -> None:
        """Undo `join`."""
        if self._place:
            with contextlib.suppress(OSError):
                Path(self._place.name).unlink()
            self._place.close()
            self._place = None

    def clients(self) -> list[int]:
        """Return the process ids of the programs that use it, one for each session."""
        places = (self.directory / "clients").glob("*")
        return sorted(int(place.name.split("-")[0]) for place in places if is_locked(place))

    @contextlib.contextmanager
    def deploying(self) -> Iterator[None]:
        """Let one program at a time deploy into it.

        Raises:
            LocalAwsError: Another program has been deploying for too long.
        """
        deadline = time.monotonic() + _DEPLOY_WITHIN
        with (self.directory / "deploying").open("w") as lock:
            while True:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                if time.monotonic() > deadline:
                    raise LocalAwsError(
                        f"another program has been deploying into {self.directory} for "
                        f"{_DEPLOY_WITHIN} "
                        "s",
                        hint="`dolambda local stop` ends the emulated AWS.",
                    )
                time.sleep(0.05)
            yield

    def stop(self) -> None:
        """End the instance and wait until nothing of it is left.

        Raises:
            LocalAwsError: That takes too long.
        """
        if self.lifeline:
            self.lifeline.close()
        pid = read(self.directory, "state.json").get("guardian")
        if pid and is_alive(self.directory):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_WITHIN
        while self.directory.exists():
            if not is_alive(self.directory):
                sweep()
            if time.monotonic() > deadline:
                raise LocalAwsError(
                    f"the emulated AWS in {self.directory} did not end within {_STOP_WITHIN} s",
                    hint="`dolambda local stop` tries again.",
                )
            time.sleep(0.02)
        if self.guardian:
            self.guardian.wait(_STOP_WITHIN)
            self._forget_errors()

    def when_ready(self, show: Callable[[str], object] = lambda _: None) -> Instance:
        """Wait until the instance responds. Stop it if it does not.

        Args:
            show: Called with the name of each step.

        Returns:
            This instance.

        Raises:
            LocalAwsError: The instance did not start.
        """
        try:
            self._await_ready(show)
        except BaseException:
            # Ctrl-C too: the caller does not get the instance that was started for it.
            self.stop()
            raise
        self._forget_errors()
        return self

    def _await_ready(self, show: Callable[[str], object]) -> None:
        deadline = time.monotonic() + _START_WITHIN
        while (state := read(self.directory, "state.json")).get("state") != "ready":
            show(_STAGES.get(state.get("state", ""), _STAGES["starting"]))
            ended = self.guardian is not None and self.guardian.poll() is not None
            if state.get("state") == "failed" or ended or time.monotonic() > deadline:
                why = state.get("why") or (
                    self._last_words() if ended else f"not ready within {_START_WITHIN} s"
                )
                raise LocalAwsError(
                    f"AWS could not be emulated on this machine: {why}",
                    hint=advice(state.get("stage", "starting"), why),
                )
            time.sleep(0.02)

    def _last_words(self) -> str:
        """Return why the guardian ended, in its own words.

        If a disk is full, it could write them nowhere else.
        """
        said = b""
        if self.guardian and self.guardian.stderr:
            said = self.guardian.stderr.read()
        lines = said.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "its guardian ended"

    def _forget_errors(self) -> None:
        if self.guardian and self.guardian.stderr:
            self.guardian.stderr.close()


def _let_go_in_fork() -> None:
    """Close a fork's copies of the lifelines and places.

    They must end with the process that opened them.
    """
    for instance in list(_held):
        for held in (instance.lifeline, instance._place):  # noqa: SLF001 - of this module
            if held is not None:
                with contextlib.suppress(OSError):
                    held.close()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_let_go_in_fork)


def _past_streams(made: socket.socket) -> socket.socket:
    """Return the same socket with a number that no standard stream has.

    The standard streams of this program may be closed.
    """
    return socket.socket(fileno=fcntl.fcntl(made, fcntl.F_DUPFD_CLOEXEC, 3))


def _wanted(
    directory: Path,
    workers: int,
    port: int,
    embedded: bool,  # noqa: FBT001 - private
    rules: Sequence[Path],
    sandbox: str,
) -> dict[str, Any]:
    endpoint = f"http://127.0.0.1:{port}"
    in_temporary = home().parent == Path(tempfile.gettempdir())
    scratch = directory if in_temporary else Path(tempfile.mkdtemp(prefix="dolambda-"))
    cache = str(opened(scratch / "cache"))
    return {
        "endpoint_url": endpoint,
        "python": PYTHON,
        "dolambda": VERSION,
        "embedded": embedded,
        "client": os.getpid(),
        "scratch": str(scratch),
        "cache": cache,
        "linger": 10,
        "uv": os.fspath(uv.find_uv_bin()),
        "requirements": str(_HERE / "requirements.txt"),
        "environment": {
            "GATEWAY_PORT": str(port),
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "LOCAL" + secrets.token_hex(8).upper(),
            "AWS_SECRET_ACCESS_KEY": secrets.token_hex(20),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AUTH": "true",
            "LOG_LEVEL": "INFO",
            "IOT_MTLS_ENABLED": "0",
            "MINISTACK_REGION": REGION,
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "LAMBDA_WARM_TTL_SECONDS": "300",
            "LAMBDA_ACCOUNT_CONCURRENCY": "0",
            "DOLAMBDA_LOCAL_SLOTS": str(workers),
            "DOLAMBDA_LOCAL_CACHE": cache,
            "DOLAMBDA_LOCAL_SANDBOX": sandbox,
            "DOLAMBDA_LOCAL_RULES": os.pathsep.join(map(str, rules)),
        },
    }
