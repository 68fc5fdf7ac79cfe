"""The options of one run, checked where the user writes them.

**Input:** keyword arguments of `LambdaExecutor`, of ``parallel_config("dolambda")``, or of
foreach's ``options``. **Output:** the same, converted, or a `ConfigurationError`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, Self

from dolambda import settings
from dolambda.arguments import Rule, Source, choice, count, refuse_unknown
from dolambda.errors import ConfigurationError
from dolambda.named_runs import check_name
from dolambda.scheduler.retries import Retries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from dolambda.scheduler.report import Report

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_RESERVED = ("AWS_", "LAMBDA_", "DOLAMBDA_", "LD_", "DYLD_", "PYTHON", "_HANDLER", "_X_AMZN_")
_MAX_ENV = 32 * 1024


class Env(dict[str, str]):
    """Environment variables of tasks. Values may be secret, so the repr shows none."""

    @classmethod
    def from_mapping(cls, given: object) -> Env:
        """Return checked variables.

        Raises:
            ConfigurationError: They are wrong. The message shows no values either.
        """
        if not hasattr(given, "items"):
            raise ConfigurationError(
                f"env= is of type {type(given).__name__}, not a mapping",
                hint='Write env={"NAME": "value"}.',
            )
        env = cls()
        for name, value in given.items():
            _check_variable(name, value)
            env[str(name)] = str(value)
        nbytes = sum(len(name) + len(value.encode()) for name, value in env.items())
        if nbytes > _MAX_ENV:
            raise ConfigurationError(
                f"env= holds {nbytes:,} bytes, more than {_MAX_ENV:,}",
                hint="It travels in every job. Pass large values as arguments.",
            )
        return env

    def __repr__(self) -> str:
        """Return the names."""
        return "{" + ", ".join(f"{name!r}: ..." for name in self) + "}"


def _check_variable(name: object, value: object) -> None:
    if not isinstance(name, str) or not _NAME.match(name):
        raise ConfigurationError(
            f"env= has {name!r}, which is not the name of a variable",
            hint="A name has letters, digits and underscores.",
        )
    if name.upper().startswith(_RESERVED):
        raise ConfigurationError(
            f"env= has {name}, which tasks must not set",
            hint="Names that begin with AWS_, LAMBDA_, DOLAMBDA_, LD_ or PYTHON decide how "
            "workers run.",
        )
    if not isinstance(value, str):
        raise ConfigurationError(
            f"env[{name!r}] is of type {type(value).__name__}, not text",
            hint="Convert it: env={...: str(value)}.",
        )
    if "\0" in value or any("\ud800" <= one <= "\udfff" for one in value):
        raise ConfigurationError(
            f"env[{name!r}] contains a NUL or half a surrogate pair, which no variable can",
            hint="Encode it, for example with base64.",
        )


def _as_progress(value: Any) -> Any:
    if not (isinstance(value, bool) or callable(value)):
        raise TypeError
    return value


RULES: dict[str, Rule] = {
    "task_timeout": settings.RULES["task_timeout"],
    "retries": Rule("a number of retries, or a Retries", Retries.of),
    "batch": count(),
    "progress": Rule("True, False or a function", _as_progress),
    "transport": choice("queue", "direct"),
    "budget": settings.RULES["budget"],
    "logs": settings.RULES["logs"],
    "run": Rule("a name for a run", check_name),
    "workers": count(),
    "threads": count(),
    "max_workers": count(),
}
"""The rule of each option, except ``env``, whose values no error shows."""

OF_JOBLIB = (
    "task_timeout",
    "retries",
    "batch",
    "progress",
    "transport",
    "budget",
    "logs",
    "run",
    "env",
)
OF_LOOPS = (*OF_JOBLIB, "workers", "threads")

_ELSEWHERE = {
    "n_jobs": "n_jobs= belongs to joblib: parallel_config(..., n_jobs=4) or Parallel(n_jobs=4).",
    "workers": "n_jobs= is the number of workers at a time.",
    "threads": "inner_max_num_threads= is the number of threads that a task can use.",
} | {
    name: f"{name}= is a setting: dolambda.register({name}=...)."
    for name in settings.RULES
    if name not in OF_LOOPS
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The options of one run, checked. None means "not given".

    Attributes:
        workers: Largest number of workers at a time.
        threads: Threads that a task may use.
        batch: Tasks in a job. Default: based on how long tasks take.
        task_timeout: Time limit of one task, in seconds.
        retries: Number of times that a failed task runs again, or a policy.
        progress: See `register`.
        transport: The transport of the jobs.
        budget: Largest cost of the run, in dollars.
        logs: Which output of tasks is shown, and when. See `Settings`.
        run: Name of the run.
        env: Environment variables of its tasks, in addition to the session's.
    """

    workers: int | None = None
    threads: int | None = None
    batch: int | None = None
    task_timeout: float | None = None
    retries: int | Retries | None = None
    progress: bool | Callable[[Report], None] | None = None
    transport: Literal["queue", "direct"] | None = None
    budget: float | None = None
    logs: bool | Literal["relay", "live", "errors"] | None = None
    run: str | None = None
    env: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        """Check and convert the options.

        Raises:
            ConfigurationError: An option is wrong.
        """
        for name, value in self.given().items():
            object.__setattr__(self, name, _checked(name, value))

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any], known: Iterable[str]) -> Self:
        """Return the options that a user gave by name.

        Raises:
            ConfigurationError: An option is unknown or wrong.
        """
        refuse_unknown(options, known, what="option of dolambda", elsewhere=_ELSEWHERE)
        return cls(**options)

    def given(self) -> dict[str, Any]:
        """Return the options that were given, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


def _checked(name: str, value: object) -> Any:
    if name == "env":
        return Env.from_mapping(value)
    return RULES[name].check(value, Source.argument(name))
