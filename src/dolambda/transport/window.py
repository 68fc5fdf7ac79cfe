"""How many calls of a function may be under way, learnt from being throttled.

On entry: throttles and answers; on leaving: a number.

Additive increase, multiplicative decrease (Chiu and Jain, 1989), as TCP has it: halved when Lambda
throttles, at most once in `PAUSE` seconds, as the refusals of one moment are one; but not below
what Lambda has accepted and is running, and not while more is answered than refused, as then the
limit is not ours alone. One more for each time that a whole window has been answered; once nothing
was throttled for `CALM` seconds, one more for each answer, as TCP starts.

While Lambda scales, by a thousand environments every ten seconds, nearly all is refused and answers
are rare. What was refused is repeated by itself and finds the new environments; the window keeps
more from being sent meanwhile.
"""

from __future__ import annotations

import threading
import time

PAUSE = 1.0
CALM = 5.0


class Window:
    """Unlimited until the first throttle. For any thread."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._lock = threading.Lock()
        self._size: float | None = None
        self._cut = 0.0
        self._throttled = 0.0
        self._refusals = self._answers = 0  # since it was last thought of

    def throttled(self, under_way: int, refused: int) -> None:
        """Lambda refused a call while so many were under way, ``refused`` of which wait to be repeated."""
        now = time.monotonic()
        with self._lock:
            self._throttled = now
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
        """A call was answered."""
        if self._size is None:
            self._answers += 1  # not to be exact about, so without the lock
            return
        with self._lock:
            self._answers += 1
            self._size += 1.0 if time.monotonic() - self._throttled > CALM else 1 / self._size

    def most(self, wanted: int) -> int:
        """How many there may be, of so many wanted."""
        size = self._size
        return wanted if size is None else max(1, min(wanted, int(size)))
