"""Every setting, once: argument > environment (``DOLAMBDA_...``) > ``[tool.dolambda]`` in pyproject.toml > default.

On entry: keyword arguments, None for "not given". On leaving: one frozen `Settings`, checked; or a `ConfigurationError` that
names the setting, where it came from and what it may be.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dolambda.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Settings:
    """What a client needs to know. Times are in seconds, memory and storage in MB, as Lambda counts them."""

    stack: str = "dolambda"
    """Name of the stack: `deploy` names everything after it."""
    region: str | None = None
    profile: str | None = None
    bucket: str | None = None
    """Bucket to deploy into; None for one named after stack, account and region."""
    endpoint_url: str | None = None
    """Where AWS is, when it is not at Amazon's."""
    transport: str = "queue"
    """How jobs travel: "queue" (through S3), "direct" (one Invoke a job) or "in_process" (in this process, for debugging)."""
    workers: int | None = None
    """Most workers at a time; None for all that the stack allows."""
    throttle: float = 1.0
    """Longest pause between two looks for replies while nothing comes."""
    task_timeout: float | None = None
    """Time limit of one task; None for as long as the function may run."""
    max_wait: float = 600.0
    """Longest time a job may wait for its worker before it is taken for lost and sent again."""
    attempts: int = 3
    """How often a job is sent before its tasks are given up as lost; one of several tasks is sent in halves before, see `dispatch.run`."""
    speculate: bool = True
    """Send a copy of a job that is much slower than the others, near the end of a run; the first reply counts, both are billed."""
    budget: float | None = None
    """Dollars that one run may cost, a hard bound: what might exceed it is not sent. None for no bound."""
    quote: bool = False
    """Run a pilot of a few tasks, tell what the rest will take and cost, and on a terminal ask whether to go on."""
    progress: bool | None = None
    """Show a progress bar; None for: when standard error is a terminal."""
    logs: Literal["relay", "errors", False] = "relay"
    """Show here what tasks print, log and warn there: "relay" all of it, "errors" that of tasks that failed, False nothing."""
    requires: tuple[str, ...] | None = None
    """What workers shall have, as pip writes it; an unpinned name gets the version installed here. None: all installed here."""
    requirements: str | None = None
    """A requirements file instead of ``requires``."""
    exclude: tuple[str, ...] = ()
    """Packages installed here that workers shall not have."""
    memory: int = 1769
    """Memory of a worker; 1,769 MB is one vCPU."""
    timeout: int = 300
    """Time limit of one invocation."""
    storage: int = 512
    """Size of a worker's /tmp."""
    include_code: tuple[str, ...] = ()
    """Modules that travel though they are installed; by name, their packages whole."""
    exclude_code: tuple[str, ...] = ()
    """Own modules, or files in their packages as patterns ("mine/data/*"), that do not travel."""
    architecture: str | None = None
    """"x86_64" or "arm64"; None for this machine's."""
    runtime: str | None = None
    """None for Lambda's own runtime of this Python; "provided.al2023" to bring the interpreter in a layer."""
    interpreter: str = "/opt/bin/python3"
    """Where a layer puts the interpreter; only for ``runtime="provided.al2023"``."""
    layers: tuple[str, ...] = ()
    """ARNs of layers of your own that workers shall have besides, such as one with an interpreter."""
    concurrency: int | None = None
    """A fuse: most invocations that Lambda itself lets run at a time (reserved concurrency); None for the account's limit."""
    log_days: int = 14
    """How long CloudWatch keeps the workers' log."""

    def __post_init__(self) -> None:
        """Check what can be checked without asking AWS."""
        if self.requires is not None and self.requirements is not None:
            raise ConfigurationError(
                "both requires= and requirements= were given", hint="Put all into one of them."
            )
        for name, (holds, says) in _CHECKS.items():
            value = getattr(self, name)
            if value is not None and not holds(value):
                raise ConfigurationError(
                    f"{name}={value!r} is not {says}", hint=f"Give {name}= {says}."
                )

    @classmethod
    def resolve(
        cls,
        *,
        directory: Path | None = None,
        environ: Mapping[str, str] | None = None,
        **arguments: object,
    ) -> Settings:
        """Put the settings together. ``directory`` is where the search for pyproject.toml begins (default: here)."""
        known = {field.name: field.type for field in fields(cls)}
        _refuse_unknown(arguments, known, "argument")
        from_file = _from_pyproject(directory or Path.cwd())
        _refuse_unknown(from_file, known, "[tool.dolambda] key")
        environ = os.environ if environ is None else environ
        chosen: dict[str, Any] = {}
        for name, kind in known.items():
            variable = f"DOLAMBDA_{name.upper()}"
            if arguments.get(name) is not None:
                chosen[name] = _converted(arguments[name], str(kind), name)
            elif environ.get(variable) or (
                variable in environ and "tuple" in str(kind)
            ):  # an empty list says something
                chosen[name] = _converted(environ[variable], str(kind), variable)
            elif name in from_file:
                chosen[name] = _converted(from_file[name], str(kind), f"[tool.dolambda] {name}")
        return cls(**chosen)


def _refuse_unknown(given: Mapping[str, object], known: Mapping[str, object], what: str) -> None:
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ConfigurationError(
            f"unknown {what}: {', '.join(unknown)}", hint=f"Known are: {', '.join(sorted(known))}."
        )


def _from_pyproject(directory: Path) -> dict[str, object]:
    for folder in (directory, *directory.parents):
        file = folder / "pyproject.toml"
        if file.is_file():
            table = (
                tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("dolambda", {})
            )
            return dict(table)
    return {}


def _converted(value: object, kind: str, source: str) -> object:
    """Convert to the annotated type: text from the environment, lists from TOML."""
    kind = kind.removesuffix(" | None")
    try:
        if kind.startswith("Literal"):  # there is one
            return _LOGS[str(value).lower()]
        if kind == "tuple[str, ...]":
            return tuple(filter(None, value.split(",")) if isinstance(value, str) else value)  # type: ignore[arg-type] # TypeError is caught
        if kind == "bool" and isinstance(value, str):
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[
                value.lower()
            ]
        return {"str": str, "int": int, "float": float, "bool": bool}[kind](value)
    except (KeyError, TypeError, ValueError) as error:
        if kind.startswith("Literal"):
            raise ConfigurationError(
                f"{source}={value!r} is no way to show logs",
                hint='Give "relay", "errors" or False.',
            ) from error
        raise ConfigurationError(
            f"{source}={value!r} is no {kind}", hint=f"Give a value of type {kind}."
        ) from error


_LOGS = {
    "relay": "relay",
    "errors": "errors",
    "false": False,
    "0": False,
    "no": False,
    "true": "relay",
    "1": "relay",
    "yes": "relay",
}
_LOG_DAYS = frozenset(
    {
        1,
        3,
        5,
        7,
        14,
        30,
        60,
        90,
        120,
        150,
        180,
        365,
        400,
        545,
        731,
        1096,
        1827,
        2192,
        2557,
        2922,
        3288,
        3653,
    }
)


def _between(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: low <= value <= high


_CHECKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "stack": (
        lambda name: re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name) is not None,
        "a name of at most 31 small letters, digits and hyphens that begins with a letter",
    ),
    "transport": (
        lambda name: name in ("queue", "direct", "in_process"),
        '"queue", "direct" or "in_process"',
    ),
    "workers": (_between(1, 100_000), "a whole number from 1 to 100,000"),
    "throttle": (_between(0.02, 60), "a number of seconds from 0.02 to 60"),
    "task_timeout": (_between(0.01, 900), "a number of seconds from 0.01 to 900, Lambda's limit"),
    "max_wait": (
        _between(1, 21_600),
        "a number of seconds from 1 to 21,600, Lambda's longest event age",
    ),
    "budget": (lambda dollars: dollars > 0, "a number of dollars greater than 0"),
    "attempts": (_between(1, 100), "a whole number from 1 to 100"),
    "storage": (_between(512, 10_240), "a whole number of MB from 512 to 10,240, Lambda's limits"),
    "runtime": (
        lambda name: name == "provided.al2023",
        '"provided.al2023", or left out for the managed runtime',
    ),
    "layers": (
        lambda arns: (
            len(arns) < 5  # noqa: PLR2004 - the sentence beside it says it
            and all(arn.startswith("arn:") for arn in arns)
        ),
        "at most 4 ARNs of layer versions",
    ),
    "architecture": (lambda name: name in ("x86_64", "arm64"), '"x86_64" or "arm64"'),
    "concurrency": (_between(1, 100_000), "a whole number from 1 to 100,000"),
    "log_days": (
        lambda days: days in _LOG_DAYS,
        "one of the numbers of days that CloudWatch takes: 1, 3, 5, 7, 14, 30, 60, 90, ...",
    ),
    "memory": (_between(128, 10_240), "a whole number of MB from 128 to 10,240, Lambda's limits"),
    "timeout": (_between(3, 900), "a whole number of seconds from 3 to 900, Lambda's limit"),
}
