"""A stack that stands: what a client must know to use it.

On entry: its name; on leaving: a `Stack`, read from AWS.

There is no state file: the function of that name is asked for its configuration, and its
environment holds the rest.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dolambda.aws.account import error_code, translated
from dolambda.aws.partitions import account_in
from dolambda.errors import (
    AwsError,
    ConfigurationError,
    NotDeployedError,
    PythonMismatchError,
    StackStoppedError,
)
from dolambda.wire import signing_keys
from dolambda.wire.task import PYTHON

if TYPE_CHECKING:
    from dolambda.aws.account import Account
    from dolambda.settings import Settings


@dataclass(frozen=True)
class Stack:
    """One deployed stack.

    ``memory`` is in MB, ``timeout`` in seconds, ``workers`` the most that may run at a time.
    """

    name: str
    region: str
    bucket: str
    key: bytes = field(repr=False)
    python: str
    architecture: str
    memory: int
    timeout: int
    workers: int
    requires: tuple[str, ...] = ()
    """What its workers have installed, pinned."""
    code: str = ""
    """Name of its worker's code, see `worker_code`; "" for code that `deploy` has not put there."""
    account: str = ""
    """Number of the account that owns it; "" where its ARN does not say."""
    reserved: int | None = None
    """The function's reserved concurrency; None for none, 0 for one that may not run."""

    @classmethod
    def from_account(cls, account: Account, settings: Settings) -> Stack:
        """Find a stack by name. Raises `NotDeployedError`, `ConfigurationError`."""
        client = account.client("lambda")
        hint = (
            "Run `dolambda deploy`, or give stack= or region= of one that stands; "
            "dolambda.register('local') needs none."
        )
        found = find_function(client, account.region, settings.stack, hint)
        environment = found["Environment"]["Variables"]
        name, _, digest = environment.get("DOLAMBDA_CODE", "").partition(":")
        stack = cls(
            name=settings.stack,
            region=account.region,
            bucket=environment["DOLAMBDA_BUCKET"],
            key=bytes.fromhex(environment[signing_keys.KEY]),
            python=environment.get("DOLAMBDA_PYTHON_VERSION", ""),
            architecture=found.get("Architectures", ["x86_64"])[0],
            memory=found["MemorySize"],
            timeout=found["Timeout"],
            workers=int(environment["DOLAMBDA_WORKERS"]),
            requires=unpacked(environment.get("DOLAMBDA_REQUIRES", "")),
            code=name if base64.b64decode(found["CodeSha256"]).hex() == digest else "",
            account=account_in(str(found.get("FunctionArn", ""))),
            reserved=reserved_concurrency(client, settings.stack),
        )
        stack.check(settings)
        return stack

    def check(self, settings: Settings) -> None:
        """Refuse what cannot work, before the first task is sent."""
        if self.python != PYTHON:
            raise PythonMismatchError(
                f"the stack {self.name!r} runs Python {self.python}, this is Python {PYTHON}: "
                "functions do not pickle across",
                hint="Run `dolambda deploy` from this Python, or the client under Python "
                f"{self.python}.",
            )
        if settings.bucket not in (None, self.bucket):
            raise ConfigurationError(
                f"the stack {self.name!r} uses the bucket {self.bucket!r}, not {settings.bucket!r}",
                hint="Leave bucket= out: it is known from the stack.",
            )

    def refuse_stopped(self) -> None:
        """Raise `StackStoppedError` for one that Lambda runs nothing of."""
        if self.reserved == 0:
            raise StackStoppedError(
                f"the stack {self.name!r} is stopped: its function's reserved concurrency is 0, "
                "so that Lambda runs none of its jobs",
                hint="`dolambda panic --undo` starts it again after a `dolambda panic`.",
            )


def find_function(client: Any, region: str, stack: str, hint: str) -> dict[str, Any]:
    """The configuration of a stack's function, whatever Python or dolambda it runs.

    Raises `NotDeployedError`, with ``hint``.
    """
    with translated():
        try:
            found: dict[str, Any] = client.get_function_configuration(FunctionName=stack)
        except client.exceptions.ResourceNotFoundException as error:
            raise NotDeployedError(
                f"there is no stack {stack!r} in {region} ({error_code(error)})", hint=hint
            ) from error
    refuse_unreadable(found, stack, region)
    return found


def refuse_unreadable(found: dict[str, Any], stack: str, region: str) -> None:
    """Refuse a function whose environment cannot be read or is not ours.

    Raises `AwsError`, `NotDeployedError`.
    """
    environment = found.get("Environment") or {}
    failure = environment.get("Error")
    if failure:
        raise AwsError(
            f"Lambda cannot read the environment of the function {stack!r} in {region}: "
            f"{failure.get('ErrorCode')}: {failure.get('Message')}",
            hint="Allow these credentials to use the KMS key that encrypts it (kms:Decrypt), then "
            "run it again.",
        )
    if signing_keys.KEY not in environment.get("Variables", {}):
        raise NotDeployedError(
            f"the function {stack!r} in {region} was not made by dolambda",
            hint="Choose another stack=: dolambda does not touch functions it has not made.",
        )


def reserved_concurrency(client: Any, function: str) -> int | None:
    """How many invocations of a function Lambda keeps for it and runs at most; None for the account's limit.

    Of no function, None.
    """
    with translated():
        try:
            found: int | None = client.get_function_concurrency(FunctionName=function).get(
                "ReservedConcurrentExecutions"
            )
        except client.exceptions.ResourceNotFoundException:
            return None
    return found


_ROOM = 2500  # bytes of the 4 KB that all of a function's environment may take


def packed(requires: tuple[str, ...]) -> str:
    """Requirements as a variable of the function's environment; nothing when they are too many, and then cannot be compared."""
    text = (
        base64.b64encode(zlib.compress("\n".join(requires).encode(), 9)).decode()
        if requires
        else ""
    )
    return text if len(text) <= _ROOM else ""


def unpacked(text: str) -> tuple[str, ...]:
    """The reverse of `packed`."""
    return tuple(zlib.decompress(base64.b64decode(text)).decode().split("\n")) if text else ()
