"""Lambda's queue of asynchronous events, and the account's limit of concurrent executions.

**Input:** the emulator's own functions, in its process. **Output:** the same ones, which wait,
throttle and drop as Lambda does.
"""

from __future__ import annotations

import contextvars
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from support.strict_aws.base import StrictAws

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 300.0
_MAXIMUM_AGE = 21_600


class Executions:
    """The executions of an account that run at a time."""

    def __init__(self, strict: StrictAws) -> None:
        self._strict = strict
        self._changing = threading.Lock()
        self._running = 0

    def begin(self) -> bool:
        """Count one more execution, unless that would exceed the account's limit."""
        with self._changing:
            if self._running >= self._strict.options.concurrent_executions:
                return False
            self._running += 1
            return True

    def end(self) -> None:
        """Take back `begin`."""
        with self._changing:
            self._running -= 1


def throttled_events_wait(strict: StrictAws, executions: Executions, age_s: float) -> bool:
    """Wait until an event may run; return False for one that Lambda drops.

    "For throttling errors (429) and system errors (500-series), Lambda returns the event to the
    queue and attempts to run the function again for up to 6 hours by default. The retry interval
    increases exponentially from 1 second after the first attempt to a maximum of 5 minutes.":
    developer guide, "How Lambda handles errors and retries with asynchronous invocation".
    """
    second = strict.options.lambda_second
    born, pause = time.monotonic(), _FIRST_PAUSE
    while not executions.begin():
        strict.count("throttled_events_wait")
        if time.monotonic() + pause * second - born > age_s * second:
            strict.count("events_dropped")
            return False
        time.sleep(pause * second)
        pause = min(_LONGEST_PAUSE, pause * 2)
    return True


def limit_events(strict: StrictAws) -> None:
    """Put the queue and the limit before the emulator's executions."""
    from ministack.services import lambda_svc as service  # noqa: PLC0415 - the emulator's

    execute, invoke_async = service._execute_function, service.invoke_async_with_retry
    executions = Executions(strict)
    is_async = contextvars.ContextVar("is_asynchronous", default=False)

    def invoke_marked(function: dict[str, Any], event: Any) -> None:
        token = is_async.set(True)
        try:
            invoke_async(function, event)
        finally:
            is_async.reset(token)

    def execute_limited(function: dict[str, Any], event: Any) -> Any:
        if is_async.get():
            if not throttled_events_wait(strict, executions, _age_of(function)):
                return {"body": {"errorType": "EventAgeExceeded"}, "log": ""}
        elif not executions.begin():
            strict.count("account_limit")
            return service._throttle_response(
                reason_code="ConcurrentInvocationLimitExceeded", msg="Rate Exceeded."
            )
        try:
            return execute(function, event)
        finally:
            executions.end()

    service.invoke_async_with_retry = invoke_marked
    service._execute_function = execute_limited


def _age_of(function: dict[str, Any]) -> float:
    """Return MaximumEventAgeInSeconds of a function."""
    found = function.get("event_invoke_config") or (function.get("event_invoke_configs") or {}).get(
        "$LATEST"
    )
    return float((found or {}).get("MaximumEventAgeInSeconds") or _MAXIMUM_AGE)
