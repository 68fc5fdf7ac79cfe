"""``dolambda demo``: real work, start to finish, on AWS emulated on this machine.

**Output:** exit code 0 only if every result was right.
"""

from __future__ import annotations

import contextlib
import runpy
import sys
import time
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from dolambda.errors import ConfigurationError
from dolambda.money.bill import Bill
from dolambda.money.prices import BASIS
from dolambda.registration import register_session, unregister
from dolambda.session import Session
from dolambda.settings import Settings
from dolambda.wire.keys import JOBS, OUTS
from dolambda.wording import count

REQUIRES = ("numpy", "scikit-learn")


def demo(
    tasks: int = typer.Option(
        300, min=2, help="Number of bootstrap replicates in the second part."
    ),
) -> None:
    """Run foreach and unmodified joblib code on emulated Lambda, and compare with loky."""
    console = Console()
    script = _script()
    console.print(
        "Starting AWS on this machine (emulated S3, IAM and Lambda), with a layer",
        style="dim",
        highlight=False,
    )
    console.print(f"that holds {' and '.join(REQUIRES)} ...", style="dim", highlight=False)
    begun = time.perf_counter()
    settings = Settings.resolve(requires=REQUIRES)
    session = register_session(Session.open_local(settings, may_share=False), progress=False)
    emulator = session.instance.directory if session.instance else None
    try:
        console.print(
            f"ready after {time.perf_counter() - begun:.1f} s\n", style="dim", highlight=False
        )
        right = _foreach(console)
        right &= _bootstrap(console, script, tasks)
        right &= session.report().done >= tasks  # loky on both sides would also be equal
        _used(console, session)
        left = _left_in_bucket(session)
    finally:
        unregister()
    console.print(
        f"\nLeft behind: {count(left, 'object')} under {JOBS} and {OUTS}, {_emulators(emulator)}, "
        "0 dollars.",
        highlight=False,
    )
    if not right or left:
        raise typer.Exit(1)


def _emulators(directory: Path | None) -> str:
    """Return the number of this demo's emulators that are left, in words."""
    return "1 emulator" if directory is not None and directory.exists() else "0 emulators"


def _script() -> dict[str, Any]:
    """Run the user's script, and return its definitions.

    Its functions belong to ``__main__``, as when a user runs it.
    """
    try:
        return runpy.run_path(
            str(Path(__file__).with_name("breast_cancer.py")), run_name="__main__"
        )
    except ImportError as error:
        raise ConfigurationError(
            f"the demo needs {error.name}, which is not installed",
            hint="Install its packages: pip install numpy scikit-learn",
        ) from error


def _foreach(console: Console) -> bool:
    from dolambda.loops import dopar, foreach  # noqa: PLC0415 - near the text that it shows

    console.print("[bold]1. foreach[/bold], as doLambda's README has it\n")
    console.print(
        "   b = 12\n   foreach(i=range(1, 11)) %dopar% (lambda i: i * 3 * b)\n",
        style="cyan",
        highlight=False,
    )
    b = 12
    result = foreach(i=range(1, 11)) % dopar % (lambda i: i * 3 * b)
    console.print(f"   {result}\n", highlight=False)
    return bool(result == [i * 3 * b for i in range(1, 11)])


def _bootstrap(console: Console, script: dict[str, Any], tasks: int) -> bool:
    joblib, numpy, bootstrap = sys.modules["joblib"], script["np"], script["bootstrap"]
    console.print("[bold]2. joblib, unmodified[/bold]: how well can a biopsy be classified?\n")
    console.print(
        f"   {tasks} bootstrap replicates on scikit-learn's breast-cancer data, 569 x 30:\n",
        highlight=False,
    )
    console.print(
        "   Parallel(n_jobs=-1)(delayed(replicate)(model, X, y, seed)",
        style="cyan",
        highlight=False,
    )
    console.print("                       for seed in range(n))\n", style="cyan", highlight=False)
    scores: dict[str, Any] = {}
    for name, context in (
        ("Lambda", contextlib.nullcontext),
        ("loky", lambda: joblib.parallel_config("loky")),
    ):
        begun = time.perf_counter()
        with context():
            scores[name] = bootstrap(tasks)
        low, high = numpy.percentile(scores[name], [2.5, 97.5])
        spread = f"accuracy {scores[name].mean():.4f} ({low:.4f} to {high:.4f})"
        console.print(
            f"   {name:<7} {spread}   in {time.perf_counter() - begun:.1f} s", highlight=False
        )
    equal = bool(numpy.array_equal(scores["Lambda"], scores["loky"]))
    verdict = f"equal, bit for bit, in all {tasks} replicates" if equal else "NOT EQUAL"
    console.print(f"   {verdict}\n", style="green" if equal else "red", highlight=False)
    return equal


def _used(console: Console, session: Session) -> None:
    report, stack = session.report(), session.stack
    if stack is None:
        return
    bill = Bill.from_report(report, memory=stack.memory, architecture=stack.architecture)
    table = Table(
        title="What was used",
        title_justify="left",
        title_style="bold",
        show_header=False,
        box=None,
        padding=(0, 2, 0, 1),
    )
    table.add_row("tasks", f"{report.tasks:,}, of which {report.failed:,} failed")
    table.add_row(
        "jobs",
        f"{report.jobs:,} on {count(len(report.workers), 'worker')}, {report.resent:,} sent again",
    )
    table.add_row(
        "worker time", f"{report.seconds:.1f} s, {bill.gb_seconds:.1f} GB-s at {stack.memory} MB"
    )
    calls = sorted(report.calls.items(), key=lambda call: -call[1])
    for line, (action, times) in enumerate(calls):
        table.add_row("" if line else "AWS calls", f"{times:5} {action}")
    table.add_row("on AWS", f"${bill.total:.6f} ({BASIS})")
    console.print(table, highlight=False)


def _left_in_bucket(session: Session) -> int:
    if session.bucket is None:
        return 0
    return sum(len(session.bucket.list(prefix)) for prefix in (JOBS, OUTS))
