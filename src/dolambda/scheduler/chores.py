"""The work that only the run's thread may do.

**Input:** blocking actions, failures found elsewhere. **Output:** requests and events.

transport, submitter -- add --> queue -- do_all, in the run's thread --> requests, events
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

from dolambda.errors import DolambdaError, QuotedError
from dolambda.scheduler import events as ev

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.scheduler.hooks import RunHooks
    from dolambda.scheduler.pilot import Estimate
    from dolambda.transport.base import Transport

log = logging.getLogger("dolambda")


class Chores:
    """The work of one run's thread.

    Args:
        run: Name of the run.
        transport: Removes objects.
        changed: Is notified of each new chore.
        hooks: Functions of the run's caller.
        apply: Has the scheduler handle an event.
        give_up: Fails all tasks of the run.

    Attributes:
        removes: True if objects are still removed.
    """

    def __init__(
        self,
        run: str,
        transport: Transport,
        changed: threading.Condition,
        hooks: RunHooks,
        *,
        apply: Callable[[ev.Event], None],
        give_up: Callable[[BaseException], None],
    ) -> None:
        self.removes = True
        self._run = run
        self._transport = transport
        self._changed = changed
        self._apply = apply
        self._give_up = give_up
        self._hooks = hooks
        self._queue: deque[ev.Action | ev.JobFailed | ev.Broken] = deque()

    def __bool__(self) -> bool:
        """Return whether there is something to do."""
        return bool(self._queue)

    def add(self, chore: ev.Action | ev.JobFailed | ev.Broken) -> None:
        """Leave a chore to the run's thread. Thread-safe."""
        with self._changed:
            self._queue.append(chore)
            self._changed.notify_all()

    def do_all(self) -> None:
        """Do all chores. Only the run's thread calls this."""
        while self._queue:
            chore = self._queue.popleft()
            if isinstance(chore, ev.RemoveObjects):
                self._remove(chore)
            elif isinstance(chore, ev.AskToGoOn):
                self._ask(chore.estimate)
            elif isinstance(chore, ev.JobFailed):
                self._apply(chore)
            elif isinstance(chore, ev.Broken):
                self._give_up(chore.error)

    def _remove(self, chore: ev.RemoveObjects) -> None:
        if not self.removes:
            return
        try:
            self._transport.withdraw(self._run, chore.numbers)
        except DolambdaError as error:
            log.warning("objects of run %s were not removed, they expire: %s", self._run, error)

    def _ask(self, estimate: Estimate) -> None:
        """Ask whether to continue.

        The question has a thread of its own: an answer has no deadline, and `cancel` waits for
        none.
        """
        name = f"dolambda-{self._run}-quote"
        threading.Thread(target=self._confirmed, args=(estimate,), name=name, daemon=True).start()

    def _confirmed(self, estimate: Estimate) -> None:
        """Process the answer. After a no, tasks that were not sent fail."""
        try:
            go_on = self._hooks.confirm is None or self._hooks.confirm(estimate)
        except BaseException as error:  # noqa: BLE001
            # A defect of the caller's function: no task may wait forever.
            self.add(ev.Broken(error))
            return
        hint = "Repeat the run and answer yes, or leave quote= out."
        refusal = QuotedError(f"only the pilot was run: {estimate}", hint=hint)
        self._apply(ev.EstimateConfirmed(go_on, refusal))
