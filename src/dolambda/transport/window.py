"""The number of calls of a function that may be in flight, adapted to throttling.

**Input:** throttles and replies. **Output:** a number.

Additive increase, multiplicative decrease (Chiu and Jain, 1989), like TCP: the window is halved
when Lambda throttles, at most once in `PAUSE` seconds, because refusals of one moment count as one.
It is not halved below what Lambda has accepted and is running, nor while there are more replies
than refusals, because then others share the limit. It grows by one for each whole window of
replies. After `CALM` seconds without throttling it grows by one for each reply, like TCP at its
start.

While Lambda scales, by a thousand environments every ten seconds, nearly all calls are refused and
replies are rare. Refused calls are repeated automatically and find the new environments. The window
keeps more from being sent meanwhile. It also grows by itself, by a fifth in a second, as long as
few refused calls wait: otherwise tasks of minutes would keep it small while Lambda has room.
"""

from __future__ import annotations

import threading
import time

PAUSE = 1.0
CALM = 5.0
GROWTH, MOST_A_SECOND = 0.2, 200.0  # twice what Lambda adds in a second
WAITING = 0.1  # share of refused calls from which on it does not grow by itself


class Window:
    """The window. It is unlimited until the first throttle. Thread-safe."""

    def __init__(self) -> None:
        """Start without knowledge of the limit."""
        self._lock = threading.Lock()
        self._size: float | None = None
        self._cut = 0.0
        self._throttled = 0.0
        self._grown = 0.0
        self._refusals = self._answers = 0  # since the last change

    def throttled(self, under_way: int, refused: int) -> None:
        """Record a refused call.

        ``under_way`` calls are in flight, of which ``refused`` wait to be repeated.
        """
        now = time.monotonic()
        with self._lock:
            self._throttled = self._grown = now
            self._refusals += 1
            if now - self._cut >= PAUSE:
                more = self._refusals > self._answers
                self._cut, self._refusals, self._answers = now, 0, 0
                if not more:
                    return
                self._size = max(
                    1.0, under_way - refused, min(self._size or under_way, under_way) / 2
                )

    def answered(self) -> None:
        """Record a reply."""
        if self._size is None:
            self._answers += 1  # need not be exact, so without the lock
            return
        with self._lock:
            self._answers += 1
            self._size += 1.0 if time.monotonic() - self._throttled > CALM else 1 / self._size

    def most(self, wanted: int, refused: int = 0) -> int:
        """Return the number of calls that may be in flight, at most ``wanted``.

        ``refused`` calls wait to be repeated.
        """
        if self._size is None:
            return wanted
        with self._lock:
            now = time.monotonic()
            if self._size < wanted and refused <= WAITING * self._size:
                rate = min(GROWTH * self._size, MOST_A_SECOND)
                self._size += rate * min(now - self._grown, PAUSE)
            self._grown = now
            return max(1, min(wanted, int(self._size)))
