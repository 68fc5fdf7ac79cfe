"""The transport of a sampled run, whose jobs go to a temporary function, one after the other.

**Input:** the jobs of a run's pilot. **Output:** their replies, and "no" when it asks to continue.
"""

from __future__ import annotations

import queue
import threading
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from dolambda.aws.request_counter import RequestCounter
from dolambda.errors import ConfigurationError
from dolambda.local.place import limits_cpu
from dolambda.local.stack import root
from dolambda.scheduler.pilot import JOBS
from dolambda.scheduler.retries import Retries
from dolambda.tuning.measure import Target
from dolambda.tuning.tuner import current

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dolambda.local.instance import Instance
    from dolambda.scheduler.hooks import RunHooks
    from dolambda.scheduler.limits import Limits
    from dolambda.scheduler.pilot import Estimate
    from dolambda.scheduler.run import Run
    from dolambda.settings import Settings
    from dolambda.stack import Stack
    from dolambda.transport.base import OnReply, SealedJob
    from dolambda.transport.factory import TransportFactory
    from dolambda.tuning.tuner import Tuner

_MAX_WAIT_S = 21_600.0
_Sent = tuple["SealedJob", "OnReply"]


class TunableSession(Protocol):
    """The part of a session that tuning needs."""

    settings: Settings
    stack: Stack | None
    transports: TransportFactory | None

    @property
    def instance(self) -> Instance | None:
        """The emulated AWS that it has started or joined."""
        ...


def sampler_of(session: TunableSession) -> Sampler | None:
    """Return the transport of a run that `dolambda tune` measures, or None for any other run.

    Raises:
        ConfigurationError: The session has no workers.
        QuotedError: Another run was measured.
    """
    tuning = current()
    if tuning is None:
        return None
    if session.stack is None or session.transports is None:
        raise ConfigurationError(
            'transport="in_process" has no workers whose memory could be tuned',
            hint='Register a stack, or "local".',
        )
    account, url = session.transports.account, session.settings.endpoint_url
    if session.instance:  # its submitter may not create functions
        account = root(session.instance, session.settings)[1]
    target = Target(account, session.stack, emulated=bool(url), cpu_limited=limits_cpu(url))
    return Sampler(tuning.tuner(target))


class Sampler:
    """See `Transport`. After the jobs of a pilot, its tuner measures the other sizes."""

    queues = False

    def __init__(self, tuner: Tuner) -> None:
        """Create the transport. ``tuner`` gets the jobs."""
        self.calls = RequestCounter()
        self._tuner = tuner
        self._sent: queue.SimpleQueue[_Sent | None] = queue.SimpleQueue()
        self._known: set[int] = set()
        self._thread = threading.Thread(target=self._serve, name="dolambda-tune", daemon=True)
        self._thread.start()

    def send(self, job: SealedJob, on_reply: OnReply) -> None:
        """See `Transport.send`. A job that is sent again already has a reply in flight."""
        if job.number not in self._known:
            self._known.add(job.number)
            self._sent.put((job, on_reply))

    def room(self, most: int) -> int:
        """See `Transport.room`."""
        return min(most, JOBS)

    def withdraw(self, run: str, numbers: Sequence[int]) -> None:
        """See `Transport.withdraw`. Temporary functions leave nothing in the bucket."""

    def in_turn(self, call: Callable[[], None]) -> None:
        """See `Transport.in_turn`: at once."""
        call()

    def after_replies(self, call: Callable[[], None]) -> None:
        """See `Transport.after_replies`: at once."""
        call()

    def close(self) -> None:
        """See `Transport.close`."""
        self._sent.put(None)

    def limits(self, limits: Limits) -> Limits:
        """Return the limits of a sampled run: one task in a job, and nothing is sent twice."""
        return replace(
            limits,
            workers=JOBS,
            window=JOBS,
            batch=1,
            attempts=1,
            retries=Retries(times=0),
            speculate=False,
            budget=None,
            max_wait=_MAX_WAIT_S,
        )

    def hooks(self, hooks: RunHooks) -> RunHooks:
        """Return the hooks of a sampled run."""
        on_end = hooks.on_end

        def end(run: Run) -> None:
            self.close()
            report = run.report()
            # A run smaller than the sample never asks whether to continue.
            if report.tasks and report.done + report.failed == report.tasks:
                self._tuner.finish()
            if on_end:
                on_end(run)

        return replace(hooks, confirm=self._confirm, on_end=end, progress=None)

    def _confirm(self, _estimate: Estimate) -> bool:
        return self._tuner.finish()

    def _serve(self) -> None:
        while (sent := self._sent.get()) is not None:
            job, on_reply = sent
            try:
                answer: bytes | BaseException = self._tuner.answer_first(job)
            except BaseException as error:  # noqa: BLE001 - the receiver must get any error
                answer = error
            on_reply(answer)
        while not self._sent.empty():
            if (sent := self._sent.get()) is not None:
                sent[1](CancelledError())
