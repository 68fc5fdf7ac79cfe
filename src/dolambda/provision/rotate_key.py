"""Replace the key that signs jobs and replies, while sessions go on.

    rotate    DOLAMBDA_KEY_NEXT = a new key                                workers accept it, clients still read the old one
              DOLAMBDA_KEY = it, DOLAMBDA_KEY_BEFORE = the old one         new sessions use it, those under way go on with the old one
    finish    DOLAMBDA_KEY_BEFORE is gone                                  sessions older than the rotation are refused

Two steps, because Lambda takes seconds to replace a function's environment: a client that reads the
new key in the meantime must not meet a worker that does not know it. Killed between them, `rotate`
goes on with the same new key. On entry: an account and a stack's name; on leaving: nothing that
holds a key.
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
        """Nothing is sent yet."""
        self._lambda = account.client("lambda")
        self._region = account.region
        self._stack = stack

    def rotate(self, tell: Callable[[str], None] = lambda _: None) -> None:
        """Make a new key the one that sessions begin with.

        The one before is accepted until `finish` or the next rotation.
        """
        _, variables = self._found()
        if signing_keys.NEXT in variables:
            wait_until_active(self._lambda, self._stack)
            tell("a rotation that was interrupted goes on")
        else:
            self._change(lambda found: {**found, signing_keys.NEXT: signing_keys.new()})
            tell("workers also accept a new key")
        self._change(_swapped)
        tell("new sessions use the new key; sessions under way go on with the one before")

    def finish(self) -> bool:
        """Drop the key before; False when there is none.

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
        """The function's revision and the variables of its environment.

        Raises `NotDeployedError`.
        """
        found = find_function(
            self._lambda, self._region, self._stack, "Give stack= or region= of one that stands."
        )
        return found["RevisionId"], found["Environment"]["Variables"]

    def _change(self, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
        """Change the function's environment, unless someone else does at the same time, and wait until every worker has it."""
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
                    hint="Run the same command again: it goes on where it stopped.",
                ) from error
        wait_until_active(self._lambda, self._stack)


def _swapped(found: dict[str, str]) -> dict[str, str]:
    rest = {name: value for name, value in found.items() if name != signing_keys.NEXT}
    return {
        **rest,
        signing_keys.KEY: found[signing_keys.NEXT],
        signing_keys.BEFORE: found[signing_keys.KEY],
    }
