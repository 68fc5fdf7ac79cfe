"""``dolambda tune``: the first tasks of a program, measured at several memory sizes."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from dolambda.cli import options as given
from dolambda.cli.connect import LOCAL, connect
from dolambda.cli.files import refuse_unwritable, writing
from dolambda.cli.quote import refuse_missing_program, run_sample
from dolambda.cli.signals import TERMINATION, ended_by
from dolambda.errors import ConfigurationError
from dolambda.money.quote import agreed
from dolambda.progress.notices import notice
from dolambda.progress.terminal import SCREEN
from dolambda.provision.deploy import names_of
from dolambda.provision.tuning import delete, leftovers
from dolambda.records.work import MAX_MB, MIN_MB
from dolambda.tuning import picture
from dolambda.tuning.tuner import BUDGET, SIZES, Wishes, tuning
from dolambda.wording import count, dollars, listing

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.tuning.curve import Curve

_USUAL = ", ".join(map(str, SIZES))
_ENDINGS = {".svg": picture.svg, ".html": picture.html}
_UNLIMITED = 120  # columns if output is not a terminal


def tune(
    program: Annotated[
        Path | None, typer.Argument(help="A Python program that uses dolambda.", show_default=False)
    ] = None,
    arguments: Annotated[list[str] | None, typer.Argument(help="The program's arguments.")] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            help=f"Sizes in MB, with commas between them. Default: {_USUAL}, and the stack's.",
            show_default=False,
        ),
    ] = None,
    budget: Annotated[float, typer.Option(help="Dollars that it may cost.")] = BUDGET,
    save: Annotated[
        Path | None,
        typer.Option(help="Also draw the curve, into a .svg or .html file.", show_default=False),
    ] = None,
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove the functions that a killed tune has left.")
    ] = False,
    yes: given.Yes = False,
    as_json: given.AsJson = False,
    stack: given.Name = None,
    region: given.Region = None,
    profile: given.Profile = None,
    local: Annotated[
        bool, typer.Option("--local", help="With --clean: search the AWS emulated on this machine.")
    ] = False,
) -> None:
    """Run a program's first tasks at several memory sizes, and print time and cost at each.

    They run on temporary functions with the stack's role and layers, which are removed at the end.
    """
    if clean:
        _clean(stack, region, profile, local=local)
        return
    if program is None:
        raise ConfigurationError(
            "no program was given", hint="Add a Python file, and after it its arguments."
        )
    refuse_missing_program(program)
    draw = _drawing(save)
    wishes = Wishes(_sizes(memory), _checked(budget), lambda quote: _agree(quote, yes=yes), notice)
    _choose_stack(stack, region, profile, local=local)
    curve = _measure(program, arguments or [], wishes)
    _show(curve, as_json=as_json)
    if save and draw:
        with writing(save, "--save"):
            save.write_text(draw(curve), encoding="utf-8")
        notice(f"wrote {save}")


def _measure(program: Path, arguments: list[str], wishes: Wishes) -> Curve:
    """Run the sample, and return what was measured. If nothing was, end the command."""
    with ended_by(TERMINATION), tuning(wishes) as begun:
        try:
            run_sample(program, arguments)
        finally:
            if left := begun.close():
                notice(f"not removed: {listing(left)}; `dolambda tune --clean` removes them")
    if begun.curve is None:
        notice("nothing was measured: the program has sent no task, or you said no")
        raise typer.Exit(1)
    return begun.curve


def _sizes(text: str | None) -> tuple[int, ...] | None:
    """Return the sizes that an option names.

    Raises:
        ConfigurationError: One of them is not a memory size.
    """
    if text is None:
        return None
    found = [part.strip() for part in text.split(",")]
    wrong = [one for one in found if not (one.isdecimal() and MIN_MB <= int(one) <= MAX_MB)]
    if wrong:
        raise ConfigurationError(
            f"--memory has {wrong[0]!r}, which is not a memory size of Lambda",
            hint=f"Write whole numbers of MB from {MIN_MB:,} to {MAX_MB:,}: --memory "
            "512,1024,1769.",
        )
    return tuple(map(int, found))


def _checked(budget: float) -> float:
    if not budget > 0:
        raise ConfigurationError(
            f"--budget must be above zero dollars, got {budget:g}", hint="Write --budget 0.50."
        )
    return budget


def _drawing(save: Path | None) -> Callable[[Curve], str] | None:
    """Return the function that draws the curve.

    Raises:
        ConfigurationError: The file cannot be written.
    """
    if save is None:
        return None
    refuse_unwritable(save, "--save")
    if save.suffix not in _ENDINGS:
        raise ConfigurationError(
            f"--save {str(save)!r} is neither a picture nor a page",
            hint=f"Use a file that ends with {listing(_ENDINGS, 'or')}.",
        )
    return _ENDINGS[save.suffix]


def _choose_stack(
    stack: str | None, region: str | None, profile: str | None, *, local: bool
) -> None:
    """Set the stack of the program, unless it names another one itself."""
    chosen = {"STACK": stack, "REGION": region, "PROFILE": profile}
    if local or stack == LOCAL:
        raise ConfigurationError(
            "--local applies to --clean only",
            hint='The program chooses: dolambda.register("local").',
        )
    os.environ |= {f"DOLAMBDA_{name}": value for name, value in chosen.items() if value}


def _agree(quote: str, *, yes: bool) -> bool:
    """Print the expected cost of the other sizes. On a terminal ask whether to continue."""
    notice(quote)
    if yes or not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return True
    with SCREEN.cleared():
        return agreed(sys.stdin, sys.stderr)


def _show(curve: Curve, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(curve.to_dict(), indent=2))
        return
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(highlight=False, width=_UNLIMITED)
    console.print(curve.table(console.width))
    would = "it would have cost" if curve.emulated else "it cost"
    console.print(f"{curve.summary()}; {would} {dollars(curve.spent)} by list price", markup=False)


def _clean(stack: str | None, region: str | None, profile: str | None, *, local: bool) -> None:
    target = connect(local=local, stack=stack, region=region, profile=profile)
    client = target.account.client("lambda")
    left = leftovers(client, names_of(target.account, target.settings))
    for name in left:
        delete(client, name)
    print(f"removed {count(len(left), 'function')}" + (f": {listing(left)}" if left else ""))
