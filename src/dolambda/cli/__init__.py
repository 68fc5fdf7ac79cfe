"""The command line. On entry: arguments; on leaving: an exit code, and no traceback for a user's mistake.

__init__.py     the command and its errors
stack.py        dolambda deploy | plan | status | destroy | policy
doctor.py       dolambda doctor
logs.py         dolambda logs
panic.py        dolambda panic
rotate_key.py   dolambda rotate-key
runs.py         dolambda runs list | show | fetch | resume | cancel | clean
quote.py        dolambda quote
code.py         dolambda code
r_layers.py     dolambda r-layers
local.py        dolambda local start | status | stop
demo.py         dolambda demo
"""

from __future__ import annotations

import sys

import typer

from dolambda.cli.code import code
from dolambda.cli.demo import demo
from dolambda.cli.doctor import doctor
from dolambda.cli.local import local
from dolambda.cli.logs import logs
from dolambda.cli.panic import panic
from dolambda.cli.quote import quote
from dolambda.cli.r_layers import r_layers
from dolambda.cli.rotate_key import rotate_key
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
for command in (
    deploy,
    plan,
    status,
    doctor,
    logs,
    panic,
    rotate_key,
    destroy,
    policy,
    quote,
    code,
    demo,
    r_layers,
):
    app.command()(command)


@app.callback(invoke_without_command=True)
def options(
    version: bool = typer.Option(False, "--version", help="Show the version and exit."),
) -> None:
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
