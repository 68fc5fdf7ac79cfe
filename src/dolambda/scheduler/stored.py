"""The results of earlier clients of a named run.

**Input:** checked replies. **Output:** the outcome of a task, by its identity.

A task's identity is its content: function, arguments, own modules, the packages of the stack, and
its position among equal tasks. Any change of these makes another task, so results of other code or
inputs are never used.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dolambda.wire.outcome import PackedOutcome
    from dolambda.wire.reply import Reply


class Stored:
    """Outcomes by identity. ``first`` is the number that the next job may have.

    Each outcome is taken once. ``restored`` has the identities of those taken, by their tasks'
    positions.
    """

    def __init__(self, outcomes: dict[str, PackedOutcome], first: int) -> None:
        """Use `Stored.from_replies`."""
        self._outcomes = outcomes
        self.first = first
        self.restored: dict[int, str] = {}

    @classmethod
    def from_replies(cls, replies: Iterable[Reply], first: int) -> Stored:
        """Return the tasks that have an outcome of their own. Lost ones are run again."""
        return cls(
            {
                one.task: one
                for reply in replies
                for one in reply.outcomes
                if one.task and one.kind != "lost"
            },
            first,
        )

    def __len__(self) -> int:
        """Return the number of outcomes."""
        return len(self._outcomes)

    def take(self, identity: str, index: int) -> PackedOutcome | None:
        """Return the outcome of the task at position ``index``, or None if it has none yet."""
        outcome = self._outcomes.pop(identity, None)
        if outcome:
            self.restored[index] = identity
        return outcome and replace(outcome, index=index)
