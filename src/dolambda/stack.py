"""A deployed stack, with the facts that a client needs to use it.

**Input:** its name. **Output:** a `Stack`, read from AWS.

There is no state file: the function of that name has a configuration, and its environment contains
the rest.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dolambda.aws.account import ahead_of_here, error_code, translated
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

    Attributes:
        memory: MB of memory of a worker.
        timeout: Time limit of an invocation, in seconds.
        workers: Largest number of workers at a time.
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
    """Requirements of the packages installed on its workers, pinned."""
    code: str = ""
    """Name of its worker's code, see `worker_code`, or "" for code that `deploy` has not written.
    """
    account: str = ""
    """Number of the account that owns it, or "" if its ARN does not contain it."""
    ahead: float = 0.0
    """Seconds by which AWS's clock is ahead of this machine's."""
    reserved: int | None = None
    """The function's reserved concurrency: None for none, 0 for a function that cannot run."""

    @classmethod
    def from_account(cls, account: Account, settings: Settings) -> Stack:
        """Find a stack by name.

        Raises:
            NotDeployedError: No stack of that name exists in the region.
            ConfigurationError: The stack cannot work with these settings.
        """
        client = account.client("lambda")
        hint = (
            "Run `dolambda deploy`, or use stack= or region= of a deployed one; "
            "dolambda.register('local') needs none."
        )
        found = find_function(client, account.region, settings.stack, hint)
        ahead = ahead_of_here(found)
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
            ahead=ahead,
            reserved=reserved_concurrency(client, settings.stack),
        )
        stack.check(settings)
        return stack

    def check(self, settings: Settings) -> None:
        """Raise an error for a stack that cannot work, before the first task is sent."""
        if self.python != PYTHON:
            raise PythonMismatchError(
                f"the stack {self.name!r} runs Python {self.python}, but this is Python {PYTHON}: "
                "pickled functions load in one version only",
                hint="Run `dolambda deploy` from this Python, or the client under Python "
                f"{self.python}.",
            )
        if settings.bucket not in (None, self.bucket):
            raise ConfigurationError(
                f"the stack {self.name!r} uses the bucket {self.bucket!r}, not {settings.bucket!r}",
                hint="Leave bucket= out: the stack determines it.",
            )

    def refuse_stopped(self) -> None:
        """Raise `StackStoppedError` for a stack whose function Lambda does not run."""
        if self.reserved == 0:
            raise StackStoppedError(
                f"the stack {self.name!r} is stopped: its function's reserved concurrency is 0, "
                "so Lambda runs none of its jobs",
                hint="`dolambda panic --undo` starts it again after a `dolambda panic`.",
            )


def find_function(client: Any, region: str, stack: str, hint: str) -> dict[str, Any]:
    """Return the configuration of a stack's function, for any version of Python and dolambda.

    Raises:
        NotDeployedError: There is no such function. The error has this ``hint``.
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
    """Raise an error for a function whose environment cannot be read or is not dolambda's.

    Raises:
        AwsError: Lambda cannot read the environment.
        NotDeployedError: The function was not made by dolambda.
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
            hint="Choose another stack=: dolambda does not change functions that it has not made.",
        )


def reserved_concurrency(client: Any, function: str) -> int | None:
    """Return the function's reserved concurrency.

    That is the number of invocations that Lambda reserves for the function and runs at most. Return
    None for the account's limit, or if there is no such function.
    """
    with translated():
        try:
            found: int | None = client.get_function_concurrency(FunctionName=function).get(
                "ReservedConcurrentExecutions"
            )
        except client.exceptions.ResourceNotFoundException:
            return None
    return found


_ROOM = 2500  # bytes, of the 4 KB that a function's whole environment may take


def packed(requires: tuple[str, ...]) -> str:
    """Return requirements as a variable of the function's environment.

    Return nothing if they are too long. Then they cannot be compared.
    """
    text = (
        base64.b64encode(zlib.compress("\n".join(requires).encode(), 9)).decode()
        if requires
        else ""
    )
    return text if len(text) <= _ROOM else ""


def unpacked(text: str) -> tuple[str, ...]:
    """Return the requirements that `packed` has packed."""
    return tuple(zlib.decompress(base64.b64decode(text)).decode().split("\n")) if text else ()
