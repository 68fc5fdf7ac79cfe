"""The command line.

**Input:** arguments. **Output:** an exit code, and no traceback for a user's mistake.

__init__.py     the command and its errors
options.py      options that several commands have
files.py        checks of the files that commands write
connect.py      the stack of a command, on AWS or emulated on this machine
words.py        errors in the words of the command line
stack.py        dolambda plan | deploy | destroy | policy
template.py     dolambda template
status.py       dolambda status
doctor.py       dolambda doctor
logs.py         dolambda logs
log_entries.py  the lines of the workers' log, for `logs`
panic.py        dolambda panic
rotate_key.py   dolambda rotate-key
runs.py         dolambda runs list | show | fetch | resume | cancel | clean
quote.py        dolambda quote
tune.py         dolambda tune
report.py       dolambda report
dashboard.py    dolambda dashboard
advise.py       dolambda advise
code.py         dolambda code
r_layers.py     dolambda r-layers
config.py       dolambda config | init
local.py        dolambda local start | status | env | stop
demo.py         dolambda demo
version.py      dolambda version
"""

from __future__ import annotations

import contextlib
import os
import sys
import warnings

import typer

from dolambda.cli.advise import advise
from dolambda.cli.code import code
from dolambda.cli.config import config, init
from dolambda.cli.dashboard import dashboard
from dolambda.cli.demo import demo
from dolambda.cli.doctor import doctor
from dolambda.cli.local import local
from dolambda.cli.logs import logs
from dolambda.cli.panic import panic
from dolambda.cli.quote import quote
from dolambda.cli.r_layers import r_layers
from dolambda.cli.report import report
from dolambda.cli.rotate_key import rotate_key
from dolambda.cli.runs import runs
from dolambda.cli.stack import deploy, destroy, plan, policy
from dolambda.cli.status import status
from dolambda.cli.template import template
from dolambda.cli.tune import tune
from dolambda.cli.values import PlainGroup
from dolambda.cli.version import version
from dolambda.cli.words import in_options
from dolambda.errors import DolambdaError

_RUN, _SEE, _STACK = "Run", "See", "Stack"

app = typer.Typer(
    name="dolambda",
    cls=PlainGroup,
    no_args_is_help=True,
    epilog="Begin with `dolambda demo`. It needs no AWS account. Documentation: "
    "https://dolambda.github.io/dolambda/",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for panel, commands in (
    (_RUN, (demo, code)),
    (_SEE, (status, doctor, logs, report, dashboard, advise, config, version)),
    (_STACK, (init, plan, deploy, template, destroy, policy, panic, rotate_key, r_layers)),
):
    for command in commands:
        app.command(rich_help_panel=panel)(command)
for sampling in (quote, tune):
    app.command(
        rich_help_panel=_RUN,
        context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    )(sampling)  # arguments after the program belong to it
app.add_typer(runs, name="runs", rich_help_panel=_SEE)
app.add_typer(local, name="local", rich_help_panel=_STACK)


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def options(
    _version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Run Python's parallel loops on AWS Lambda, or on AWS emulated on this machine."""


def main() -> None:
    """Run the command line."""
    warnings.formatwarning = lambda message, *_, **__: f"dolambda: {message}\n"
    try:
        try:
            app()
        finally:
            if sys.stdout:
                sys.stdout.flush()
    except DolambdaError as error:
        print(f"dolambda: {in_options(str(error))}", file=sys.stderr)
        raise SystemExit(1) from None
    except BrokenPipeError:  # the reader has ended, as after `| head`
        _drop_output()
        raise SystemExit(1) from None
    except OSError as error:  # a full disk or no permission: the system's message says which
        about = f": {error.filename}" if error.filename else ""
        print(f"dolambda: {error.strerror or error}{about}", file=sys.stderr)
        _drop_output()
        raise SystemExit(1) from None


def _drop_output() -> None:
    """Keep the interpreter from trying at its end to write the rest of the output."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
