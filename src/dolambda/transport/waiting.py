"""The receivers of replies.

**Input:** each job as it is sent. **Output:** the receiver of its reply, once.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from dolambda.transport.base import OnReply

Place = TypeVar("Place", bound="Hashable")


class Waiting(Generic[Place]):
    """Receivers by the place of a job, once for each time that it was sent. Thread-safe."""

    def __init__(self) -> None:
        """Start without receivers."""
        self._lock = threading.Lock()
        self._answered: dict[Place, list[OnReply]] = {}

    def __len__(self) -> int:
        """Return the number of jobs without a reply."""
        return len(self._answered)

    def __contains__(self, place: Place) -> bool:
        """Return whether a job waits for its reply."""
        return place in self._answered

    def places(self) -> set[Place]:
        """Return the jobs that wait for a reply."""
        with self._lock:
            return set(self._answered)

    def add(self, place: Place, on_reply: OnReply) -> None:
        """Add the receiver of a job that is sent."""
        with self._lock:
            self._answered.setdefault(place, []).append(on_reply)

    def take_one(self, place: Place, on_reply: OnReply) -> bool:
        """Remove the receiver of one attempt. Return whether it was waiting."""
        with self._lock:
            there = self._answered.get(place, [])
            if on_reply not in there:
                return False
            there.remove(on_reply)
            if not there:
                del self._answered[place]
            return True

    def take(self, place: Place) -> OnReply | None:
        """Remove and return the receiver of a job, however often it was sent.

        None if it was cancelled.
        """
        with self._lock:
            there = self._answered.pop(place, None)
        return there[-1] if there else None

    def times(self, place: Place) -> int:
        """Return how many attempts of a job wait for a reply."""
        return len(self._answered.get(place, ()))

    def forget(self, places: Iterable[Place]) -> set[Place]:
        """Forget cancelled jobs. Return those that were waiting."""
        with self._lock:
            return {place for place in places if self._answered.pop(place, None) is not None}

    def take_all(self) -> list[OnReply]:
        """Remove and return all receivers."""
        with self._lock:
            left, self._answered = self._answered, {}
        return [one[-1] for one in left.values()]
