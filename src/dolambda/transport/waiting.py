"""Who waits for which job's reply.

On entry: each job as it is sent; on leaving: whom to answer, once.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from dolambda.transport.base import OnReply

Place = TypeVar("Place", bound="Hashable")


class Waiting(Generic[Place]):
    """By the place of a job, once for each time that it was sent. For any thread."""

    def __init__(self) -> None:
        """Nothing waits yet."""
        self._lock = threading.Lock()
        self._answered: dict[Place, list[OnReply]] = {}

    def __len__(self) -> int:
        """How many jobs are waited for."""
        return len(self._answered)

    def __contains__(self, place: Place) -> bool:
        """Whether a job is waited for."""
        return place in self._answered

    def places(self) -> set[Place]:
        """The jobs that are waited for."""
        with self._lock:
            return set(self._answered)

    def add(self, place: Place, on_reply: OnReply) -> None:
        """A job is sent."""
        with self._lock:
            self._answered.setdefault(place, []).append(on_reply)

    def take_one(self, place: Place, on_reply: OnReply) -> bool:
        """One sending of a job is answered; tell whether it was waited for."""
        with self._lock:
            there = self._answered.get(place, [])
            if on_reply not in there:
                return False
            there.remove(on_reply)
            if not there:
                del self._answered[place]
            return True

    def take(self, place: Place) -> OnReply | None:
        """A job is on_reply, however often it was sent: what to call, None if it was cancelled."""
        with self._lock:
            there = self._answered.pop(place, None)
        return there[-1] if there else None

    def times(self, place: Place) -> int:
        """Return how many sendings of a job are waited for."""
        return len(self._answered.get(place, ()))

    def forget(self, places: Iterable[Place]) -> set[Place]:
        """Forget cancelled jobs. Return those that were waited for."""
        with self._lock:
            return {place for place in places if self._answered.pop(place, None) is not None}

    def take_all(self) -> list[OnReply]:
        """Return what still waits."""
        with self._lock:
            left, self._answered = self._answered, {}
        return [one[-1] for one in left.values()]
