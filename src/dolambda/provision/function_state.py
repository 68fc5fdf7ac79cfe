"""The states of a function: waits until it accepts changes, and until changes apply.

**Input:** a Lambda client and a function's name. **Output:** nothing, or a `ProvisionError` with
Lambda's reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dolambda.aws.account import translated
from dolambda.errors import ConfigurationError, ProvisionError
from dolambda.provision.plan import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

_PATIENCE = 120
_ROLE_UNKNOWN = ("cannot be assumed", "CreateGrant", "valid principal")
"""Parts of Lambda's errors for a role that was created some seconds ago.

Lambda assumes the role, and creates a KMS grant for it because the function has environment
variables.
"""

_UNKNOWN = "Function not found"
_OTHER_PYTHON = (
    "Use a Python that Lambda offers, on this machine too, or bring the interpreter in a layer: "
    "--runtime provided.al2023 --layer ARN."
)
_LIMITS = {
    "'MemorySize' value failed": "New AWS accounts have a lower limit of memory, mostly 3,008 MB. "
    "Set memory= "
    "(--memory) to what the message allows, or ask AWS Support for more.",
    "exceeds the maximum allowed size": "Require less (requires=, exclude=), or use fewer layers= "
    "of your own: "
    "Lambda unzips all of them into 250 MB.",
    "exceeded the 4KB limit": "dolambda's variables take some 3 KB: remove some of those that "
    "others have added to the function, or shorten the names of the bucket and the interpreter.",
    "at 'runtime' failed": _OTHER_PYTHON,
    "is no longer supported for creating or updating": _OTHER_PYTHON,
    "CreateNetworkInterface": "The function is in a network (VPC), as someone set it: let the "
    "role use it (AWSLambdaVPCAccessExecutionRole).",
}
"""Lambda's errors for an account's limits, and hints."""


def wait_until_settled(client: Any, function: str, *, exists: bool = False) -> None:
    """Wait until the function accepts changes, whatever the result of earlier ones.

    Without ``exists``, one that is not found is not waited for.
    """

    def settled() -> bool:
        found = _found(client, function)
        return not exists if found is None else not _busy(found)

    wait_until(settled, f"that function {function} takes changes", seconds=_PATIENCE)


def wait_until_active(client: Any, function: str, *, exists: bool = False) -> None:
    """Wait until the change applies to every later invocation. ``exists``: as above.

    Raises:
        ProvisionError: The change failed.
    """
    wait_until_settled(client, function, exists=exists)
    failure = failure_of(_found(client, function) or {})
    if failure:
        raise ProvisionError(
            f"Lambda could not change the function {function!r}: {failure}",
            hint="Remove what the reason names, then repeat the command: it continues.",
        )


def failure_of(found: dict[str, Any]) -> str:
    """Return Lambda's reason if the function or its last update failed, else ""."""
    for state, name in (("State", "State"), ("LastUpdateStatus", "LastUpdateStatus")):
        if found.get(state) == "Failed":
            code = found.get(f"{name}ReasonCode")
            reason = found.get(f"{name}Reason") or "no reason given"
            return f"{reason} ({code})" if code else str(reason)
    return ""


def change_settled(client: Any, function: str, change: Callable[[], object]) -> None:
    """Change the function when it accepts changes and its role is known.

    Then wait until it is active.
    """

    def changed() -> bool:
        wait_until_settled(client, function)
        return tried(client, change)

    wait_until(changed, f"the change of function {function}", seconds=_PATIENCE)
    wait_until_active(client, function)


def tried(client: Any, change: Callable[[], object]) -> bool:
    """Make a change. Return False if Lambda accepts it only some seconds later."""
    with translated():
        try:
            change()
        except client.exceptions.ResourceConflictException as error:
            if "already exist" in str(error):  # CreateFunction: another request was faster
                raise
            return False
        except client.exceptions.ResourceNotFoundException as error:
            # Not every part of Lambda knows a function that was created a moment ago.
            if _UNKNOWN not in str(error):
                raise
            return False
        except client.exceptions.InvalidParameterValueException as error:
            said = str(error)
            if any(part in said for part in _ROLE_UNKNOWN):
                return False
            for part, hint in _LIMITS.items():
                if part in said:
                    raise ConfigurationError(said, hint=hint) from error
            raise
    return True


def _busy(found: dict[str, Any]) -> bool:
    return found.get("State") == "Pending" or found.get("LastUpdateStatus") == "InProgress"


def _found(client: Any, function: str) -> dict[str, Any] | None:
    with translated():
        try:
            return dict(client.get_function_configuration(FunctionName=function))
        except client.exceptions.ResourceNotFoundException:
            return None  # its creation is only printed, as a command
