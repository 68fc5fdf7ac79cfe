"""The first hour itself: one stack, on which steps run in order."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from dolambda.aws.account import Credentials, translated
from dolambda.errors import DolambdaError
from dolambda.money.prices import PRICES
from dolambda.provision.deploy import deploy, destroy, names_of, resources
from dolambda.session import Session
from dolambda.settings import Settings
from support.first_hour.ledger import Ledger, OverCapError
from support.first_hour.redaction import Redactor
from support.first_hour.report import Report, Result, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from dolambda.aws.account import Account

RUN = 0.008
"""Dollars that one run of tasks may cost: its ``budget=``, which is a hard bound."""
_CONTROL = 0.001
"""Dollars for the requests of a step that are not in the bill of a session, such as a deployment:
fewer than 200 at the price of the dearest.
"""
_LOG_LINES = 40
_START_S = 10
"""Seconds that the start of a worker may be billed, which no bill of a session contains."""

SETTINGS = Settings(
    stack="dolambda-test",
    requires=("cloudpickle",),
    memory=512,
    timeout=30,
    workers=10,
    attempts=2,
    budget=RUN,
    progress=False,
    record=False,
    speculate=False,
)
_STARTS = SETTINGS.memory / 1024 * PRICES["x86_64"].gb_second * _START_S * (SETTINGS.workers or 1)
"""Dollars if each worker starts once in a run."""


class SkippedError(Exception):
    """A step cannot run here. Says why."""


@dataclass(frozen=True)
class Step:
    """One step: its name, the findings of the audit that it is about, the most runs it makes."""

    name: str
    finding: str
    runs: int
    do: Callable[[Hour], None]
    begins: bool = False
    """True if no other step makes sense when this one has failed."""

    @property
    def worst(self) -> float:
        """Dollars that the step may cost at the very worst."""
        return self.runs * (RUN + _STARTS) + _CONTROL


@dataclass
class Hour:
    """One stack on one account.

    ``submitter`` has credentials with the printed submitter policy and nothing else, or raises
    `SkippedError`. ``here`` is True for the emulated AWS.
    """

    account: Account
    settings: Settings
    submitter: Callable[[Settings], AbstractContextManager[Credentials]]
    here: bool
    path: Path
    """Where the report is written after each step."""
    scratch: Path
    keys: Credentials = field(default_factory=Credentials)
    """Of the account, for programs that are started."""
    ledger: Ledger = field(default_factory=Ledger)
    former_buckets: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        place = "AWS emulated on this machine" if self.here else self.account.region
        self.report = Report(place, Redactor(), self.ledger)
        self._billed = 0.0
        self._given_up = ""
        for value in (self.keys.key, self.keys.secret, self.keys.token):
            self.report.redact.add(value, "key")

    def run(self, step: Step) -> Result:
        """Run one step, unless it may exceed the cap. The report has its result.

        Raises:
            SkippedError, OverCapError: It was not run. The report says why.
        """
        begun, self._billed, spent = time.monotonic(), 0.0, self.ledger.spent
        outcome, said = "passed", ""
        try:
            if self._given_up:
                outcome = "not run"
                raise SkippedError(f"the step {self._given_up!r} has failed")  # noqa: TRY301
            self.ledger.refuse_beyond(step.worst)
            step.do(self)
            self.ledger.charge(self._billed + _CONTROL)
        except BaseException as error:
            outcome = _outcome(error) if outcome == "passed" else outcome
            said = "" if outcome == "not run" else str(error)
            if outcome == "failed":  # nobody knows what still runs
                said = f"{told(error)}\n{self._workers_log(seconds=time.monotonic() - begun)}"
                self.ledger.charge(max(self._billed, step.worst))
                self._given_up = self._given_up or (step.name if step.begins else "")
            raise
        finally:
            seconds, dollars = time.monotonic() - begun, self.ledger.spent - spent
            said = self.report.redact(said)
            self.report.results.append(
                Result(step.name, step.finding, outcome, seconds, dollars, said)
            )
            self.report.write(self.path)
        return self.report.results[-1]

    def deploy(self, **changes: Any) -> int:
        """Deploy with changed settings, which later steps keep; return the number of changes."""
        self.settings = replace(self.settings, **changes)
        names = names_of(self.account, self.settings)
        self.report.redact.add(names.account, "account")
        self.report.redact.add(names.bucket, "bucket")
        return deploy(resources(self.account, self.settings, here=self.here))

    def refuse_present_stack(self) -> None:
        """Raise `AssertionError` if a stack of this name stands: the hour would destroy it."""
        with translated():
            client = self.account.client("lambda")
            try:
                found = client.get_function_configuration(FunctionName=self.settings.stack)
            except client.exceptions.ResourceNotFoundException:
                return
        bucket = found.get("Environment", {}).get("Variables", {}).get("DOLAMBDA_BUCKET", "BUCKET")
        raise AssertionError(
            f"a stack {self.settings.stack} stands already, and the hour would destroy it: remove "
            f"it with `dolambda destroy --stack {self.settings.stack} --bucket {bucket}`"
        )

    def destroy(self) -> None:
        """Remove the stack, or what there is of it."""
        bare = replace(self.settings, requires=())
        destroy(resources(self.account, bare, here=self.here))

    def _workers_log(self, seconds: float) -> str:
        """Return the last lines of the workers' log: it often says why a task had no reply."""
        try:
            events = self.account.client("logs").filter_log_events(
                logGroupName=f"/aws/lambda/{self.settings.stack}",
                startTime=int((time.time() - seconds) * 1000),
            )["events"]
        except (BotoCoreError, ClientError, DolambdaError) as error:  # an error of its own, or none
            return f"The workers' log cannot be read: {type(error).__name__}"
        lines = [event["message"].rstrip() for event in events[-_LOG_LINES:]]
        return "\n".join(["The workers' log:", *lines])

    def count(self, runs: int) -> None:
        """Count runs whose bill nobody sees, such as those of a program, at their worst."""
        self._billed += runs * (RUN + _STARTS)

    @contextmanager
    def session(self, credentials: Credentials | None = None, **changes: Any) -> Iterator[Session]:
        """Open a session, whose cost is counted at its end."""
        mine = credentials or Credentials(session=self.account.session)
        with Session.open(replace(self.settings, **changes), mine) as session:
            try:
                yield session
            finally:
                self._billed += session.bill().total + self._not_in_bill(session)

    def _not_in_bill(self, session: Session) -> float:
        """Return the most that starts of workers and jobs without a reply may have cost."""
        counts = session.report()
        without_reply = counts.failed + counts.again + counts.resent
        seconds = counts.cold * _START_S + without_reply * self.settings.timeout
        return seconds * self.settings.memory / 1024 * PRICES["x86_64"].gb_second


def _outcome(error: BaseException) -> str:
    if isinstance(error, SkippedError):
        return "skipped"
    return "refused" if isinstance(error, OverCapError) else "failed"
