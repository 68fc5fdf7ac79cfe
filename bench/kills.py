"""Kill the client of a named run at random moments, start it again each time, and look at what ran.

python bench/kills.py [times]. On the simulated AWS; exits with an error if a task that had a reply
ran again, or a result is wrong.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

from dolambda.named_runs import NamedRun
from dolambda.wire.outcome import Value
from support.simulated_aws.behaviour import Behaviour
from support.simulated_aws.simulation import Simulation, session_on

SCRIPT = """
    import os, sys, time
    sys.path.insert(0, os.environ["TESTS"])
    from support.simulated_aws.simulation import session_on
    from dolambda import LambdaExecutor

    NOTES = os.environ["NOTES"]

    def work(x):
        with open(NOTES, "a") as file:
            file.write(str(x) + "\\n")
        time.sleep(0.05)
        return x * x

    endpoint, key = os.environ["ENDPOINT"], bytes.fromhex(os.environ["KEY"])
    session = session_on(endpoint, key, workers=4, exclude_code=("support",))
    with LambdaExecutor(run="killed", session=session, batch=2) as executor:
        print(sum(executor.map(work, range({TASKS}))))
    session.close()
"""


def kill_and_resume(directory: Path, *, times: int, tasks: int, seed: int) -> tuple[set[int], bool]:
    """Give the tasks that ran again though they had a reply, and whether the results were right in
    the end.
    """
    notes, script = directory / "notes", directory / "script.py"
    script.write_text(textwrap.dedent(SCRIPT).replace("{TASKS}", str(tasks)))
    draw, key = random.Random(seed), os.urandom(32)  # noqa: S311 - repeatable, no secret
    stored: set[int] = set()
    again: set[int] = set()
    with Simulation(Behaviour(cold_start=0.05, event_delay=0.02)) as simulation:
        simulation.session(workers=4, key=key).close()
        here = {
            "TESTS": str(Path(__file__).parents[1] / "tests"),
            "NOTES": str(notes),
            "ENDPOINT": simulation.endpoint_url,
            "KEY": key.hex(),
        }
        out = ""
        for attempt in range(times + 1):
            before = len(ran(notes))
            client = subprocess.Popen(
                [sys.executable, str(script)],
                env={**os.environ, **here},
                stdout=subprocess.PIPE,
                text=True,
            )
            if attempt < times:
                moment = time.monotonic() + draw.uniform(0.5, 2.0)  # from before it has begun on
                while client.poll() is None and time.monotonic() < moment:
                    time.sleep(0.005)
                client.send_signal(signal.SIGKILL)
            out, _ = client.communicate(timeout=60)
            again |= stored & set(ran(notes)[before:])
            time.sleep(0.3)  # what was under way comes to its end, and may write its reply
            stored = replied(simulation.endpoint_url, key)
    return again, out.strip() == str(sum(x * x for x in range(tasks)))


def ran(notes: Path) -> list[int]:
    """The tasks that ran, in order."""
    return list(map(int, notes.read_text().split())) if notes.exists() else []


def replied(endpoint_url: str, key: bytes) -> set[int]:
    """The tasks whose results are in the bucket."""
    session = session_on(endpoint_url, key, workers=4)
    assert session.bucket is not None
    run = NamedRun("killed", session.bucket, key)
    outcomes = [
        packed.open() for reply in run.replies(run.reply_keys()) for packed in reply.outcomes
    ]
    session.close()
    return {round(outcome.value**0.5) for outcome in outcomes if isinstance(outcome, Value)}


if __name__ == "__main__":
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    with tempfile.TemporaryDirectory() as scratch:
        again, right = kill_and_resume(Path(scratch), times=times, tasks=40 * times, seed=0)
        twice = len(ran(Path(scratch, "notes"))) - 40 * times
    print(
        f"{times} kills: {len(again)} tasks with a reply ran again, {twice} runs of tasks whose "
        f"reply had not come, results right: {right}"
    )
    if again or not right:
        raise SystemExit(1)
