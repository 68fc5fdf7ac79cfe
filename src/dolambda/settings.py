"""All settings and their sources.

An argument takes precedence over the environment (``DOLAMBDA_...``), then ``[tool.dolambda]`` in
pyproject.toml, then the default.

**Input:** keyword arguments, with None for "not given". **Output:** one frozen `Settings`, checked,
or a `ConfigurationError` that names the setting, its value, its source and the allowed values.
"""

from __future__ import annotations

import os
import re
import warnings
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, TypedDict
from urllib.parse import urlsplit

from dolambda.arguments import (
    FLAG,
    Rule,
    Source,
    above_zero,
    choice,
    nearest,
    number,
    refuse_unknown,
    text,
    texts,
    whole,
)
from dolambda.errors import ConfigurationError
from dolambda.project_file import ProjectFile
from dolambda.users_frame import users_stacklevel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """All settings. Times are in seconds, memory and storage in MB, as Lambda counts them.

    Example:
        >>> Settings.resolve(memory=3008, environ={}, directory=Path("/")).memory
        3008
    """

    stack: str = "dolambda"
    """Name of the stack, after which `deploy` names everything."""
    region: str | None = None
    """AWS region; None for that of the credentials."""
    profile: str | None = None
    """AWS profile; None for the default one."""
    bucket: str | None = None
    """Bucket to deploy into; None for one named after stack, account and region."""
    endpoint_url: str | None = None
    """URL of AWS; None for Amazon's."""
    transport: str = "queue"
    """Transport of jobs: "queue" (through S3), "direct" (one Invoke for each job) or "in_process"
    (in this process, for debugging).
    """
    workers: int | None = None
    """Largest number of workers at a time; None for all that the stack allows."""
    throttle: float = 1.0
    """Longest pause between two polls for replies."""
    task_timeout: float | None = None
    """Time limit of one task; None for the time limit of the function."""
    max_wait: float = 600.0
    """Longest time that a job may wait for its worker before it counts as lost and is sent again.
    """
    attempts: int = 3
    """Number of times that a job is sent before its tasks count as lost. A job of several tasks is
    split into halves before that.
    """
    speculate: bool = True
    """Start a job that is much slower than the others a second time, near the end of a run. The
    first reply counts, both are billed.
    """
    budget: float | None = None
    """Dollars that one run may cost, as a hard bound: what might exceed it is not sent. None for no
    bound.
    """
    quote: bool | Literal["only"] = False
    """Run a few tasks, show what the rest will take and cost, and on a terminal ask whether to
    continue. "only" never continues.
    """
    progress: bool | None = None
    """Show a progress bar or not; None for one on a terminal and in a notebook."""
    logs: Literal["relay", "live", "errors", False] = "relay"
    """Show locally what tasks print, log and warn: "relay" all of it, once a task has ended, "live"
    the same, and what a long task prints while it runs, "errors" that of failed tasks, False
    nothing.
    """
    record: bool = True
    """Keep a record of each run in the user's state directory: times, workers, memory, costs and
    types of errors, never arguments or results. `dolambda runs` lists them.
    """
    record_errors: bool = False
    """Keep the messages of errors in the record, too. They may hold data."""
    requires: tuple[str, ...] | None = None
    """Packages of the workers, as pip writes them. A bare name gets the version installed locally.
    None for everything installed locally.
    """
    requirements: str | None = None
    """A requirements file instead of ``requires``."""
    extra_requires: tuple[str, ...] = ()
    """Packages to add to ``requires``, or to everything installed locally."""
    exclude: tuple[str, ...] = ()
    """Packages installed locally to leave out."""
    memory: int = 1769
    """Memory of a worker. 1,769 MB is one vCPU."""
    timeout: int = 300
    """Time limit of one invocation."""
    storage: int = 512
    """Size of a worker's /tmp."""
    include_code: tuple[str, ...] = ()
    """Installed packages or modules to send along with your own."""
    exclude_code: tuple[str, ...] = ()
    """Own modules, or files in their packages as patterns ("mine/data/*"), to leave out."""
    architecture: str | None = None
    """"x86_64" or "arm64"; None for that of this machine."""
    runtime: str | None = None
    """None for Lambda's own runtime of this Python, or "provided.al2023" to bring the interpreter
    in a layer.
    """
    interpreter: str = "/opt/bin/python3"
    """Path of the interpreter in its layer, for ``runtime="provided.al2023"``."""
    layers: tuple[str, ...] = ()
    """ARNs of additional layers, such as one with an interpreter."""
    concurrency: int | None = None
    """Largest number of invocations that Lambda itself lets run at a time (reserved concurrency);
    None for the account's limit.
    """
    r: bool = False
    """Add R to the workers, for R sessions."""
    r_packages: tuple[str, ...] = ()
    """R packages of the workers in addition to foreach and iterators, by their names on CRAN."""
    r_layers: str | None = None
    """A file with R's layers, which `dolambda r-layers` has made on a machine with apt."""
    log_days: int = 14
    """Days that CloudWatch keeps the workers' log."""
    role: str | None = None
    """ARN of a role that an administrator created for the workers; None for one that `deploy`
    creates.
    """
    permissions_boundary: str | None = None
    """ARN of a policy that bounds the role that `deploy` creates."""

    def __post_init__(self) -> None:
        """Check what can be checked without asking AWS."""
        if self.requires is not None and self.requirements is not None:
            raise ConfigurationError(
                "both requires= and requirements= were given", hint="Put all into one of them."
            )
        for name, rule in RULES.items():
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, rule.check(value, Source.argument(name)))

    @classmethod
    def resolve(
        cls,
        *,
        directory: Path | None = None,
        environ: Mapping[str, str] | None = None,
        **arguments: object,
    ) -> Settings:
        """Resolve all settings from their sources.

        Args:
            directory: Where the search for pyproject.toml begins. Default: the working directory.
            environ: The environment. Default: that of this process.
            **arguments: Settings by name. They take precedence. None means "not given".

        Returns:
            The settings.

        Raises:
            ConfigurationError: A setting is unknown or wrong.
        """
        chosen = cls._choose(directory, os.environ if environ is None else environ, arguments)
        return cls(**{name: value for name, (value, _) in chosen.items()})

    @classmethod
    def origins(
        cls, directory: Path | None = None, environ: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Return the source of each setting.

        Args:
            directory: Where the search for pyproject.toml begins. Default: the working directory.
            environ: The environment. Default: that of this process.

        Returns:
            By name, a variable, a file, or "default".
        """
        chosen = cls._choose(directory, os.environ if environ is None else environ, {})
        origins = {name: origin for name, (_, origin) in chosen.items()}
        return {field.name: origins.get(field.name, "default") for field in fields(cls)}

    @classmethod
    def _choose(
        cls, directory: Path | None, environ: Mapping[str, str], arguments: Mapping[str, object]
    ) -> dict[str, tuple[Any, str]]:
        """Return the settings that are not at their default, with where they come from."""
        known = [field.name for field in fields(cls)]
        refuse_unknown(arguments, known, what="argument", elsewhere=_OPTIONS)
        project = ProjectFile.find(directory)
        refuse_unknown(
            project.table,
            known,
            what=f"key in [tool.dolambda] of {project.path}:",
            written=str,
            elsewhere=_OPTIONS,
        )
        _warn_of_unknown(environ, known)
        chosen: dict[str, tuple[Any, str]] = {}
        for name in known:
            rule, variable = RULES[name], f"DOLAMBDA_{name.upper()}"
            said = environ.get(variable)
            if arguments.get(name) is not None:
                chosen[name] = rule.check(arguments[name], Source.argument(name)), "argument"
            elif said or (said is not None and name in _LISTS):  # an empty list says something
                chosen[name] = rule.check_text(said, Source.variable(variable)), variable
            elif name in project.table:
                source = Source.file(name, project.path)
                chosen[name] = rule.check(project.table[name], source), str(project.path)
        return chosen


class OtherSettings(TypedDict, total=False):
    """Settings that `register` takes by name, in addition to those in its signature.

    Type checkers and editors know them from here. None means "not given".
    """

    transport: Literal["queue", "direct", "in_process"] | None
    task_timeout: float | None
    max_wait: float | None
    attempts: int | None
    speculate: bool | None
    budget: float | None
    quote: bool | Literal["only"] | None
    logs: bool | Literal["relay", "live", "errors"] | None
    record: bool | None
    record_errors: bool | None
    requirements: str | None
    extra_requires: Iterable[str] | None
    exclude: Iterable[str] | None
    memory: int | None
    timeout: int | None
    storage: int | None
    include_code: Iterable[str] | None
    exclude_code: Iterable[str] | None
    architecture: Literal["x86_64", "arm64"] | None
    runtime: Literal["provided.al2023"] | None
    interpreter: str | None
    layers: Iterable[str] | None
    concurrency: int | None
    r: bool | None
    r_packages: Iterable[str] | None
    r_layers: str | None
    log_days: int | None
    role: str | None
    permissions_boundary: str | None


def _warn_of_unknown(environ: Mapping[str, str], known: Iterable[str]) -> None:
    """Warn of variables that resemble settings but are none."""
    variables = [f"DOLAMBDA_{name.upper()}" for name in known]
    for variable in sorted(environ):
        if variable.startswith("DOLAMBDA_") and variable not in (*variables, *_INTERNAL):
            near = nearest(variable.removeprefix("DOLAMBDA_"), known)
            meant = f": did you mean DOLAMBDA_{near.upper()}?" if near else ""
            warnings.warn(
                f"the variable {variable} is not a setting{meant}", stacklevel=users_stacklevel()
            )


_INTERNAL = tuple(
    f"DOLAMBDA_{name}"
    for name in (
        "BUNDLE",
        "CODE",
        "KEY",
        "KEY_BEFORE",
        "KEY_NEXT",
        "LOCAL_SLOTS",
        "PYTHON",
        "PYTHON_VERSION",
        "TEST_AWS",
    )
)
"""Variables of the worker, the emulator and the tests."""

_OPTIONS = {
    name: f"{name}= is an option of a run: LambdaExecutor({name}=...), "
    f'parallel_config("dolambda", {name}=...) or foreach(options={{"dolambda": {{"{name}": '
    f"...}}}})."
    for name in ("retries", "run", "batch")
} | {
    "n_jobs": (
        "n_jobs= is joblib's: Parallel(n_jobs=-1). workers= bounds how many workers run at a time."
    ),
    "max_workers": (
        "max_workers= is LambdaExecutor's. workers= bounds how many workers run at a time."
    ),
    "initializer": "initializer= is an argument of LambdaExecutor and parallel_config.",
    "initargs": "initargs= is an argument of LambdaExecutor and parallel_config.",
    "env": (
        "It is not a setting: values may be secret. Use register(env={...}) or "
        "LambdaExecutor(env={...})."
    ),
}
"""Where names belong that are options of a run, not settings."""

_LOGS = {name: name for name in ("relay", "live", "errors")}
_LOGS |= {"true": "relay", "1": "relay", "yes": "relay"}
_LOGS |= {"false": False, "0": False, "no": False}  # type: ignore[dict-item] # of both kinds
_LOG_DAYS = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827]
_LOG_DAYS += [2192, 2557, 2922, 3288, 3653]
_MAX_LAYERS = 4  # a function has five, one of them is dolambda's


def _is_url(given: str) -> bool:
    parts = urlsplit(given)
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _as_logs(given: object) -> object:
    # A KeyError is caught.
    return _LOGS[given.lower() if isinstance(given, str) else {True: "true", False: "false"}[given]]  # type: ignore[index]


def _as_quote(given: object) -> object:
    return given if given == "only" else FLAG.converted(given)


def _parsed_quote(text: str) -> object:
    return text if text == "only" else FLAG.parsed(text)


_NO_BUCKETS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
"""Ends of names that S3 reserves: "General purpose bucket naming rules" of its user guide."""

RULES: dict[str, Rule] = {
    "stack": text(
        "a name of at most 31 lower-case letters, digits and hyphens that begins with a letter",
        lambda name: re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name) is not None,
    ),
    "region": text("the name of an AWS region", lambda name: bool(name.strip())),
    "profile": text("the name of an AWS profile"),
    "bucket": text(
        "a bucket name: 3 to 63 lower-case letters, digits, dots and hyphens, and no alias of an "
        "access point or bucket of S3 Express, which have no event notifications",
        lambda name: (
            re.fullmatch(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", name) is not None
            and not name.endswith(_NO_BUCKETS)
        ),
    ),
    "endpoint_url": text("a URL that begins with http:// or https://", _is_url),
    "transport": choice("queue", "direct", "in_process"),
    "workers": whole(1, 100_000),
    "throttle": number(0.02, 60, "seconds"),
    "task_timeout": number(0.01, 900, "seconds", ", Lambda's limit"),
    "max_wait": number(1, 21_600, "seconds", ", Lambda's longest event age"),
    "attempts": whole(1, 100),
    "speculate": FLAG,
    "budget": above_zero("dollars"),
    "quote": Rule('True, False or "only"', _as_quote, parsed=_parsed_quote),
    "progress": FLAG,
    "logs": Rule('"relay", "live", "errors" or False', _as_logs),
    "record": FLAG,
    "record_errors": FLAG,
    "requires": texts("a list of packages, as pip writes them"),
    "requirements": text("the path of a requirements file"),
    "extra_requires": texts("a list of packages, as pip writes them"),
    "exclude": texts("a list of packages"),
    "memory": whole(128, 10_240, "MB", ", Lambda's limits"),
    "timeout": whole(3, 900, "seconds", ", Lambda's limits"),
    "storage": whole(512, 10_240, "MB", ", Lambda's limits"),
    "include_code": texts("a list of modules"),
    "exclude_code": texts("a list of modules and patterns"),
    "architecture": choice("x86_64", "arm64"),
    "runtime": choice("provided.al2023"),
    "interpreter": text("the path of an interpreter"),
    "layers": texts(
        f"a list of at most {_MAX_LAYERS} ARNs of layer versions",
        lambda arns: len(arns) <= _MAX_LAYERS and all(arn.startswith("arn:") for arn in arns),
    ),
    "concurrency": whole(1, 100_000),
    "log_days": Rule(
        "one of the numbers of days that CloudWatch takes, such as 1, 3, 5, 7, 14, 30, 60 or 90",
        whole(1, 3653).converted,
        lambda days: days in _LOG_DAYS,
        int,
    ),
    "r": FLAG,
    "r_packages": texts("a list of R packages"),
    "r_layers": text("the path of a file that `dolambda r-layers` has made"),
    "role": text(
        "the ARN of a role",
        lambda arn: re.fullmatch(r"arn:[\w-]+:iam::\d{12}:role/.+", arn) is not None,
    ),
    "permissions_boundary": text(
        "the ARN of a policy",
        lambda arn: re.fullmatch(r"arn:[\w-]+:iam::(\d{12}|aws):policy/.+", arn) is not None,
    ),
}
"""The rule of each setting."""

_LISTS = frozenset(
    [
        "requires",
        "extra_requires",
        "exclude",
        "include_code",
        "exclude_code",
        "layers",
        "r_packages",
    ]
)
