"""The queue of a run: tasks that wait to be sent.

**Input** and **output:** spans, in order.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dolambda.scheduler.jobs import TaskSpan


class TaskQueue:
    """Spans that wait, and the number of their tasks.

    Attributes:
        tasks: Number of tasks that wait.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.tasks = 0
        self._spans: deque[TaskSpan] = deque()

    def __bool__(self) -> bool:
        """Return whether a task waits."""
        return bool(self._spans)

    def __iter__(self) -> Iterator[TaskSpan]:
        """Yield the spans, first to last."""
        return iter(self._spans)

    @property
    def head(self) -> TaskSpan:
        """The next span."""
        return self._spans[0]

    def append(self, spans: Iterable[TaskSpan]) -> None:
        """Put tasks behind all others."""
        for span in spans:
            self._spans.append(span)
            self.tasks += len(span)

    def put_first(self, spans: Iterable[TaskSpan]) -> None:
        """Put tasks before all others, in the order given."""
        for span in reversed(tuple(spans)):
            self._spans.appendleft(span)
            self.tasks += len(span)

    def take(self) -> TaskSpan:
        """Remove and return the next span."""
        span = self._spans.popleft()
        self.tasks -= len(span)
        return span

    def take_unsent(self) -> list[TaskSpan]:
        """Remove and return the tasks that were never sent."""
        unsent = [span for span in self._spans if not span.sent]
        self._spans = deque(span for span in self._spans if span.sent)
        self.tasks -= sum(map(len, unsent))
        return unsent

    def take_all(self) -> list[TaskSpan]:
        """Remove and return all tasks."""
        spans = list(self._spans)
        self._spans.clear()
        self.tasks = 0
        return spans
