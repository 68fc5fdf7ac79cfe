"""A session: an open connection to a stack, in which frontends open runs.

**Input:** settings and credentials. **Output:** a `Session`, which owns the emulator that it has
started.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import secrets
import threading
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Self

from dolambda.aws.account import Account, Credentials, translated
from dolambda.aws.objects import Bucket
from dolambda.environment.own_modules import OwnModules
from dolambda.environment.stack_match import refuse_mismatch, refuse_missing
from dolambda.errors import ConfigurationError, LocalAwsError
from dolambda.interpreter_end import INTERPRETER_END
from dolambda.local.attachment import Attachment
from dolambda.local.instance import Instance, default_workers
from dolambda.local.stack import deploy_into, emulated
from dolambda.local.status import Status
from dolambda.money.accounts import Accounts
from dolambda.named_runs import NamedRun, OpenNamedRuns
from dolambda.options import Env, RunOptions
from dolambda.progress.notices import notice
from dolambda.records.recorder import SessionRecords
from dolambda.scheduler.dropped import DroppedRuns
from dolambda.scheduler.limits import Limits
from dolambda.scheduler.retries import Retries
from dolambda.scheduler.run import Run
from dolambda.session_hooks import SessionHooks
from dolambda.session_report import SessionReport
from dolambda.session_summary import SessionSummary
from dolambda.stack import Stack
from dolambda.transport.clean_up import CleanUp
from dolambda.transport.factory import TransportFactory
from dolambda.transport.in_process import InProcess
from dolambda.tuning.sampler import sampler_of
from dolambda.wire import keys
from dolambda.wire.job import Place
from dolambda.wire.packer import Packer
from dolambda.wire.task import PYTHON, TaskContext

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dolambda.money.bill import Bill
    from dolambda.records.recorder import RunRecorder
    from dolambda.scheduler.report import Report
    from dolambda.scheduler.stored import Stored
    from dolambda.settings import Settings
    from dolambda.transport.base import Transport

log = logging.getLogger("dolambda")

_LOCAL_AHEAD = 2
"""Jobs in flight for each local worker. The emulator queues them in order, unlike Lambda."""


@dataclass(eq=False, repr=False)
class Session:
    """An open connection to a stack, as `register` returns it.

    Close it, use it as a context manager, or leave it open until the program ends.

    Example:
        >>> with dolambda.register(transport="in_process") as session:
        ...     results = list(LambdaExecutor().map(abs, range(-3, 0)))
        >>> results, session.report().done
        ([3, 2, 1], 3)
    """

    settings: Settings
    transport: Transport
    key: bytes
    workers: int
    window: int
    runtime: float
    stack: Stack | None = None
    bucket: Bucket | None = None
    transports: TransportFactory | None = None
    progress: bool | Callable[[Report], None] | None = None
    env: Mapping[str, str] = field(default_factory=Env)
    _client: str = field(default_factory=keys.new_client_id)
    _sequence: itertools.count[int] = field(default_factory=itertools.count)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _clean_up: CleanUp = field(default_factory=CleanUp)
    _gone: LocalAwsError | None = field(default=None)
    _pid: int = field(default_factory=os.getpid)
    _closed: bool = False
    _attachment: Attachment | None = None

    def __post_init__(self) -> None:
        """Set up the session. Nothing is sent."""
        if self.progress is None:
            self.progress = self.settings.progress
        self.dropped = DroppedRuns()
        self._code = OwnModules(self.settings)
        self._accounts = Accounts(self.transport, self.stack, self.settings)
        self._named_runs = OpenNamedRuns(self.bucket, self.key, self.transports)
        self._records = SessionRecords.from_settings(self.settings, self.stack)
        self._hooks = SessionHooks(
            self.settings,
            self._accounts,
            self._named_runs,
            self.bucket,
            self.key,
            self._clean_up,
            quotes=self.stack is not None,
        )
        INTERPRETER_END.add(self)

    @classmethod
    def open(
        cls, settings: Settings, credentials: Credentials | None = None, *, local: bool = False
    ) -> Session:
        """Connect, before any task, to AWS, to AWS emulated on this machine, or to this process."""
        if settings.transport == "in_process":
            key = secrets.token_bytes(32)
            return cls(
                settings, InProcess(key), key, settings.workers or 1, 2, float(settings.timeout)
            )
        if local:
            return cls.open_local(settings)
        account = Account.from_settings(settings, credentials)
        stack = Stack.from_account(account, settings)
        stack.refuse_stopped()
        refuse_mismatch(stack)
        refuse_missing(stack, settings.extra_requires)
        workers = min(settings.workers or stack.workers, stack.workers)
        return cls._from_stack(settings, account, stack, workers, workers)

    @classmethod
    def open_local(
        cls, settings: Settings, *, may_share: bool = True, fallback: bool = False
    ) -> Session:
        """Connect to AWS emulated on this machine.

        Use the shared emulated AWS if it fits and ``may_share`` is True, else one that ends with
        this session. ``fallback`` is True if nobody asked for the emulated AWS.
        """
        shared = Instance.find_shared() if may_share else None
        if shared and shared.misfit:
            notice(
                f"the emulated AWS of `dolambda local start` {shared.misfit}: "
                "this program starts one of its own"
            )
            shared = None
        workers = settings.workers or default_workers()
        if shared:
            workers = min(workers, shared.workers)
        if fallback:
            notice(
                "no AWS credentials found; running on AWS emulated on this machine with "
                f'{workers} workers (dolambda.register("local") chooses it explicitly)'
            )
        instance = shared or Instance.from_start(workers=workers, wait=False)
        try:
            if shared:
                shared.join()
            with Status(shown=settings.progress is not False) as status:
                there, credentials = deploy_into(instance, settings, show=status)
            account = emulated(there, credentials)
            stack = Stack.from_account(account, there)
            # Jobs may wait in the queue only where no other worker can take them.
            window = _LOCAL_AHEAD * workers if workers == instance.workers else workers
            session = cls._from_stack(there, account, stack, workers, window)
            session.attach(instance, owned=shared is None)
        except BaseException:  # Ctrl-C too: the instance ends with the session that started it
            if shared:
                shared.leave()
            else:
                instance.stop()
            raise
        return session

    @classmethod
    def _from_stack(
        cls, settings: Settings, account: Account, stack: Stack, workers: int, window: int
    ) -> Session:
        client = keys.new_client_id()
        with translated():
            bucket = Bucket.from_account(account, stack.bucket, stack.account)
        clean_up = CleanUp()
        transports = TransportFactory(
            account, stack, bucket, client, settings.throttle, clean_up=clean_up
        )
        return cls(
            settings,
            transports.of(settings.transport),
            stack.key,
            workers,
            window,
            float(stack.timeout),
            stack,
            bucket,
            transports=transports,
            _client=client,
            _clean_up=clean_up,
        )

    def open_run(
        self,
        options: RunOptions | None = None,
        *,
        same_buffers: bool = False,
        same_functions: bool = False,
        nesting: int | None = None,
        relay: Callable[[int, str, bool], None] | None = None,
        language: str = "python",
    ) -> Run:
        """Open a run, which ends when it is closed.

        Args:
            options: The user's choices for this run.
            same_buffers: See `Packer`.
            same_functions: See `Packer`.
            nesting: Level of nested joblib calls within its tasks.
            relay: Called with the output of tasks, instead of showing it.
            language: Language of all its tasks.

        Returns:
            The run.
        """
        self._refuse_ended()
        self._code.look_again()
        sampler = sampler_of(self)
        options = replace(options or RunOptions(), **({"run": None} if sampler else {}))
        name, way, named, stored = self._choose_way(options)
        shown, live = self._hooks.output(options, name, relay, may_be_live=not sampler)
        limits = self._limits(options, way, live=live is not None, joblib=nesting is not None)
        recorder = self._records.recorder(name, options.run, limits)
        salt = self._salt if named else None
        packer = Packer(same_buffers=same_buffers, same_functions=same_functions, salt=salt)
        hooks = self._hooks.of_run(options, self.progress, named, shown, live, recorder)
        if sampler:
            way, limits, hooks = sampler, sampler.limits(limits), sampler.hooks(hooks)
        opened = Run(
            name,
            way,
            self.key,
            limits,
            packer=packer,
            context=self._context(options, nesting, language),
            place=self._place(),
            code=self._code if self.stack else lambda: None,
            stored=stored,
            hooks=hooks,
            clean_up=self._clean_up,
        )
        return self._begun(opened, recorder)

    def _begun(self, run: Run, recorder: RunRecorder | None) -> Run:
        """Keep account of a run from now on, and return it."""
        self._accounts.begin(run)
        if recorder:
            recorder.begin(partial(self._accounts.report_of, run))
        if self._gone:  # since it was opened
            run.abandon(self._gone)
        return run

    def _choose_way(
        self, options: RunOptions
    ) -> tuple[str, Transport, NamedRun | None, Stored | None]:
        """Return name and transport of a run, and the results of earlier clients of a named run."""
        transport = options.transport
        way = self.transports.of(transport) if transport and self.transports else self.transport
        if options.run is None:
            return keys.run_name(self._client, next(self._sequence)), way, None, None
        named, stored, way = self._named_runs.take_over(options.run, way)
        return named.run, way, named, stored

    def _refuse_ended(self) -> None:
        """Raise an error if no run can be opened."""
        if self._gone:
            raise self._gone
        if self._closed:
            raise ConfigurationError(
                "this session is closed", hint="Call dolambda.register(...) again."
            )

    def _limits(self, options: RunOptions, way: Transport, *, live: bool, joblib: bool) -> Limits:
        wide = min(options.workers or self.workers, self.workers)
        return Limits(
            workers=wide,
            window=self.window if way.queues and wide == self.workers else wide,
            runtime=self.runtime,
            max_wait=self.settings.max_wait,
            attempts=self.settings.attempts,
            task_timeout=options.task_timeout or self.settings.task_timeout,
            batch=options.batch,
            retries=Retries.of(options.retries),
            room=self.stack.memory << 20 if self.stack else None,
            speculate=self.settings.speculate,
            ahead=self.stack.ahead if self.stack else 0.0,
            live=live,
            whole_batches=joblib,
            budget=options.budget or self.settings.budget,
            rates=self._accounts.rates(self.runtime, queues=way.queues, live=live),
        )

    def _context(self, options: RunOptions, nesting: int | None, language: str) -> TaskContext:
        """Return the context of the tasks. Variables of the run override the session's."""
        variables = Env({**self.env, **(options.env or {})})
        level = logging.root.getEffectiveLevel()
        return TaskContext(nesting, options.threads, level, variables, language)

    def _place(self) -> Place:
        """Return the place where jobs of this session may run."""
        return Place(self.stack.name, self.stack.region) if self.stack else Place()

    def attach(self, instance: Instance, *, owned: bool) -> None:
        """Watch for the end of the emulated AWS from now on.

        An ``owned`` one ends with the session.
        """
        self._attachment = Attachment(instance, owned=owned, gone=self._emulator_gone)

    @property
    def instance(self) -> Instance | None:
        """The emulated AWS of this session. None on AWS itself."""
        return self._attachment.instance if self._attachment else None

    def _emulator_gone(self) -> None:
        """Fail all tasks: the emulated AWS was stopped or killed, so no reply will arrive."""
        self._gone = LocalAwsError(
            "the AWS emulated on this machine has ended: it was stopped or killed",
            hint='Call dolambda.register("local") again, and repeat the run.',
        )
        self._clean_up.abandon()
        for run in self._accounts.open_runs():
            run.abandon(self._gone)

    def _salt(self) -> bytes:
        """Return the data, apart from a task itself, that its outcome depends on."""
        code = self._code()
        parts = (PYTHON, code.digest if code else "", *(self.stack.requires if self.stack else ()))
        return hashlib.sha256("\n".join(parts).encode()).digest()

    def report(self) -> SessionReport:
        """Count what all runs of this session have done so far.

        Returns:
            The counts, including the requests of this client, and advice from the last run.
            ``session.report().save("run.html")`` writes its runs as a page.
        """
        counts = replace(self._accounts.report(), advice=self._records.advice())
        return SessionReport.from_report(counts, self._records.paths())

    def bill(self) -> Bill:
        """Price all runs of this session so far.

        The bill of each run is also logged by the logger "dolambda", as INFO, when the run ends.

        Returns:
            Dollars by list price, split into compute, invocations and requests.
        """
        return self._accounts.bill()

    @property
    def is_closed(self) -> bool:
        """True if it was closed and opens no more runs."""
        return self._closed

    @property
    def of_another_process(self) -> bool:
        """True in a fork of the process that opened it."""
        return self._pid != os.getpid()

    @property
    def runs_caller(self) -> bool:
        """True in a task that runs in the process that opened it."""
        return isinstance(self.transport, InProcess) and self.transport.runs_caller

    def refuse_nested(self) -> None:
        """Raise `ConfigurationError` in a fork of the process that opened it, and in a task."""
        if self.runs_caller:
            raise ConfigurationError(
                "dolambda was used in a task, but workers have no client of dolambda",
                hint="Return the inputs of the next tasks, and submit them where you called "
                "dolambda.",
            )
        if self.of_another_process:
            raise ConfigurationError(
                "this process is a fork of one that uses dolambda, "
                "whose connection does not survive the fork",
                hint='Start processes by "spawn" or "forkserver" '
                "(multiprocessing.set_start_method), or use dolambda in one of them only.",
            )

    def __repr__(self) -> str:
        """Return one line for the REPL."""
        return self._summary().line()

    def _repr_html_(self) -> str:
        """Return a table for a notebook."""
        return self._summary().table(self.report())

    def _summary(self) -> SessionSummary:
        kind = self._attachment.kind if self._attachment else None
        return SessionSummary(self.stack, self.workers, kind, self._closed)

    def __enter__(self) -> Self:
        """Return the session itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the session."""
        self.close()

    def finish(self) -> None:
        """Wait until all runs with remaining tasks have ended."""
        if not self.of_another_process:
            for run in self._accounts.open_runs():
                run.close()

    def abandon(self) -> None:
        """Cancel all running tasks."""
        if not self.of_another_process:
            for run in self._accounts.open_runs():
                run.cancel()

    def close(self) -> None:
        """Cancel running tasks, remove their objects, and end the emulated AWS of this session.

        Closing it again does nothing.
        """
        INTERPRETER_END.discard(self)
        with self._lock:
            closed, self._closed = self._closed, True
        if closed or self.of_another_process:  # threads and emulator belong to the parent
            return
        try:
            self.abandon()
            self.dropped.stop()
            self._named_runs.close()
            (self.transports or self.transport).close()
        finally:  # in spite of network errors, or a second Ctrl-C
            if self._attachment:
                self._attachment.end()
