"""The registration of an R session, and the facts that R shows of the session and its runs.

**Input:** the fields of a REGISTER frame. **Output:** a `Session`, and facts as texts for R.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dolambda.arguments import Source
from dolambda.registration import LOCAL, register
from dolambda.settings import RULES
from dolambda.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dolambda.scheduler.report import Report
    from dolambda.session import Session


def register_for_r(given: Mapping[str, str]) -> Session:
    """Open the session that an R session asks for.

    R's tasks need no Python packages, so an emulated stack has none unless they are asked for.

    Raises:
        ConfigurationError: An argument or setting is wrong.
    """
    arguments: dict[str, Any] = {
        name: _converted(name, text) for name, text in given.items() if name != "where"
    }
    where = given.get("where")
    if where in (None, LOCAL):  # it is also emulated if there are no credentials
        arguments.setdefault("requires", ())
    return register(where, **{"progress": False, **arguments})


def _converted(name: str, text: str) -> object:
    """Convert a text like that of an environment variable. `register` refuses unknown settings."""
    rule = RULES.get(name)
    plain = {"TRUE": "true", "FALSE": "false"}.get(text, text)
    return rule.check_text(plain, Source.argument(name)) if rule else text


def ready_facts(session: Session) -> dict[str, object]:
    """Return the facts that R shows of a session."""
    stack = session.stack
    return {
        "version": VERSION,
        "workers": session.workers,
        "stack": stack.name if stack else "in_process",
        "region": stack.region if stack else "",
        "local": session.settings.endpoint_url is not None,
    }


def report_facts(report: Report) -> dict[str, object]:
    """Return the numbers of a report."""
    names = (
        "tasks done failed retried resent restored jobs again copies running seconds cold sent"
        " received elapsed cost over throttles"
    )
    facts: dict[str, object] = {name: getattr(report, name) for name in names.split()}
    return {**facts, "workers": len(report.workers), "requests": sum(report.calls.values())}
