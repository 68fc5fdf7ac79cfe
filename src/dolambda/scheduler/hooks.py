"""The functions of its caller that a run calls, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.scheduler.live_output import LiveOutput
    from dolambda.scheduler.pilot import Estimate
    from dolambda.scheduler.report import Report
    from dolambda.scheduler.run import Run
    from dolambda.wire.reply import Reply


@dataclass(frozen=True, kw_only=True)
class RunHooks:
    """Functions that a run calls. It calls none of them while it holds its lock.

    Attributes:
        relay: Gets a task's index, its output, and whether it failed.
        live: Shows the output of tasks while they run.
        progress: Gets reports.
        progress_s: Seconds between two reports. The first after all jobs have replied, and the last
            of the run, come at once.
        confirm: Returns after a pilot whether to continue. None: there is no pilot.
        record: Gets each opened reply.
        on_end: Gets the run when it has ended in any way.
    """

    relay: Callable[[int, str, bool], None] | None = None
    live: LiveOutput | None = None
    progress: Callable[[Report], None] | None = None
    progress_s: float = 0.0
    confirm: Callable[[Estimate], bool] | None = None
    record: Callable[[Reply], None] | None = None
    on_end: Callable[[Run], None] | None = None
