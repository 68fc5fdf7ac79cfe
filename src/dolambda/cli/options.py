"""Options that several commands have, each written once, and groups of them.

A command takes a group as one argument. typer sees each of its fields as an option:

    @grouped
    def status(where: Where, as_json: AsJson = False) -> None:
        connect(**where.given())
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import typer

R = TypeVar("R")

Name = Annotated[
    str | None,
    typer.Option(
        "--stack",
        help="Name of the stack. Default: dolambda. 'local' is the same as --local.",
        show_default=False,
    ),
]
NameOnAws = Annotated[
    str | None,
    typer.Option("--stack", help="Name of the stack. Default: dolambda.", show_default=False),
]
Region = Annotated[
    str | None,
    typer.Option(help="AWS region. Default: the one of `aws configure`.", show_default=False),
]
Profile = Annotated[str | None, typer.Option(help="AWS profile.", show_default=False)]
Endpoint = Annotated[
    str | None,
    typer.Option("--endpoint-url", help="URL of AWS, if it is not Amazon's.", show_default=False),
]
Local = Annotated[
    bool,
    typer.Option("--local", help="Use the AWS emulated by `dolambda local start`."),
]
BucketName = Annotated[
    str | None,
    typer.Option(
        "--bucket", help="An existing bucket to use, or the name for a new one.", show_default=False
    ),
]
StackBucket = Annotated[
    str | None,
    typer.Option(
        "--bucket",
        help="The stack's bucket, if it was deployed with --bucket.",
        show_default=False,
    ),
]
Requires = Annotated[
    list[str] | None,
    typer.Option(
        help="A package that tasks need, in the locally installed version. Repeat it for each. "
        "Default: all that are installed locally.",
        show_default=False,
    ),
]
Requirements = Annotated[
    str | None, typer.Option(help="A requirements file with what tasks need.", show_default=False)
]
ExtraRequires = Annotated[
    list[str] | None,
    typer.Option(
        "--extra-requires",
        help="A package that tasks need in addition. Repeat it for each.",
        show_default=False,
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        help="A locally installed package that tasks do not need. Repeat it for each.",
        show_default=False,
    ),
]
Memory = Annotated[
    int | None,
    typer.Option(
        help="Memory of a worker in MB. Default: 1769, which is one vCPU.", show_default=False
    ),
]
Timeout = Annotated[
    int | None,
    typer.Option(
        help="Time limit of one invocation in seconds, at most 900. Default: 300.",
        show_default=False,
    ),
]
Workers = Annotated[
    int | None, typer.Option(help="Maximum number of workers at a time.", show_default=False)
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Storage = Annotated[
    int | None,
    typer.Option(
        help="Size of a worker's /tmp in MB. Default: 512, or what large packages need.",
        show_default=False,
    ),
]
Architecture = Annotated[
    str | None, typer.Option(help="x86_64 or arm64. Default: this machine's.", show_default=False)
]
Concurrency = Annotated[
    int | None,
    typer.Option(
        help="A limit that Lambda itself enforces: invocations at a time.", show_default=False
    ),
]
Runtime = Annotated[
    str | None,
    typer.Option(help="provided.al2023, to bring the interpreter in a layer.", show_default=False),
]
LayerArns = Annotated[
    list[str] | None,
    typer.Option(
        "--layer", help="ARN of a layer of your own. Repeat it for each.", show_default=False
    ),
]
LogDays = Annotated[
    int | None, typer.Option(help="Days to keep the workers' log. Default: 14.", show_default=False)
]
UseR = Annotated[
    bool | None,
    typer.Option("--r", help="Add R to the workers, for R's foreach.", show_default=False),
]
RPackages = Annotated[
    list[str] | None,
    typer.Option(
        "--r-package",
        help="An R package that tasks need, or a path of its sources. Repeat it for each.",
    ),
]
RLayersFile = Annotated[
    str | None,
    typer.Option(
        "--r-layers", help="A file with R's layers, for machines without apt.", show_default=False
    ),
]
RoleArn = Annotated[
    str | None,
    typer.Option(
        help="ARN of a role that an administrator made for the workers. Default: deploy creates "
        "one.",
        show_default=False,
    ),
]
Boundary = Annotated[
    str | None,
    typer.Option(
        "--permissions-boundary",
        help="ARN of a policy that limits the role that deploy creates.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for a script.")]


@dataclass(frozen=True)
class Group:
    """Options that belong together."""

    def given(self) -> dict[str, Any]:
        """Return the options by name, lists as tuples and empty ones as None."""
        return {
            name: (tuple(value) or None) if isinstance(value, list | tuple) else value
            for name, value in vars(self).items()
        }

    def __bool__(self) -> bool:
        """Return whether an option was given."""
        return any(self.given().values())


@dataclass(frozen=True)
class Where(Group):
    """The options that lead to a stack, on AWS or on this machine."""

    stack: Name = None
    region: Region = None
    profile: Profile = None
    endpoint_url: Endpoint = None
    local: Local = False


@dataclass(frozen=True)
class OnAws(Group):
    """The options that lead to a stack on AWS."""

    stack: NameOnAws = None
    region: Region = None
    profile: Profile = None
    endpoint_url: Endpoint = None


@dataclass(frozen=True)
class StackSettings(Group):
    """The settings of a stack, for the commands that deploy, plan or print it."""

    bucket: BucketName = None
    requires: Requires = None
    requirements: Requirements = None
    extra_requires: ExtraRequires = None
    exclude: Exclude = None
    memory: Memory = None
    timeout: Timeout = None
    storage: Storage = None
    architecture: Architecture = None
    runtime: Runtime = None
    layers: LayerArns = None
    workers: Workers = None
    concurrency: Concurrency = None
    log_days: LogDays = None
    r: UseR = None
    r_packages: RPackages = None
    r_layers: RLayersFile = None
    role: RoleArn = None
    permissions_boundary: Boundary = None


def within(low: int, high: int | None = None) -> Callable[[int | None], int | None]:
    """Return a callback that refuses numbers out of a range.

    typer's own ``min`` and ``max`` would take a column of the help for it.
    """
    says = f"at least {low:,}" if high is None else f"from {low:,} to {high:,}"

    def check(value: int | None) -> int | None:
        if value is not None and (value < low or (high is not None and value > high)):
            raise typer.BadParameter(f"{value:,} is not {says}.")
        return value

    return check


def grouped(command: Callable[..., R]) -> Callable[..., R]:
    """Return a command whose groups of options are spread in its signature, for typer."""
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, dict[str, inspect.Parameter]] = {}
    spread: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        kind = parameter.annotation
        if isinstance(kind, type) and issubclass(kind, Group):
            groups[name] = dict(inspect.signature(kind, eval_str=True).parameters)
            spread += groups[name].values()
        else:
            spread.append(parameter)
    keywords = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in spread]

    @functools.wraps(command)
    def flat(**values: Any) -> R:
        for name, options in groups.items():
            kind = signature.parameters[name].annotation
            values[name] = kind(**{option: values.pop(option) for option in options})
        return command(**values)

    flat.__signature__ = signature.replace(parameters=keywords)  # type: ignore[attr-defined]
    flat.__annotations__ = {one.name: one.annotation for one in keywords}
    return flat
