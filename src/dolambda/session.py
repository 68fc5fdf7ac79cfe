"""What stands between a face and the workers: a stack, a transport to it, and the runs in progress.

On entry: settings and credentials. On leaving: a `Session` from which `Parallel`, executors and foreach open runs; one is
current, made on first use if `register` was not called. A session that emulates AWS here owns the emulator and ends it.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import itertools
import logging
import os
import secrets
import shlex
import sys
import threading
import weakref
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

from dolambda.aws.account import Account, Credentials, has_credentials, translated
from dolambda.aws.objects import Bucket
from dolambda.environment.own_modules import OwnModules
from dolambda.environment.requirements import differing, not_among
from dolambda.environment.worker_zip import worker_code
from dolambda.errors import ConfigurationError, LocalAwsError
from dolambda.local.instance import Instance, default_workers
from dolambda.local.stack import deploy_into, emulated
from dolambda.local.status import Status
from dolambda.local.watch import Watch
from dolambda.money.bill import Bill
from dolambda.money.prices import PRICES
from dolambda.money.quote import verdict
from dolambda.named_runs import NamedRun, Recorder
from dolambda.options import Env, checked
from dolambda.progress import display
from dolambda.scheduler import relay
from dolambda.scheduler.ledger import Rates
from dolambda.scheduler.limits import Limits
from dolambda.scheduler.report import Report
from dolambda.scheduler.retries import Retries
from dolambda.scheduler.run import Run
from dolambda.settings import Settings
from dolambda.stack import Stack
from dolambda.transport.clean_up import CleanUp
from dolambda.transport.factory import TransportFactory
from dolambda.transport.in_process import InProcess
from dolambda.version import VERSION
from dolambda.wire import keys
from dolambda.wire.job import Place
from dolambda.wire.task import PYTHON, TaskContext

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dolambda.scheduler.stored import Stored
    from dolambda.transport.base import Transport

log = logging.getLogger("dolambda")

_open: weakref.WeakSet[Session] = weakref.WeakSet()
"""All sessions: what was opened and not closed is closed when the interpreter ends."""

_RELAYS = {"relay": relay.to_stdout, "errors": relay.failed_to_stdout, False: None}
_LOCAL_AHEAD = (
    2  # jobs in flight for each local worker: the emulator queues them in order, as Lambda need not
)


@dataclass(eq=False)
class Session:
    """An open connection to a stack, as `register` returns it.

    Close it, use it as a context manager, or leave that to the end of the program.
    """

    settings: Settings
    transport: Transport
    key: bytes = field(repr=False)
    workers: int
    window: int
    runtime: float
    stack: Stack | None = None
    bucket: Bucket | None = None
    instance: Instance | None = None
    owns_instance: bool = False
    transports: TransportFactory | None = None
    progress: bool | Callable[[Report], None] | None = None
    env: Mapping[str, str] = field(default_factory=Env)
    _client: str = field(default_factory=keys.new_client_id)
    _sequence: itertools.count[int] = field(default_factory=itertools.count, repr=False)
    _runs: weakref.WeakSet[Run] = field(default_factory=weakref.WeakSet, repr=False)
    _before: dict[str, Counter[str]] = field(default_factory=dict, repr=False)
    _kept: dict[str, Transport] = field(default_factory=dict, repr=False)
    _finished: Report = field(default_factory=Report, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _clean_up: CleanUp = field(default_factory=CleanUp, repr=False)
    _watch: Watch | None = field(default=None, repr=False)
    _gone: LocalAwsError | None = field(default=None, repr=False)
    _pid: int = field(default_factory=os.getpid, repr=False)

    def __post_init__(self) -> None:
        """Nothing is sent."""
        self._code = OwnModules(self.settings)
        _open.add(self)

    @classmethod
    def open(
        cls, settings: Settings, credentials: Credentials | None = None, *, local: bool = False
    ) -> Session:
        """Connect: to AWS, to AWS emulated here, or to nothing but this process. Raises what is wrong, before any task."""
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
        """Connect to AWS emulated on this machine: the shared one, if it fits, else one that ends with this session.

        ``fallback`` says that nobody asked for it.
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
                f'{workers} workers (dolambda.register("local") says you mean it)'
            )
        instance = shared or Instance.from_start(workers=workers, wait=False)
        try:
            if shared:
                shared.join()
            with Status(shown=settings.progress is not False) as status:
                there, credentials = deploy_into(instance, settings, show=status)
            account = emulated(there, credentials)
            stack = Stack.from_account(account, there)
            session = cls._from_stack(there, account, stack, workers, _LOCAL_AHEAD * workers)
            session.instance, session.owns_instance = instance, shared is None
            session.watch()
        except BaseException:  # Ctrl-C too: what was started here ends here
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
            bucket = Bucket.from_account(account, stack.bucket)
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
        *,
        workers: int | None = None,
        same_buffers: bool = False,
        same_functions: bool = False,
        batch: int | None = None,
        task_timeout: float | None = None,
        retries: int | Retries | None = None,
        progress: bool | Callable[[Report], None] | None = None,
        transport: str | None = None,
        nesting: int | None = None,
        threads: int | None = None,
        budget: float | None = None,
        run: str | None = None,
        env: Mapping[str, str] | None = None,
        relay: Callable[[int, str, bool], None] | None = None,
        language: str = "python",
    ) -> Run:
        """Open a run of at most that many workers at a time; see `Limits`, `Run` and `TaskContext`.

        ``progress``, ``transport`` and ``budget`` are for this run what they are in `register` for all. ``run`` names it: begun again
        under that name, with the same code and inputs, it sends only what has no reply yet (see `named_runs`). ``relay`` is called
        with what tasks print, instead of showing it. ``language`` is that of all its tasks. ``env`` are environment variables of
        its tasks, added to the session's.
        """
        checked(
            {"workers": workers, "batch": batch, "task_timeout": task_timeout, "threads": threads}
            | {"budget": budget, "transport": transport, "run": run}
        )
        variables = Env({**self.env, **(env or {})})
        if self._gone:
            raise self._gone
        self._code.look_again()
        way = self.transports.of(transport) if transport and self.transports else self.transport
        named, stored = self._named(run, way) if run is not None else (None, None)
        if named and self.transports:
            way = self._kept[named.run] = self.transports.keeping(named.client)
        wide = min(workers or self.workers, self.workers)
        limits = Limits(
            workers=wide,
            window=max(1, self.window * wide // self.workers) if way.queues else wide,
            runtime=self.runtime,
            max_wait=self.settings.max_wait,
            attempts=self.settings.attempts,
            task_timeout=task_timeout or self.settings.task_timeout,
            batch=batch,
            retries=Retries.of(retries),
            room=self.stack.memory << 20 if self.stack else None,
            speculate=self.settings.speculate,
            budget=budget or self.settings.budget,
            rates=self._rates(way),
        )
        opened = Run(
            named.run if named else keys.run_name(self._client, next(self._sequence)),
            way,
            self.key,
            limits,
            same_buffers=same_buffers,
            same_functions=same_functions,
            context=TaskContext(
                nesting, threads, logging.root.getEffectiveLevel(), variables, language
            ),
            place=self._place(),
            code=self._code if self.stack else lambda: None,
            relay=relay or _RELAYS[self.settings.logs],
            progress=self._shown(self.progress if progress is None else progress, named),
            stored=stored,
            salt=self._salt if named else None,
            confirm=verdict if self.settings.quote and self.stack else None,
            on_end=self._record,
            clean_up=self._clean_up,
        )
        with self._lock:
            self._runs.add(opened)
            self._before[opened.name] = Counter(self.transport.calls.totals())
        if self._gone:  # meanwhile
            opened.abandon(self._gone)
        return opened

    def _place(self) -> Place:
        """Where jobs of this session may run."""
        return Place(self.stack.name, self.settings.region or "") if self.stack else Place()

    def watch(self) -> None:
        """Notice when the emulated AWS ends, from here on."""
        self._watch = Watch(self._emulator_runs, self._emulator_gone)

    def _emulator_runs(self) -> bool:
        return self.instance is None or self.instance.running

    def _emulator_gone(self) -> None:
        """Fail all that runs: the emulated AWS was stopped or killed, so no answer will come."""
        self._gone = LocalAwsError(
            "the AWS emulated on this machine has ended: it was stopped or killed",
            hint='Call dolambda.register("local") again, and run it again.',
        )
        self._clean_up.ended(done=False)
        for run in list(self._runs):
            run.abandon(self._gone)

    def _named(self, name: str, way: Transport) -> tuple[NamedRun, Stored]:
        """Take over the run of that name. Raises `ConfigurationError` where there is nothing to keep replies in."""
        if self.bucket is None or not way.queues:
            raise ConfigurationError(
                f"run={name!r} was given with a transport that keeps no replies",
                hint='Named runs go through the bucket: transport="queue".',
            )
        named = NamedRun(name, self.bucket, self.key)
        if named.run in self._kept:
            raise ConfigurationError(
                f"run={name!r} is under way in this session already",
                hint="Give another name, or wait for its end.",
            )
        stored = named.begin()
        if len(stored):
            log.info("run %s: %s tasks have been done before", name, len(stored))
        return named, stored

    def _salt(self) -> bytes:
        """What the outcome of any task depends on besides itself."""
        code = self._code()
        parts = (PYTHON, code.digest if code else "", *(self.stack.requires if self.stack else ()))
        return hashlib.sha256("\n".join(parts).encode()).digest()

    def _shown(
        self,
        progress: bool | Callable[[Report], None] | None,  # noqa: FBT001 - the setting
        named: NamedRun | None,
    ) -> Callable[[Report], None] | None:
        """What a run calls with its reports: the display, with the cost so far."""
        show = progress if callable(progress) else display(progress)
        if named:
            show = Recorder(named, show)
        if show is None:
            return None
        before = Counter(self.transport.calls.totals())

        def call(report: Report) -> None:
            ours = Counter(self.transport.calls.totals()) - before
            cost = self._cost(replace(report, calls=ours + Counter(report.calls)))
            show(replace(report, cost=cost))

        return call

    def _cost(self, report: Report) -> float:
        """Dollars by list price, of a report that has the requests of both sides; 0 where there is no stack."""
        if self.stack is None:
            return 0.0
        return Bill.from_report(
            report, memory=self.stack.memory, architecture=self.stack.architecture
        ).total

    def _rates(self, way: Transport) -> Rates:
        if self.stack is None:
            return Rates(0.0, 0.0)
        prices = PRICES[self.stack.architecture]
        return Rates(
            second=prices.gb_second * self.stack.memory / 1024,
            invocation=prices.invocation,
            requests=prices.s3,
            runtime=self.runtime,
            max_wait=self.settings.max_wait,
            pause=self.settings.throttle,
            queues=way.queues,
        )

    def bill(self) -> Bill:
        """Price all runs of this session so far.

        The bill of each run is also logged by the logger "dolambda", as INFO, when the run ends.

        Returns:
            Dollars by list price, split into compute, invocations and requests.
        """
        return self._bill(self._all_runs(), Counter())

    def _all_runs(self) -> Report:
        with self._lock:
            return sum((run.report() for run in list(self._runs)), self._finished)

    def _bill(self, report: Report, before: Counter[str]) -> Bill:
        """Price a report, and the requests of this side that were not made ``before``."""
        if self.stack is None:
            return Bill(0.0, 0.0, 0.0, 0.0)
        ours = Counter(self.transport.calls.totals()) - before
        return Bill.from_report(
            report + Report(calls=ours),
            memory=self.stack.memory,
            architecture=self.stack.architecture,
        )

    def _record(self, run: Run) -> None:
        """Keep the counts of a run that has ended, and free its name."""
        with self._lock:
            report = run.report()
            self._runs.discard(run)
            self._finished += report
            before = self._before.pop(run.name, Counter())
        if self.stack and report.jobs:
            log.info("run %s: %s", run.name, self._bill(report, before))
        if kept := self._kept.pop(run.name, None):
            kept.close()

    def report(self) -> Report:
        """Count what all runs of this session have done so far.

        Returns:
            The counts, including the requests of this client.
        """
        calls = self.transport.calls
        total = self._all_runs() + Report(
            calls=calls.totals(), sent=calls.sent, received=calls.received
        )
        return replace(total, cost=self._cost(total))

    @property
    def of_another_process(self) -> bool:
        """Whether this is a fork of the process that opened it."""
        return self._pid != os.getpid()

    def refuse_fork(self) -> None:
        """Raise `ConfigurationError` in a fork of the process that opened it."""
        if self.of_another_process:
            raise ConfigurationError(
                "this process is a fork of one that uses dolambda, whose connection does not survive the fork",
                hint='Start processes by "spawn" or "forkserver" (multiprocessing.set_start_method), or use dolambda in one of them only.',
            )

    def __enter__(self) -> Self:
        """Use it in a with statement."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        forget(self)

    def finish(self) -> None:
        """Let runs that still have tasks come to their end."""
        if self.of_another_process:
            return
        for run in list(self._runs):
            run.close()

    def abandon(self) -> None:
        """Cancel what still runs."""
        if self.of_another_process:
            return
        for run in list(self._runs):
            run.cancel()

    def close(self) -> None:
        """Cancel running tasks, remove their objects, and end the emulated AWS that this session started."""
        _open.discard(self)
        if self.of_another_process:  # threads and emulator are the parent's
            return
        try:
            for run in list(self._runs):
                run.cancel()
            for kept in list(self._kept.values()):
                kept.close()
            self._kept.clear()
            (self.transports or self.transport).close()
        finally:  # whatever is left on the network, or a second Ctrl-C
            self._end_emulator()

    def _end_emulator(self) -> None:
        if self._watch:
            self._watch.stop()
        if self.instance and self.owns_instance:
            self.instance.stop()
        elif self.instance:
            self.instance.leave()
        self.instance = None


def mismatches(stack: Stack) -> list[str]:
    """In what the stack differs from what is here, told as sentences; Python's version `Stack` has compared already."""
    told = differing(stack.requires)
    if stack.code != worker_code():
        told.append(
            f"its worker code is of another dolambda (or cloudpickle) than {VERSION}, which is here"
        )
    return told


def refuse_mismatch(stack: Stack) -> None:
    """Raise `ConfigurationError` for a stack that differs from what is here, before the first task."""
    told = mismatches(stack)
    if told:
        raise ConfigurationError(
            f"the stack {stack.name!r} differs from this environment: {'; '.join(told)}",
            hint="Run `dolambda deploy` from this environment, or install here what is there.",
        )


def refuse_missing(stack: Stack, extra_requires: tuple[str, ...]) -> None:
    """Raise `ConfigurationError` for packages that the stack was deployed without: only deploying installs them."""
    missing = not_among(extra_requires, stack.requires) if stack.requires else []
    if missing:
        options = " ".join(f"--extra-requires {shlex.quote(name)}" for name in missing)
        raise ConfigurationError(
            f"the stack {stack.name!r} was deployed without extra_requires={missing}",
            hint=f"Only deploying installs packages: `dolambda deploy {options}`.",
        )


def default_session(settings: Settings | None = None) -> Session:
    """What runs tasks when nothing was registered: the stack that settings and credentials lead to, else AWS emulated here."""
    settings = settings or Settings.resolve()
    named = (
        settings.region
        or settings.profile
        or settings.endpoint_url
        or settings.transport == "in_process"
    )
    if named or has_credentials():
        return Session.open(settings)
    return Session.open_local(settings, fallback=True)


def notice(text: str) -> None:
    """Print a line that the user has to see, even one who shows no log."""
    if sys.stderr is not None:  # as in a service
        with contextlib.suppress(OSError, ValueError):
            print(f"dolambda: {text}", file=sys.stderr, flush=True)  # noqa: T201 - it is for the user


interpreter_ends = False
"""Whether threads can no longer be started: nothing is submitted from then on."""

_lock = threading.RLock()
_current: Session | None = None


def current(default: Callable[[], Session]) -> Session:
    """The session in use, opened by ``default`` if there is none.

    Raises `ConfigurationError` in a fork of the process that opened it: its threads, and those of the libraries below, have
    stayed behind, and starting them anew in a fork crashes.
    """
    with _lock:
        session = _current
        if session is None:
            session = default()
            replace_current(session)
        else:
            session.refuse_fork()
        return session


def forked() -> bool:
    """Whether this process is a fork of the one that opened the session in use."""
    return _current is not None and _current.of_another_process


def replace_current(session: Session | None) -> None:
    """Make a session the one in use, closing the one before."""
    global _current
    with _lock:
        before, _current = _current, session
    if before is not None:
        before.close()


def forget(session: Session) -> None:
    """Close a session, which may be the one in use."""
    if peek() is session:
        replace_current(None)
    else:
        session.close()


def peek() -> Session | None:
    """The session in use, None if there is none yet."""
    return _current


def _finish() -> None:
    """Let what was submitted come to its end, unless the program ended by an exception, Ctrl-C among them: then cancel it."""
    global interpreter_ends  # noqa: PLW0603 - there is one interpreter
    interpreter_ends = True
    failed = getattr(sys, "last_value", None) is not None and not hasattr(sys, "ps1")
    for session in list(_open):
        session.abandon() if failed else session.finish()


def _end() -> None:
    replace_current(None)
    for session in list(_open):
        session.close()


# As concurrent.futures does: what was submitted is finished before threads can no longer be started, and only then all ends.
threading._register_atexit(_finish)  # type: ignore[attr-defined]  # noqa: SLF001 - no public name; loky uses it too
atexit.register(_end)
