"""Tasks on a stack, there and back: the one proof that all of it works together.

**Input:** settings and credentials. **Output:** how long the tasks took; or an error with its cause.
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
    """Why nothing could be found out; the stack may be right."""


@dataclass(frozen=True)
class Trips:
    """Seconds of each task, and how many of them met a cold start."""

    seconds: tuple[float, ...]
    cold: int

    def __str__(self) -> str:
        """For a person."""
        first, *others = (f"{seconds:.2f} s" for seconds in self.seconds)
        more = "".join(f", another in {seconds}" for seconds in others)
        return f"one task in {first}{more} ({count(self.cold, 'cold start')})"


def round_trip(
    settings: Settings, credentials: Credentials, tasks: int = 1, seconds: float = _SECONDS
) -> Trips:
    """Run tasks, one after the other, each with ``seconds`` of time.

    Raises:
        DolambdaError: What stands in the way.
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
            finally:  # `with` would wait for the task
                executor.shutdown(wait=False, cancel_futures=True)
            took.append(time.perf_counter() - begun)
        return Trips(tuple(took), session.report().cold)


def check_stack(settings: Settings, credentials: Credentials, seconds: float = _SECONDS) -> Trips:
    """Run one task on a stack that has just been deployed, through its queue.

    Raises:
        NotCheckedError: These credentials may not submit, or the stack is not for this environment.
        DolambdaError: The task failed; with the cause.
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
            f"the stack {settings.stack!r} stands, but a task on it failed: {error}",
            hint="Run `dolambda deploy` again once the cause is gone; --no-check leaves the task out.",
        ) from error


def _refuse_failing(settings: Settings, credentials: Credentials) -> None:
    """Raise `DolambdaError` for a function whose jobs would be waited for in vain."""
    if failure := _failure_when_called(settings, credentials):
        raise DolambdaError(failure, hint=_LOGS)


def _no_reply(settings: Settings, credentials: Credentials, seconds: float) -> DolambdaError:
    """Return why a task had no reply, as far as calling the function tells."""
    said = f"one task got no reply within {seconds:.0f} s"
    if failure := _failure_when_called(settings, credentials):
        return DolambdaError(f"{said}: {failure}", hint=_LOGS)
    return DolambdaError(
        said,
        hint="Does S3 notify the function? `dolambda plan` looks for the trigger. Do other functions use up "
        "the account's concurrent executions? `dolambda status` shows them. `dolambda logs --all` shows "
        "what the workers wrote.",
    )


def _failure_when_called(settings: Settings, credentials: Credentials) -> str | None:
    """Return how the function fails whatever it is given; None if it does not, or may not be called."""
    client = Account.from_settings(settings, credentials).client("lambda")
    try:
        with translated():
            answer = client.invoke(FunctionName=settings.stack, Payload=b"{}")
            body = answer["Payload"].read()
    except AwsError:  # denied or throttled: the task tells more
        return None
    return f"the function fails: {_told(body)}" if "FunctionError" in answer else None


def _told(body: bytes) -> str:
    try:
        told = json.loads(body)
        return f"{told['errorType']}: {told['errorMessage']}"
    except (ValueError, TypeError, KeyError):
        return body[:300].decode(errors="replace")
