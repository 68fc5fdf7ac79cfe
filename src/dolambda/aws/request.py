"""A request to AWS and its reply, in the form that the reactor uses."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.errors import AwsError


@dataclass(slots=True)
class Answer:
    """The reply to a request.

    Without a connection ``status`` is 0, ``error`` is the reason, and ``sent`` is True if AWS may
    have received the request.
    """

    status: int
    body: bytes = field(default=b"", repr=False)
    head: bytes = field(default=b"", repr=False)
    error: str = ""
    sent: bool = True

    def header(self, name: str) -> str:
        """Return a header's value, or "" if it is missing. ``name`` is in lower-case letters."""
        for line in self.head.split(b"\r\n"):
            found, _, value = line.partition(b":")
            if found.lower() == name.encode():
                return value.strip().decode("latin-1")
        return ""


@dataclass(slots=True, eq=False, weakref_slot=True)
class Request:
    """A request to AWS.

    Attributes:
        service: AWS's name of the service, for the signature.
        answered: Called in the leading thread, once for each time that the request was sent.
        begun: When it was made, on the monotonic clock.
        until: When it is no longer repeated, on the monotonic clock.
        done: The receiver of the result that ``answered`` makes.
        dropped: True if it must not be sent any more.
    """

    service: str
    verb: str
    url: str
    headers: tuple[str, ...]
    payload: bytes = field(repr=False)
    answered: Callable[[Request, Answer | AwsError], None]
    done: Callable[[Any], None]
    until: float
    begun: float = field(default_factory=time.monotonic)
    tries: int = 0
    dropped: bool = False

    @property
    def once(self) -> bool:
        """True if libcurl must not repeat the request, because its effect may then occur twice."""
        return self.verb == "POST"
