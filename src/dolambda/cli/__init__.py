"""The command line. On entry: arguments; on leaving: an exit code, and no traceback for a user's mistake.

__init__.py   the command and its errors
local.py      dolambda local start | status | stop
demo.py       dolambda demo
quote.py      dolambda quote
runs.py       dolambda runs list | show | fetch | resume | cancel | clean
"""

from __future__ import annotations

import sys

import typer

from dolambda.cli.demo import demo
from dolambda.cli.doctor import doctor
from dolambda.cli.local import local
from dolambda.cli.logs import logs
from dolambda.cli.quote import quote
from dolambda.cli.runs import runs
from dolambda.cli.stack import deploy, destroy, plan, policy, status
from dolambda.errors import DolambdaError
from dolambda.version import VERSION

app = typer.Typer(
    name="dolambda",
    help="Run Python's parallel loops on AWS Lambda, or on AWS emulated on this machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(local, name="local")
app.add_typer(runs, name="runs")
for command in (deploy, plan, status, doctor, logs, destroy, policy, quote, demo):
    app.command()(command)


@app.callback(invoke_without_command=True)
def options(version: bool = typer.Option(False, "--version", help="Show the version and exit.")) -> None:
    """Run Python's parallel loops on AWS Lambda, or on AWS emulated on this machine."""
    if version:
        print(f"dolambda {VERSION}")
        raise typer.Exit


def main() -> None:
    """Run the command line."""
    try:
        app()
    except DolambdaError as error:
        print(f"dolambda: {error}", file=sys.stderr)
        raise SystemExit(1) from None
