"""The queue of a run: tasks that wait to be sent.

**Input** and **output:** spans, in order.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dolambda.scheduler.jobs import TaskSpan


class TaskQueue:
    """Spans that wait, and the number of their tasks.

    The first span may have been taken in part: `start` is where the rest of it begins. A job of one
    task then does not make an object for all the others.

    Attributes:
        tasks: Number of tasks that wait.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.tasks = 0
        self._spans: deque[TaskSpan] = deque()
        self._start: int | None = None  # None: the first span is whole

    def __bool__(self) -> bool:
        """Return whether a task waits."""
        return bool(self._spans)

    def __iter__(self) -> Iterator[TaskSpan]:
        """Yield the spans, first to last."""
        self._cut_first()
        return iter(self._spans)

    @property
    def first(self) -> TaskSpan:
        """The first span, with tasks before `start` that do not wait any more."""
        return self._spans[0]

    @property
    def start(self) -> int:
        """Position in its chunk of the first task that waits."""
        return self._spans[0].part.start if self._start is None else self._start

    def append(self, spans: Iterable[TaskSpan]) -> None:
        """Put tasks behind all others."""
        for span in spans:
            self._spans.append(span)
            self.tasks += len(span)

    def put_first(self, spans: Sequence[TaskSpan]) -> None:
        """Put tasks before all others, in the order given."""
        if not spans:
            return
        self._cut_first()
        for span in reversed(spans):
            self._spans.appendleft(span)
            self.tasks += len(span)

    def take(self, count: int) -> None:
        """Remove the first tasks, at most those of the first span."""
        stop = self.start + count
        self.tasks -= count
        if stop < self._spans[0].part.stop:
            self._start = stop
        else:
            self._spans.popleft()
            self._start = None

    def take_unsent(self) -> list[TaskSpan]:
        """Remove and return the tasks that were never sent."""
        self._cut_first()
        unsent = [span for span in self._spans if not span.sent]
        self._spans = deque(span for span in self._spans if span.sent)
        self.tasks -= sum(map(len, unsent))
        return unsent

    def take_all(self) -> list[TaskSpan]:
        """Remove and return all tasks."""
        self._cut_first()
        spans = list(self._spans)
        self._spans.clear()
        self.tasks = 0
        return spans

    def _cut_first(self) -> None:
        if self._start is not None:
            first = self._spans.popleft()
            self._spans.appendleft(first.cut(self._start, first.part.stop))
            self._start = None
