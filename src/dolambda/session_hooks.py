"""The functions that the runs of a session call: what users see of them, and what is kept.

**Input:** the session's settings and stores, and the options of a run. **Output:** `RunHooks`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from dolambda.money.quote import verdict
from dolambda.named_runs import Recorder
from dolambda.progress.choose import DISPLAY_S, display
from dolambda.progress.words import Label
from dolambda.scheduler import relay
from dolambda.scheduler.folded_warnings import FoldedWarnings
from dolambda.scheduler.hooks import RunHooks
from dolambda.scheduler.live_output import LiveOutput
from dolambda.transport.live.client import OutputParts

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.aws.objects import Bucket
    from dolambda.money.accounts import Accounts
    from dolambda.named_runs import NamedRun, OpenNamedRuns
    from dolambda.options import RunOptions
    from dolambda.records.recorder import RunRecorder
    from dolambda.scheduler.pilot import Estimate
    from dolambda.scheduler.report import Report
    from dolambda.scheduler.run import Run
    from dolambda.settings import Settings
    from dolambda.transport.clean_up import CleanUp

    Progress = bool | Callable[[Report], None] | None
    Relay = Callable[[int, str, bool], None]


@dataclass(frozen=True)
class SessionHooks:
    """The functions of one session's runs. ``quotes`` is False where nothing is charged."""

    settings: Settings
    accounts: Accounts
    named_runs: OpenNamedRuns
    bucket: Bucket | None
    key: bytes
    clean_up: CleanUp
    quotes: bool

    def of_run(
        self,
        options: RunOptions,
        progress: Progress,
        named: NamedRun | None,
        relay: Relay | None,
        live: LiveOutput | None,
        recorder: RunRecorder | None,
    ) -> RunHooks:
        """Return the functions that a run calls. ``progress`` is the session's."""
        show = self._shown(options, progress, named)
        if show and isinstance(relay, FoldedWarnings):
            show = relay.before(show)
        return RunHooks(
            relay=relay,
            live=live,
            progress=show,
            progress_s=0.0 if self._is_users(options, progress) else DISPLAY_S,
            confirm=self._confirm(),
            record=recorder.take if recorder else None,
            on_end=partial(self._on_end, recorder, relay),
        )

    def output(
        self, options: RunOptions, run: str, given: Relay | None, *, may_be_live: bool
    ) -> tuple[Relay | None, LiveOutput | None]:
        """Return what shows the output of tasks in the end, and while they run.

        A ``given`` relay gets all output, whatever is to be shown.
        """
        logs = self.settings.logs if options.logs is None else options.logs
        if not (given or logs):
            return None, None
        show = relay.to_stdout_at_once if logs == "live" else relay.to_stdout
        shown = given or FoldedWarnings(show, only_failed=logs == "errors")
        if self.bucket is None or logs != "live" or not may_be_live:
            return shown, None
        parts = OutputParts(self.bucket, run, self.key)
        return shown, LiveOutput(parts, shown, clean_up=self.clean_up)

    def _confirm(self) -> Callable[[Estimate], bool] | None:
        """Return the function that asks after a pilot, if a quote is wanted."""
        quote = self.settings.quote
        return partial(verdict, only=quote == "only") if quote and self.quotes else None

    @staticmethod
    def _is_users(options: RunOptions, progress: Progress) -> bool:
        """Return whether reports go to a function of the user, which gets each."""
        return callable(progress if options.progress is None else options.progress)

    def _shown(
        self, options: RunOptions, progress: Progress, named: NamedRun | None
    ) -> Callable[[Report], None] | None:
        """Return the function that gets a run's reports: the display, with the cost so far."""
        chosen = progress if options.progress is None else options.progress
        emulated = self.settings.endpoint_url is not None
        label = Label(name=options.run or "", emulated=emulated)
        show = chosen if callable(chosen) else display(chosen, label)
        if named:
            show = Recorder(named, show)
        return self.accounts.with_cost(show) if show else None

    def _on_end(self, recorder: RunRecorder | None, relay: Relay | None, run: Run) -> None:
        """Keep the counts of a run that has ended, and release its name."""
        if isinstance(relay, FoldedWarnings):
            relay.end()
        report, bill = self.accounts.end(run)
        if recorder:
            recorder.end(report, bill)
        self.named_runs.release(run.name)
