"""AWS Lambda as a parallel backend for joblib, concurrent.futures and foreach.

An S3 bucket is the job queue.

    import dolambda
    dolambda.register("local")                  # AWS emulated on this machine; or a stack's name
    joblib.Parallel(n_jobs=-1)(joblib.delayed(f)(i) for i in range(100))

Names are loaded when they are first used, so importing dolambda costs almost nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dolambda.joblib_hook import install_import_hook

if TYPE_CHECKING:
    from dolambda.executor import LambdaExecutor as LambdaExecutor
    from dolambda.loops import Foreach as Foreach
    from dolambda.loops import do as do
    from dolambda.loops import dopar as dopar
    from dolambda.loops import foreach as foreach
    from dolambda.loops import get_backend as get_backend
    from dolambda.loops import set_backend as set_backend
    from dolambda.loops import times as times
    from dolambda.loops import when as when
    from dolambda.registration import register as register
    from dolambda.registration import unregister as unregister
    from dolambda.scheduler.report import Report as Report
    from dolambda.scheduler.retries import Retries as Retries
    from dolambda.session import Session as Session
    from dolambda.settings import Settings as Settings

_WHERE = {
    "Foreach": "loops",
    "LambdaExecutor": "executor",
    "Report": "scheduler.report",
    "Retries": "scheduler.retries",
    "Session": "session",
    "Settings": "settings",
    "do": "loops",
    "dopar": "loops",
    "foreach": "loops",
    "get_backend": "loops",
    "register": "registration",
    "set_backend": "loops",
    "times": "loops",
    "unregister": "registration",
    "when": "loops",
}

__all__ = [
    "Foreach",
    "LambdaExecutor",
    "Report",
    "Retries",
    "Session",
    "Settings",
    "do",
    "dopar",
    "foreach",
    "get_backend",
    "register",
    "set_backend",
    "times",
    "unregister",
    "when",
]

install_import_hook()


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    if name == "__version__":
        return import_module("dolambda.version").VERSION
    if name not in _WHERE:
        raise AttributeError(f"module 'dolambda' has no attribute {name!r}")
    try:
        return getattr(import_module(f"dolambda.{_WHERE[name]}"), name)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("dolambda."):
            raise
        return globals().setdefault(name, _client_only(name))  # a worker has no client


def _client_only(name: str) -> type:
    """Return a class in place of a name, so that modules that use dolambda load on workers too."""

    def refuse(*_: Any, **__: Any) -> None:
        from dolambda.errors import ConfigurationError  # noqa: PLC0415 - importing costs nothing

        raise ConfigurationError(
            f"dolambda.{name} was used in a task, but workers have no client of dolambda",
            hint="Return the inputs of the next tasks, and submit them where you called dolambda.",
        )

    return type(name, (), {"__new__": refuse, "__module__": __name__})


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
