"""Replacement of the key that signs jobs and replies, while sessions continue.

    rotate    DOLAMBDA_KEY_NEXT = a new key        workers accept it, clients still read the old key
              DOLAMBDA_KEY = the new key,          new sessions use it, open sessions continue with
              DOLAMBDA_KEY_BEFORE = the old key    the old key
    finish    DOLAMBDA_KEY_BEFORE is removed       sessions older than the rotation are refused

There are two steps because Lambda takes seconds to replace a function's environment: a client that
reads the new key meanwhile must not meet a worker that does not know it. If it is killed between
them, `rotate` continues with the same new key.

**Input:** an account and a stack's name. **Output:** nothing that contains a key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dolambda.aws.account import error_code, translated
from dolambda.errors import ProvisionError
from dolambda.provision.function_state import wait_until_active, wait_until_settled
from dolambda.stack import find_function
from dolambda.wire import signing_keys

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.aws.account import Account

_CHANGED_MEANWHILE = ("PreconditionFailedException", "ResourceConflictException")


class Rotation:
    """The keys of one stack."""

    def __init__(self, account: Account, stack: str) -> None:
        """Prepare the rotation. Nothing is sent yet."""
        self._lambda = account.client("lambda")
        self._region = account.region
        self._stack = stack

    def rotate(self, tell: Callable[[str], None] = lambda _: None) -> None:
        """Make a new key the one that new sessions use.

        The previous key is accepted until `finish` or the next rotation.
        """
        _, variables = self._found()
        if signing_keys.NEXT in variables:
            wait_until_active(self._lambda, self._stack)
            tell("an interrupted rotation continues")
        else:
            self._change(lambda found: {**found, signing_keys.NEXT: signing_keys.new()})
            tell("workers also accept a new key")
        self._change(_swapped)
        tell("new sessions use the new key; open sessions continue with the previous one")

    def finish(self) -> bool:
        """Drop the previous key. Return False if there is none.

        Sessions opened before the rotation are refused from now on.
        """
        _, variables = self._found()
        if signing_keys.BEFORE not in variables:
            return False
        self._change(
            lambda found: {
                name: value for name, value in found.items() if name != signing_keys.BEFORE
            }
        )
        return True

    def _found(self) -> tuple[str, dict[str, str]]:
        """Return the function's revision and the variables of its environment.

        Raises:
            NotDeployedError: There is no such stack.
        """
        found = find_function(
            self._lambda, self._region, self._stack, "Use stack= or region= of a deployed one."
        )
        return found["RevisionId"], found["Environment"]["Variables"]

    def _change(self, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
        """Change the function's environment, and wait until every worker has it.

        Fail if someone else changes it at the same time.
        """
        wait_until_settled(self._lambda, self._stack)
        revision, variables = self._found()
        with translated():
            try:
                self._lambda.update_function_configuration(
                    FunctionName=self._stack,
                    RevisionId=revision,
                    Environment={"Variables": change(variables)},
                )
            except self._lambda.exceptions.ClientError as error:
                if error_code(error) not in _CHANGED_MEANWHILE:
                    raise
                raise ProvisionError(
                    f"the function {self._stack!r} was changed by someone else at the same time",
                    hint="Repeat the command: it continues where it stopped.",
                ) from error
        wait_until_active(self._lambda, self._stack)


def _swapped(found: dict[str, str]) -> dict[str, str]:
    rest = {name: value for name, value in found.items() if name != signing_keys.NEXT}
    return {
        **rest,
        signing_keys.KEY: found[signing_keys.NEXT],
        signing_keys.BEFORE: found[signing_keys.KEY],
    }
