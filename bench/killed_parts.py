"""Kill one part at a random moment, many times: client, emulator, worker, child or guardian, on
both transports.

python bench/killed_parts.py [--times 50] [--only PART]... [--transport NAME] [--seed N]. On the
emulated AWS; Linux only. The part "suspended" is a client that is stopped until all of its jobs are
overdue, and then runs again.

After each kill every task has its right result or a clear error, the client is done within `WITHIN`
seconds, and within as many seconds again nothing is left: no process, no directory, no object in
the bucket. Exits with an error otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

PARTS = ("client", "emulator", "worker", "child", "guardian")
TRANSPORTS = ("queue", "direct")
SURVIVED = {"worker", "child"}  # the client and its emulator live on: one serves many kills
SUSPENDED = 20.0  # seconds: more than `OVERDUE` and what a reply may take to be found
OVERDUE = {"DOLAMBDA_MAX_WAIT": "1", "DOLAMBDA_TIMEOUT": "5"}
WITHIN = 10.0  # seconds
MAX_WRONG = 3  # kills of one part that go wrong, after which it is not killed again
START_WITHIN = 120.0  # seconds in which a client starts an emulator, however busy the machine is
APPEARS_WITHIN = 5.0  # seconds in which the first job starts a worker
ROUND = 1.0  # seconds that the tasks of one round take
STARTING = 3.0  # seconds that an emulator takes to start, about

CLIENT = """
    import json, sys, time
    import dolambda
    from dolambda.errors import DolambdaError

    TASKS, SECONDS = 50, 0.04  # on two workers: one second

    def double(x):
        time.sleep(SECONDS)
        return 2 * x

    def outcome(index, future):
        error = future.exception()
        if error is None:
            return "right" if future.result() == 2 * index else f"WRONG {future.result()!r}"
        clear = isinstance(error, DolambdaError) and "\\n" in str(error)  # it has a hint
        return type(error).__name__ if clear else f"UNCLEAR {error!r}"

    def left_in(bucket):
        until = time.monotonic() + 10
        while (left := bucket.list("jobs/") + bucket.list("outs/")) and time.monotonic() < until:
            time.sleep(0.1)
        return left

    def run():
        try:
            with dolambda.LambdaExecutor(transport=sys.argv[1]) as executor:
                futures = [executor.submit(double, index) for index in range(TASKS)]
                print(json.dumps({"running": True}), flush=True)
                return [outcome(*numbered) for numbered in enumerate(futures)]
        except DolambdaError as error:  # the emulator was gone before all tasks were submitted
            print(json.dumps({"running": True}), flush=True)
            return [type(error).__name__]

    session = dolambda.register("local", workers=2, requires=[], progress=False, logs=False)
    print(json.dumps({"directory": str(session.instance.directory)}), flush=True)
    for line in sys.stdin:
        outcomes = run()
        left = left_in(session.bucket) if line.strip() == "and look" else []
        print(json.dumps({"outcomes": outcomes, "left": left}), flush=True)
    dolambda.unregister()
"""


@dataclass
class Seen:
    """What came of the kills of one part on one transport."""

    kills: int = 0
    missed: int = 0  # the part had ended by itself, or not yet begun
    outcomes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0  # seconds from the kill to the client's end
    longest_left: float = 0.0  # seconds from then until nothing was left
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """One line, and one for each thing that is wrong."""
        line = (
            f"{self.kills} kills ({self.missed} hit nothing), done within {self.slowest:.1f} s,"
            f" nothing left {self.longest_left:.1f} s later: {dict(self.outcomes)}"
        )
        return "\n  ".join([line, *self.wrong])


class Client:
    """A program that uses an emulated AWS of its own, in a temporary directory of its own."""

    def __init__(self, transport: str, settings: Mapping[str, str] | None = None) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="killed-"))
        self.errors = self.place / "stderr"
        (self.place / "tmp").mkdir()
        with self.errors.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(CLIENT), transport],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **(settings or {}), "TMPDIR": str(self.place / "tmp")},
                cwd=self.place,
            )
        self._unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End whatever is left, so that one failure does not disturb the next kill."""
        for process in [self.process.pid, *self.processes()]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()  # type: ignore[union-attr] # both are pipes
        shutil.rmtree(self.place, ignore_errors=True)

    def say(self, line: str) -> None:
        """Have it run one round."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it was killed
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()

    def hear(self, seconds: float) -> dict[str, Any] | None:
        """Return the next thing that it prints; None if it ends or nothing comes in time."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + seconds
        while b"\n" not in self._unread:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self.process.stdout], [], [], left)[0]:
                return None
            content = os.read(self.process.stdout.fileno(), 1 << 16)
            if not content:
                return None
            self._unread += content
        line, self._unread = self._unread.split(b"\n", 1)
        said: dict[str, Any] = json.loads(line)
        return said

    def end(self, seconds: float) -> bool:
        """Let it close what it opened and end; False if it does not within that time."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def processes(self) -> dict[int, tuple[int, str]]:
        """Parent and command line of each process that its temporary directory betrays, but for
        itself.
        """
        found = {}
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                environment = (process / "environ").read_bytes()
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ")
                _, parent, *_ = (process / "stat").read_text().rsplit(")", 1)[1].split()
                if os.fsencode(self.place) in environment + command:
                    found[int(process.name)] = (int(parent), command.decode(errors="replace"))
        found.pop(self.process.pid, None)
        return found

    def find(self, part: str) -> list[int]:
        """Return the processes that are this part."""
        if part == "client":
            return [self.process.pid]
        if part in {"guardian", "emulator"}:
            entry = {"guardian": "guardian", "emulator": "group"}[part]
            found = []
            for state in (self.place / "tmp").glob("dolambda-*/*/state.json"):
                with contextlib.suppress(OSError):  # it is removed just now
                    found.append(json.loads(state.read_text(encoding="utf-8"))[entry])
            return found
        seen = self.processes()
        workers = {process for process, (_, command) in seen.items() if "awslambdaric" in command}
        children = {process for process in workers if seen[process][0] in workers}
        return sorted(children if part == "child" else workers - children)

    def left(self) -> list[str]:
        """Return the processes and directories that are left of it."""
        commands = [command for _, command in self.processes().values()]
        return commands + [str(path) for path in (self.place / "tmp").glob("dolambda-*")]


def wait_until_gone(client: Client, seconds: float) -> list[str]:
    """Return what is left after that time, if anything."""
    deadline = time.monotonic() + seconds
    while (left := client.left()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def kill(client: Client, part: str, draw: random.Random) -> bool:
    """Kill one process that is this part; False if there is none, or no longer."""
    deadline = time.monotonic() + APPEARS_WITHIN
    while not (there := client.find(part)):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    try:
        os.kill(draw.choice(there), signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def judge(seen: Seen, said: dict[str, Any] | None, client: Client) -> None:
    """Note the outcomes of one round."""
    if said is None:
        stderr = client.errors.read_text(errors="replace").strip()[-600:]
        ended = client.process.poll()
        seen.wrong.append(f"no outcomes (exit status {ended}): {stderr}")
        return
    seen.outcomes.update(
        outcome.split()[0] if outcome.startswith(("WRONG", "UNCLEAR")) else outcome
        for outcome in said["outcomes"]
    )
    bad = [outcome for outcome in said["outcomes"] if outcome.startswith(("WRONG", "UNCLEAR"))]
    if bad:
        seen.wrong.append(f"{len(bad)} outcomes, such as {bad[0][:300]}")
    if said["left"]:
        seen.wrong.append(f"left in the bucket: {said['left'][:5]}")


def one_round(
    client: Client, part: str, draw: random.Random, seen: Seen, within: float
) -> float | None:
    """Kill the part while tasks run; return the moment of the kill, None if the client was not
    ready.
    """
    client.say("and look" if part in SURVIVED else "go")
    if client.hear(START_WITHIN) is None:
        seen.wrong.append(f"no task was submitted: {client.errors.read_text()[-600:]}")
        return None
    time.sleep(draw.uniform(0.0, ROUND))
    seen.kills += 1
    seen.missed += not kill(client, part, draw)
    moment = time.monotonic()
    if part != "client":
        judge(seen, client.hear(within), client)
        seen.slowest = max(seen.slowest, time.monotonic() - moment)
    return moment


def kill_while_it_starts(client: Client, draw: random.Random, seen: Seen) -> None:
    """Kill the client while it starts its emulator, or just after."""
    time.sleep(draw.uniform(0.1, STARTING))
    seen.kills += 1
    seen.missed += not kill(client, "client", draw)


def one_client(
    part: str, transport: str, kills: int, draw: random.Random, seen: Seen, within: float
) -> None:
    """Start a client, kill the part that many times, and see that nothing is left in the end."""
    with Client(transport) as client:
        if part == "client" and draw.random() < 0.5:
            kill_while_it_starts(client, draw, seen)
        elif client.hear(START_WITHIN) is None:
            seen.wrong.append(f"it did not start: {client.errors.read_text()[-600:]}")
            return
        else:
            for _ in range(kills):
                if one_round(client, part, draw, seen, within) is None:
                    return
        begun = time.monotonic()
        if not client.end(within):
            seen.wrong.append(f"the client did not end within {within:.0f} s")
        if part not in {"client", "emulator", "guardian"} and client.process.returncode:
            seen.wrong.append(f"the client ended with {client.process.returncode}")
        if left := wait_until_gone(client, within):
            seen.wrong.append(f"left after {within:.0f} s: {left}")
        seen.longest_left = max(seen.longest_left, time.monotonic() - begun)


def kill_often(
    part: str, transport: str, *, times: int, seed: int = 0, within: float = WITHIN
) -> Seen:
    """Kill a part that many times and return what came of it."""
    draw = random.Random(f"{part} {transport} {seed}")  # noqa: S311 - repeatable, no secret
    seen = Seen()
    if part in SURVIVED:
        one_client(part, transport, times, draw, seen, within)
    while seen.kills < times and len(seen.wrong) < MAX_WRONG:
        one_client(part, transport, 1, draw, seen, within)
    if seen.missed == seen.kills:
        seen.wrong.append("no kill hit anything")
    return seen


def suspend_often(transport: str, *, times: int, seed: int = 0, within: float = WITHIN) -> Seen:
    """Suspend a client that many times, each time until its jobs are overdue: all results are
    right.
    """
    draw = random.Random(f"suspended {transport} {seed}")  # noqa: S311 - repeatable, no secret
    seen = Seen()
    with Client(transport, OVERDUE) as client:
        client.hear(START_WITHIN)
        for _ in range(times):
            client.say("and look")
            client.hear(START_WITHIN)
            time.sleep(draw.uniform(0.0, ROUND))
            client.process.send_signal(signal.SIGSTOP)
            time.sleep(SUSPENDED)
            client.process.send_signal(signal.SIGCONT)
            seen.kills += 1
            moment = time.monotonic()
            judge(seen, client.hear(within), client)
            seen.slowest = max(seen.slowest, time.monotonic() - moment)
        if not client.end(within):
            seen.wrong.append(f"the client did not end within {within:.0f} s")
        if left := wait_until_gone(client, within):
            seen.wrong.append(f"left after {within:.0f} s: {left}")
    if lost := {name: count for name, count in seen.outcomes.items() if name != "right"}:
        seen.wrong.append(f"not right: {lost}")
    return seen


def main() -> None:
    """Kill each part on each transport, two at a time: most of the time is spent waiting."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=50, help="of each part on each transport")
    parser.add_argument("--only", choices=[*PARTS, "suspended"], action="append")
    parser.add_argument("--transport", choices=TRANSPORTS, action="append")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    pairs = [
        (part, transport)
        for part in chosen.only or [*PARTS, "suspended"]
        for transport in chosen.transport or TRANSPORTS
    ]
    with ThreadPoolExecutor(2) as lanes:
        running = [
            lanes.submit(suspend_often, transport, times=min(3, chosen.times), seed=chosen.seed)
            if part == "suspended"
            else lanes.submit(kill_often, part, transport, times=chosen.times, seed=chosen.seed)
            for part, transport in pairs
        ]
        wrong = 0
        for pair, future in zip(pairs, running, strict=True):
            seen = future.result()
            wrong += len(seen.wrong)
            print(*pair, seen, flush=True)
    if wrong:
        raise SystemExit(f"{wrong} things are wrong")


if __name__ == "__main__":
    main()
