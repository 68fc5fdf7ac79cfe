"""Calls of a Lambda function.

**Input:** payloads. **Output:** the function's replies, or the reasons why there are none.

A request that AWS has not begun to run (throttled, or without a connection) is repeated here. One
that may have run is not: the sender decides, and counts it.
"""

from __future__ import annotations

import http
import json
import time
from typing import TYPE_CHECKING

from dolambda.aws.account import MEND_CLOCK, is_skewed
from dolambda.aws.certificates import UNTRUSTED_HINT, is_untrusted
from dolambda.aws.denials import denial_hint
from dolambda.aws.partitions import host
from dolambda.aws.request import Answer, Request
from dolambda.errors import AccessDeniedError, AwsError, NotDeployedError, ThrottledError

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.aws.account import Account
    from dolambda.aws.reactor import Reactor
    from dolambda.aws.request_counter import RequestCounter

# Seconds without any reply after which a throttled request is given up: longer than any function
# runs.
_PATIENCE = 1500.0
# Seconds in which a request signed with expired credentials is repeated, if the credentials are
# renewed automatically.
_RENEWAL = 180.0
_SETTLING = 60.0
"""Seconds in which a call is repeated that Lambda cannot run yet."""

_THROTTLED = frozenset({http.HTTPStatus.TOO_MANY_REQUESTS, http.HTTPStatus.SERVICE_UNAVAILABLE})
_NOT_READY = frozenset({http.HTTPStatus.CONFLICT, http.HTTPStatus.REQUEST_TIMEOUT})
"""409: the function is Pending, or its snapshot is being made. 408: Lambda did not get the whole
request. In both cases the function did not run.
"""

_HEADERS = ("Content-Type: application/json", "Expect:", "X-Amz-Invocation-Type: RequestResponse")


class UnknownOutcomeError(AwsError):
    """The connection ended after the request was sent: the function may have run or not."""

    may_have_run = True


class FunctionEndedError(AwsError):
    """The function's environment ended during the request.

    ``kind`` is Lambda's name for the reason.
    """

    def __init__(self, kind: str, said: str) -> None:
        """Create the error. ``said`` is Lambda's own sentence."""
        super().__init__(
            f"Lambda ended the invocation: {kind}: {said}",
            hint="`dolambda logs --all` shows what Lambda logged about it.",
        )
        self.kind = kind


class Invoker:
    """Caller of one function, any number of times in parallel, from any thread.

    `throttled` gets Lambda's reason each time that Lambda throttles.
    """

    def __init__(
        self, reactor: Reactor, account: Account, function: str, calls: RequestCounter
    ) -> None:
        """Prepare calls of ``function``. Nothing is sent yet."""
        self.throttled: Callable[[str], None] = lambda _: None
        endpoint = account.endpoint("lambda") or f"https://{host('lambda', account.region)}"
        self._url = f"{endpoint}/2015-03-31/functions/{function}/invocations"
        self._reactor = reactor
        self._calls = calls
        self._heard = 0.0

    @property
    def refused(self) -> int:
        """Number of calls that wait to be repeated. Only for the leading thread."""
        return self._reactor.repeating("lambda")

    def send(self, payload: bytes, done: Callable[[bytes | BaseException], None]) -> None:
        """Call the function.

        ``done`` gets the reply, or `AwsError`, in the leading thread of the reactor.
        """
        self._reactor.send(
            Request(
                "lambda",
                "POST",
                self._url,
                _HEADERS,
                payload,
                self._answered,
                done,
                time.monotonic() + _PATIENCE,
            ),
        )

    def _answered(self, request: Request, answer: Answer | AwsError) -> None:
        if isinstance(answer, AwsError):
            request.done(answer)
            return
        self._calls.add(
            "lambda:InvokeFunction", sent=len(request.payload), received=len(answer.body)
        )
        if not answer.status:
            self._cut_off(request, answer)
        elif answer.status in _THROTTLED:
            self._throttled(request, answer)
        elif answer.status != http.HTTPStatus.OK:
            self._refused(request, answer)
        elif b"unction-" in answer.head and answer.header("x-amz-function-error"):
            request.done(_ended(answer.body))
        else:
            self._heard = time.monotonic()
            request.done(answer.body)

    def _cut_off(self, request: Request, answer: Answer) -> None:
        if answer.sent:
            said = f"the connection to Lambda ended: {answer.error}"
            request.done(UnknownOutcomeError(said, hint="The job is sent again."))
            return
        hint = UNTRUSTED_HINT if is_untrusted(answer.error) else "Check the network and region=."
        self._reactor.repeat(
            request, AwsError(f"Lambda cannot be reached: {answer.error}", hint=hint)
        )

    def _throttled(self, request: Request, answer: Answer) -> None:
        reason = _reason(answer.body) or f"status {answer.status}"
        self._calls.throttled("lambda:InvokeFunction", reason)
        self.throttled(reason)
        # As long as others are run, it will be run too.
        request.until = max(request.until, self._heard + _PATIENCE)
        said = f"Lambda refused to run the function: {reason}"
        self._reactor.repeat(request, ThrottledError(said, hint=_MEND_THROTTLED))

    def _refused(self, request: Request, answer: Answer) -> None:
        """Repeat a temporary refusal. Deliver any other."""
        refused = _refusal(answer.status, answer.header("x-amzn-errortype"), answer.body)
        seconds = 0.0
        if isinstance(refused, AccessDeniedError):
            seconds = _RENEWAL if self._reactor.renews and b"is expired" in answer.body else 0.0
        elif answer.status in _NOT_READY and not isinstance(refused, UnknownOutcomeError):
            seconds = _SETTLING
        if seconds and isinstance(refused, AwsError):
            # Counted from the first refusal, which is the earliest.
            request.until = min(request.until, time.monotonic() + seconds)
            self._reactor.repeat(request, refused)
        else:
            request.done(refused)


_MEND_THROTTLED = (
    "It was repeated for 25 minutes, and no other call was run either. `dolambda status` "
    "shows the limits; "
    "ask AWS for more concurrency, or use fewer workers."
)


def _reason(body: bytes) -> str:
    try:
        return str(json.loads(body).get("Reason", ""))
    except (ValueError, AttributeError):
        return ""


def _ended(body: bytes) -> FunctionEndedError:
    try:
        said = json.loads(body)
        return FunctionEndedError(str(said["errorType"]), str(said["errorMessage"]))
    except (ValueError, TypeError, KeyError):
        return FunctionEndedError("Unhandled", body[:300].decode(errors="replace"))


def _is_lambdas(body: bytes) -> bool:
    """Return whether a refusal can be Lambda's own: all of these are JSON objects."""
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False


def _refusal(status: int, kind: str, body: bytes) -> AwsError | NotDeployedError:
    text = body[:300].decode(errors="replace")
    if not _is_lambdas(body):  # from a captive portal or a proxy: Lambda may have run it or not
        return UnknownOutcomeError(
            f"another server replied in Lambda's place: {status} {text}",
            hint="The job is sent again. Check for a proxy, or a network that asks for a login.",
        )
    if is_skewed(text):
        return AccessDeniedError(
            "lambda:InvokeFunction was denied, because the clocks of this machine and AWS "
            f"differ: {text}",
            hint=MEND_CLOCK,
        )
    if status == http.HTTPStatus.FORBIDDEN or "AccessDenied" in kind:
        return AccessDeniedError(
            f"lambda:InvokeFunction was denied: {text}",
            hint=denial_hint(
                body.decode(errors="replace"),
                "`dolambda policy submitter` prints the permissions that are needed. Or the "
                "credentials have expired.",
            ),
        )
    if status == http.HTTPStatus.NOT_FOUND:
        return NotDeployedError(
            f"the function does not exist: {text}", hint="Run `dolambda deploy`."
        )
    if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return UnknownOutcomeError(
            f"Lambda returned {status} {kind}: {text}", hint="The job is sent again."
        )
    hint = "If it persists, `dolambda doctor` checks for the cause."
    if status in _NOT_READY:
        hint = (
            f"It was repeated for {_SETTLING:.0f} s. `dolambda deploy` waits until the function "
            "is active, or creates it again."
        )
    return AwsError(f"Lambda returned {status} {kind}: {text}", hint=hint)
