"""One loop of an R session, which has a run of its own.

**Input:** frames with the data that tasks share, and with their arguments. **Output:** tasks of
a `Run`, and their results, which go to R as they arrive.

    PART       bytes that tasks share, numbered from 0
    FUNCTION   the numbers of its parts (int32 each), numbered from 0
    TASKS      function (int32), count (int32), lengths (double each), the arguments of each task
    SKIP       the number of a task (int32): those after it need not run

Tasks are numbered from 1, in the order in which they arrive, as in foreach.
"""

from __future__ import annotations

import math
import struct
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from dolambda.errors import ConfigurationError
from dolambda.options import RunOptions
from dolambda.r.frames import Kind
from dolambda.r.function import Part, RFunction
from dolambda.r.registering import report_facts
from dolambda.r.sending import VALUE, error_result

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dolambda.r.sending import Result, Sender
    from dolambda.scheduler.report import Report
    from dolambda.session import Session

_PROGRESS_S = 0.1
_INT = struct.Struct(">i")


@dataclass(frozen=True)
class LoopOptions:
    """Options of one loop: the place of its R, and the options of its run."""

    session: str
    home: str
    run: RunOptions
    progress: bool = False

    @classmethod
    def from_fields(cls, fields: Mapping[str, str]) -> Self:
        """Convert the fields that R sent.

        Raises:
            ConfigurationError: A field is unknown or wrong.
        """
        given = dict(fields)
        session, home = given.pop("session", ""), given.pop("home", "")
        progress = given.pop("progress", "") == "TRUE"
        unknown = sorted(given.keys() - _KINDS.keys())
        if unknown:
            known = ", ".join((*_KINDS, "max_size", "progress"))
            raise ConfigurationError(
                f"unknown option of a loop: {', '.join(unknown)}", hint=f"Known names: {known}."
            )
        values = {name: _converted(name, text) for name, text in given.items()}
        return cls(session, home, RunOptions(**values), progress)

    @classmethod
    def from_registration(cls, fields: dict[str, str]) -> Self:
        """Take the options of all loops out of the fields of a REGISTER frame, and convert them.

        Raises:
            ConfigurationError: A field is wrong.
        """
        names = [name for name in fields if name.startswith(_OF_LOOPS)]
        return cls.from_fields({name.removeprefix(_OF_LOOPS): fields.pop(name) for name in names})


_OF_LOOPS = "loop."
_KINDS: dict[str, type[int | float | str]] = {
    "workers": int,
    "batch": int,
    "retries": int,
    "task_timeout": float,
    "budget": float,
    "transport": str,
    "logs": str,
    "run": str,
}


def _converted(name: str, text: str) -> Any:
    kind = _KINDS[name]
    try:
        return kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise ConfigurationError(f"{name} must be {what}, got {text!r}") from None


class _Receiver:
    """Receiver of the outcomes of a chunk, see `Receiver`. ``first`` is its first task's number."""

    calls_users = True  # R may be slow to read
    __slots__ = ("_first", "_loop")

    def __init__(self, loop: Loop, first: int) -> None:
        self._loop = loop
        self._first = first

    def claim(self, start: int, stop: int) -> list[tuple[int, int]]:
        stop = int(min(stop, self._loop.last - self._first + 1))
        return [(start, stop)] if start < stop else []

    def withdraw(self, start: int, stop: int) -> None:
        """Do nothing: R has cancelled the loop, and waits for no result."""

    def deliver(self, start: int, values: Sequence[bytes | bytearray]) -> None:
        first = self._first + start
        self._loop.take([(first + k, VALUE, value) for k, value in enumerate(values)])

    def fail(self, start: int, stop: int, error: BaseException) -> None:
        tasks = range(self._first + start, self._first + stop)
        self._loop.take([error_result(task, error) for task in tasks])


class Loop:
    """A run that an R session opened."""

    def __init__(self, number: int, session: Session, options: LoopOptions, sender: Sender) -> None:
        """Open the run.

        Raises:
            ConfigurationError: An option is wrong.
        """
        self.number = number
        self._options = options
        self._sender = sender
        self._session = session
        self._parts: list[Part] = []
        self._functions: list[RFunction] = []
        self._tasks = 0
        self.last: float = math.inf  # the number of the last task that must run
        self._shown = 0.0
        progress = self._show_progress if options.progress else False
        self._run = session.open_run(
            replace(options.run, progress=progress),
            same_functions=True,
            relay=self._relay,
            language=RFunction.dolambda_language,
        )

    def add_part(self, data: bytearray) -> None:
        """Keep bytes that tasks share."""
        self._parts.append(Part.from_bytes(data))

    def add_function(self, data: bytearray) -> None:
        """Create a function from parts."""
        numbers = struct.unpack(f">{len(data) // 4}i", data)
        parts = [self._parts[number] for number in numbers]
        # The content identifies the tasks of a named run, so another session must be able to repeat
        # it.
        run = self._options.run.run
        session = f"run {run}" if run else self._options.session
        self._functions.append(RFunction(session, self._options.home, parts))

    def submit(self, data: bytearray) -> None:
        """Submit tasks. Their results go to R as they arrive."""
        function, count = struct.unpack_from(">ii", data)
        lengths = struct.unpack_from(f">{count}d", data, 8)
        at = 8 + 8 * count
        calls: list[tuple[bytes]] = []
        with memoryview(data) as view:
            for length in map(int, lengths):
                calls.append((bytes(view[at : at + length]),))
                at += length
        self._run.submit_stream(self._functions[function], calls, self._receiver)

    def _receiver(self, count: int) -> _Receiver:
        """Return the receiver of the outcomes of the next ``count`` tasks."""
        first = self._tasks + 1
        self._tasks += count
        return _Receiver(self, first)

    def take(self, results: list[Result]) -> None:
        """Send results to R. The last progress is sent before: R reads none after its results."""
        if self._options.progress:
            self._show_progress(self._run.report())
        self._sender.results(self.number, results)

    def skip_after(self, data: bytearray) -> None:
        """Skip the unsent tasks after this one."""
        self.last = _INT.unpack(data)[0]

    def cancel(self) -> None:
        """Drop waiting tasks and withdraw jobs in flight."""
        self._run.cancel(warn=False)  # R shows an error or an interrupt itself

    def close(self) -> None:
        """End the run when all its tasks are done."""
        self._run.close()

    # The signature is that of a relay.
    def _relay(self, index: int, output: str, failed: bool) -> None:  # noqa: FBT001
        self._sender.texts(
            Kind.OUTPUT, self.number, (str(index + 1), "1" if failed else "0", output)
        )

    def _show_progress(self, report: Report) -> None:
        now = time.monotonic()
        all_done = report.over or report.done + report.failed == report.tasks
        if all_done or now - self._shown > _PROGRESS_S:
            self._shown = now
            self._sender.fields(Kind.PROGRESS, self.number, report_facts(report))
