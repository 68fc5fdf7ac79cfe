"""The queue of a run, whose first span may have been taken in part."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from dolambda.scheduler.jobs import TaskSpan
from dolambda.scheduler.results import FutureReceiver
from dolambda.scheduler.waiting import TaskQueue
from dolambda.wire.chunk import OFFSET, Chunk, ChunkPart

if TYPE_CHECKING:
    from collections.abc import Iterable


def span(first: int, count: int, *, sent: bool = False) -> TaskSpan:
    chunk = Chunk(first, "f", keywords=False, ends=array(OFFSET, range(count)), payload=b"")
    return TaskSpan(ChunkPart(chunk, 0, count), FutureReceiver([]), sent)


def indexes(spans: Iterable[TaskSpan]) -> list[list[int]]:
    return [list(range(one.part.first, one.part.first + len(one))) for one in spans]


def test_what_was_taken_of_the_first_span_does_not_wait() -> None:
    queue = TaskQueue()
    queue.append([span(0, 5), span(5, 2)])
    queue.take(2)
    assert (queue.start, queue.tasks) == (2, 5)
    assert indexes(queue) == [[2, 3, 4], [5, 6]]
    queue.take(3)
    assert (queue.start, queue.tasks) == (0, 2)
    assert indexes([queue.first]) == [[5, 6]]
    queue.take(2)
    assert (bool(queue), queue.tasks) == (False, 0)


def test_tasks_that_come_back_precede_the_rest_of_a_span() -> None:
    queue = TaskQueue()
    queue.append([span(0, 4)])
    queue.take(1)
    queue.put_first([span(10, 1, sent=True), span(20, 1, sent=True)])
    assert (queue.start, queue.tasks) == (0, 5)
    queue.take(1)
    assert indexes(queue) == [[20], [1, 2, 3]]
    queue.take(1)
    queue.take(1)
    assert indexes(queue.take_unsent()) == [[2, 3]]
    assert (bool(queue), queue.tasks) == (False, 0)


def test_all_tasks_are_taken_but_those_that_are_gone() -> None:
    queue = TaskQueue()
    queue.append([span(0, 4), span(4, 1, sent=True)])
    queue.take(3)
    assert indexes(queue.take_all()) == [[3], [4]]
    assert (bool(queue), queue.tasks) == (False, 0)
    queue.append([span(7, 2)])
    assert (queue.start, indexes(queue)) == (0, [[7, 8]])
