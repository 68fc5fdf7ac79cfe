"""Temporary functions for `dolambda tune`: copies of a stack's function with other memory.

**Input:** a deployed stack and a memory size. **Output:** the name of an active function, which has
the stack's role, layers, code and environment. They are removed after the measurement. `doctor` and
`destroy` find those that a killed program has left.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from dolambda.aws.account import translated
from dolambda.environment.worker_zip import worker_zip
from dolambda.errors import AccessDeniedError, ConfigurationError, DolambdaError, ProvisionError
from dolambda.provision.function import thread_variables
from dolambda.provision.function_state import tried, wait_until_active
from dolambda.provision.names import TAG, is_tune_function, tune_function
from dolambda.provision.plan import Change
from dolambda.stack import find_function

if TYPE_CHECKING:
    from dolambda.aws.account import Account
    from dolambda.provision.names import Names

log = logging.getLogger("dolambda")

_COPIED = ("Runtime", "Handler", "Role")
_HINT = "Run `dolambda deploy` first."
_CLEAN = "`dolambda tune --clean` removes what a killed one has left."


class TemporaryFunctions:
    """The temporary functions of one `dolambda tune`. Thread-safe.

    Args:
        account: Credentials that may create functions and pass the worker's role.
        stack: Name of the stack.
    """

    def __init__(self, account: Account, stack: str) -> None:
        self._lambda = account.client("lambda")
        self._region = account.region
        self._stack = stack
        self._lock = threading.Lock()
        self._made: list[str] = []
        self._closed = False

    def create(self, memory: int, timeout: int) -> str:
        """Create a function with ``memory`` MB and ``timeout`` seconds.

        Returns:
            Its name, once it is active.

        Raises:
            ConfigurationError: The stack's code has another version.
            ProvisionError: The function already exists.
            AccessDeniedError: The credentials may not create it.
        """
        found = find_function(self._lambda, self._region, self._stack, _HINT)
        code = worker_zip()
        if found["CodeSha256"] != base64.b64encode(hashlib.sha256(code).digest()).decode():
            raise ConfigurationError(
                f"the workers of the stack {self._stack!r} have the code of another version",
                hint=_HINT,
            )
        name = tune_function(self._stack, memory)
        with self._lock:  # what is created after `close` would stay
            if self._closed:
                raise ProvisionError(f"the function {name} is not created: tune has ended")
            self._create(name, self._configuration(found, memory), timeout, code)
            self._made.append(name)
        wait_until_active(self._lambda, name, exists=True)
        return name

    def remove(self, name: str) -> None:
        """Remove one of them."""
        delete(self._lambda, name)
        with self._lock:
            self._made.remove(name)

    def close(self) -> list[str]:
        """Remove all, and create none after that. Return those that could not be removed."""
        with self._lock:
            self._closed = True
            left, self._made = self._made, []
        stuck = []
        for name in left:
            try:
                delete(self._lambda, name)
            except DolambdaError as error:
                log.debug("the function %s was not removed: %s", name, error)
                stuck.append(name)
        return stuck

    def _configuration(self, found: dict[str, Any], memory: int) -> dict[str, Any]:
        variables = {**found["Environment"]["Variables"], **thread_variables(memory)}
        return {
            **{name: found[name] for name in _COPIED},
            "MemorySize": memory,
            "EphemeralStorage": found.get("EphemeralStorage", {"Size": 512}),
            "Layers": [layer["Arn"] for layer in found.get("Layers", [])],
            "Architectures": found.get("Architectures", ["x86_64"]),
            "Environment": {"Variables": variables},
            # The role may write to the stack's log group only.
            "LoggingConfig": {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{self._stack}"},
        }

    def _create(self, name: str, wanted: dict[str, Any], timeout: int, code: bytes) -> None:
        try:
            with translated():
                self._lambda.create_function(
                    FunctionName=name,
                    Code={"ZipFile": code},
                    Description="temporary, of `dolambda tune`",
                    Tags={TAG: self._stack},
                    Timeout=timeout,
                    **wanted,
                )
        except DolambdaError as error:
            if "already exist" in str(error):
                raise ProvisionError(
                    f"the function {name} exists: another `dolambda tune` runs, or was killed",
                    hint=_CLEAN,
                ) from error
            raise


class TuneLeftovers:
    """Functions that killed tunes have left. See `Resource`."""

    def __init__(self, account: Account, names: Names) -> None:
        self._lambda = account.client("lambda")
        self._names = names

    def changes(self) -> list[Change]:
        """See `Resource.changes`. A tune may be running, so nothing is removed."""
        return []

    def removal(self) -> list[Change]:
        """See `Resource.removal`."""
        try:
            left = leftovers(self._lambda, self._names)
        except AccessDeniedError as error:
            log.warning("functions left by `dolambda tune` are not looked for: %s", error)
            return []
        return [
            Change(
                "remove",
                f"function {name}",
                "left by `dolambda tune`",
                partial(delete, self._lambda, name),
            )
            for name in left
        ]


def leftovers(client: Any, names: Names) -> list[str]:
    """Return the names of a stack's temporary functions, whether or not a tune is running."""
    with translated():
        pages = client.get_paginator("list_functions").paginate()
        found = [
            (function["FunctionName"], function["FunctionArn"])
            for page in pages
            for function in page["Functions"]
            if is_tune_function(names.stack, function["FunctionName"])
        ]
        # A function of another stack may have such a name, but another tag.
        return [
            name
            for name, arn in found
            if client.list_tags(Resource=arn)["Tags"].get(TAG) == names.stack
        ]


def delete(client: Any, name: str) -> None:
    """Remove a function. A missing one is no error."""

    def request() -> None:
        try:
            client.delete_function(FunctionName=name)
        except client.exceptions.ResourceNotFoundException:
            return

    tried(client, request)
