"""RequestCounter of a Lambda function.

On entry: payloads; on leaving: what the function answered, or why there is no answer.

A request that AWS has not begun to run (throttled, or the connection could not be made) is repeated
here; one that it may have run is not: the sender decides, and counts it.
"""

from __future__ import annotations

import http
import json
import time
from typing import TYPE_CHECKING

from dolambda.aws.account import MEND_CLOCK, is_skewed
from dolambda.aws.partitions import host
from dolambda.aws.reactor import Answer, Request
from dolambda.errors import AccessDeniedError, AwsError, NotDeployedError, ThrottledError

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.aws.account import Account
    from dolambda.aws.reactor import Reactor
    from dolambda.aws.request_counter import RequestCounter

# Seconds without any answer after which a throttled request is given up: longer than any function
# runs.
_PATIENCE = 1500.0
# Seconds for which a request is repeated that was signed with expired credentials, where they renew
# themselves.
_RENEWAL = 180.0
_HEADERS = ("Content-Type: application/json", "Expect:", "X-Amz-Invocation-Type: RequestResponse")


class UnknownOutcomeError(AwsError):
    """The connection ended after the request was sent: it may have run, or not."""

    may_have_run = True


class FunctionEndedError(AwsError):
    """The function's environment ended under the request; ``kind`` is Lambda's name for how."""

    def __init__(self, kind: str, said: str) -> None:
        """``said`` is Lambda's own sentence."""
        super().__init__(
            f"Lambda ended the invocation: {kind}: {said}",
            hint="`dolambda logs --all` has what Lambda wrote of it.",
        )
        self.kind = kind


class Invoker:
    """RequestCounter one function, any number of times at once, from any thread.

    `throttled` is told Lambda's reason, each time it does.
    """

    def __init__(
        self, reactor: Reactor, account: Account, function: str, calls: RequestCounter
    ) -> None:
        """Nothing is sent yet."""
        self.throttled: Callable[[str], None] = lambda _: None
        endpoint = account.endpoint("lambda") or f"https://{host('lambda', account.region)}"
        self._url = f"{endpoint}/2015-03-31/functions/{function}/invocations"
        self._reactor = reactor
        self._calls = calls
        self._heard = 0.0

    @property
    def refused(self) -> int:
        """How many calls wait to be repeated. Only in the thread that leads."""
        return self._reactor.repeating("lambda")

    def send(self, payload: bytes, done: Callable[[bytes | BaseException], None]) -> None:
        """Call the function; ``done`` gets its answer, or `AwsError`, in the reactor's thread that leads."""
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
            if answer.sent:
                request.done(
                    UnknownOutcomeError(
                        f"the connection to Lambda ended: {answer.error}",
                        hint="The job is sent again.",
                    )
                )
            else:
                hint = "Is the network up, and is region= right?"
                self._reactor.repeat(
                    request, AwsError(f"Lambda cannot be reached: {answer.error}", hint=hint)
                )
        elif answer.status in (
            http.HTTPStatus.TOO_MANY_REQUESTS,
            http.HTTPStatus.SERVICE_UNAVAILABLE,
        ):
            reason = _reason(answer.body) or f"status {answer.status}"
            self.throttled(reason)
            # As long as others are run, its turn comes.
            request.until = max(request.until, self._heard + _PATIENCE)
            self._reactor.repeat(
                request,
                ThrottledError(
                    f"Lambda refused to run the function: {reason}", hint=_MEND_THROTTLED
                ),
            )
        elif answer.status != http.HTTPStatus.OK:
            refused = _refused(answer.status, answer.header("x-amzn-errortype"), answer.body)
            if (
                self._reactor.renews
                and isinstance(refused, AccessDeniedError)
                and b"is expired" in answer.body
            ):
                # From the first time on, which is the earliest.
                request.until = min(request.until, time.monotonic() + _RENEWAL)
                self._reactor.repeat(request, refused)
            else:
                request.done(refused)
        elif b"unction-" in answer.head and answer.header("x-amz-function-error"):
            request.done(_ended(answer.body))
        else:
            self._heard = time.monotonic()
            request.done(answer.body)


_MEND_THROTTLED = (
    "It was repeated for 25 minutes, and no other call was answered either. `dolambda status` "
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
    """Whether a refusal can be Lambda's own: all of these are JSON objects."""
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):
        return False


def _refused(status: int, kind: str, body: bytes) -> AwsError | NotDeployedError:
    text = body[:300].decode(errors="replace")
    if not _is_lambdas(body):  # a captive portal's, a proxy's: Lambda may have run it, or not
        return UnknownOutcomeError(
            f"something else answered in Lambda's place: {status} {text}",
            hint="The job is sent again. Is there a proxy, or a network that asks for a login?",
        )
    if is_skewed(text):
        return AccessDeniedError(
            f"lambda:InvokeFunction was denied, as this machine's clock and AWS's differ: {text}",
            hint=MEND_CLOCK,
        )
    if status == http.HTTPStatus.FORBIDDEN or "AccessDenied" in kind:
        return AccessDeniedError(
            f"lambda:InvokeFunction was denied: {text}",
            hint="`dolambda policy submitter` prints what is needed; or have the credentials "
            "expired?",
        )
    if status == http.HTTPStatus.NOT_FOUND:
        return NotDeployedError(f"there is no such function: {text}", hint="Run `dolambda deploy`.")
    if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        return UnknownOutcomeError(
            f"Lambda answered {status} {kind}: {text}", hint="The job is sent again."
        )
    return AwsError(
        f"Lambda answered {status} {kind}: {text}",
        hint="If it stays so, `dolambda doctor` looks for the cause.",
    )
