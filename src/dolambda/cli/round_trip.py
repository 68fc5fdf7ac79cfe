"""Tasks on a stack, as a test of the whole way there and back.

**Input:** settings and credentials. **Output:** the durations of the tasks, or an error with its
cause.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dolambda.aws.account import Account, translated
from dolambda.environment.stack_match import mismatches
from dolambda.errors import AccessDeniedError, AwsError, DolambdaError
from dolambda.executor import LambdaExecutor
from dolambda.session import Session
from dolambda.stack import Stack
from dolambda.wording import count

if TYPE_CHECKING:
    from dolambda.aws.account import Credentials
    from dolambda.settings import Settings

_SECONDS = 120.0
_LOGS = "`dolambda logs --all` shows what Lambda wrote."


class NotCheckedError(Exception):
    """The reason why the stack could not be checked. It may be right."""


@dataclass(frozen=True)
class Trips:
    """Seconds of each task, and the number of cold starts."""

    seconds: tuple[float, ...]
    cold: int

    def __str__(self) -> str:
        """Return one line for the user."""
        first, *others = (f"{seconds:.2f} s" for seconds in self.seconds)
        more = "".join(f", another in {seconds}" for seconds in others)
        return f"one task in {first}{more} ({count(self.cold, 'cold start')})"


def round_trip(
    settings: Settings, credentials: Credentials, tasks: int = 1, seconds: float = _SECONDS
) -> Trips:
    """Run tasks, one after the other, each with ``seconds`` of time.

    Raises:
        DolambdaError: A task failed, with the cause.
    """
    quiet = replace(settings, progress=False, record=False)
    took = []
    with Session.open(quiet, credentials) as session:
        for _ in range(tasks):
            begun = time.perf_counter()
            executor = LambdaExecutor(1, session=session)
            try:
                executor.submit(abs, -1).result(seconds)
            except TimeoutError as error:
                raise _no_reply(settings, credentials, seconds) from error
            finally:  # a `with` statement would wait for the task
                executor.shutdown(wait=False, cancel_futures=True)
            took.append(time.perf_counter() - begun)
        return Trips(tuple(took), session.report().cold)


def check_stack(settings: Settings, credentials: Credentials, seconds: float = _SECONDS) -> Trips:
    """Run one task on a stack that has just been deployed, through its queue.

    Raises:
        NotCheckedError: The credentials may not submit, or the stack fits another environment.
        DolambdaError: The task failed, with the cause.
    """
    try:
        _refuse_failing(settings, credentials)
        stack = Stack.from_account(Account.from_settings(settings, credentials), settings)
        if told := mismatches(stack):
            raise NotCheckedError(f"the stack differs from this environment: {'; '.join(told)}")
        return round_trip(replace(settings, transport="queue"), credentials, seconds=seconds)
    except AccessDeniedError as error:
        said = str(error).splitlines()[0]
        raise NotCheckedError(f"these credentials may deploy, not submit: {said}") from error
    except DolambdaError as error:
        raise DolambdaError(
            f"the stack {settings.stack!r} is deployed, but a task on it failed: {error}",
            hint="Remove the cause and run `dolambda deploy` again. --no-check leaves the task "
            "out.",
        ) from error


def _refuse_failing(settings: Settings, credentials: Credentials) -> None:
    """Raise `DolambdaError` for a function whose jobs would never have a reply."""
    if failure := _failure_when_called(settings, credentials):
        raise DolambdaError(failure, hint=_LOGS)


def _no_reply(settings: Settings, credentials: Credentials, seconds: float) -> DolambdaError:
    """Return why a task had no reply, as far as a call of the function shows it."""
    said = f"one task got no reply within {seconds:.0f} s"
    if failure := _failure_when_called(settings, credentials):
        return DolambdaError(f"{said}: {failure}", hint=_LOGS)
    return DolambdaError(
        said,
        hint="Check the trigger (`dolambda plan`) and the account's concurrent executions "
        "(`dolambda status`). `dolambda logs --all` shows the workers' log.",
    )


def _failure_when_called(settings: Settings, credentials: Credentials) -> str | None:
    """Return the failure of the function for any input, or None if it cannot be found."""
    client = Account.from_settings(settings, credentials).client("lambda")
    try:
        with translated():
            answer = client.invoke(FunctionName=settings.stack, Payload=b"{}")
            body = answer["Payload"].read()
    except AwsError:  # denied or throttled: the task shows more
        return None
    return f"the function fails: {_told(body)}" if "FunctionError" in answer else None


def _told(body: bytes) -> str:
    try:
        told = json.loads(body)
        return f"{told['errorType']}: {told['errorMessage']}"
    except (ValueError, TypeError, KeyError):
        return body[:300].decode(errors="replace")
