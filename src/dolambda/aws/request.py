"""A request to AWS and its answer, as the reactor takes and brings them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.errors import AwsError


@dataclass(slots=True)
class Answer:
    """What came back.

    Without a connection ``status`` is 0, ``error`` says why, and ``sent`` whether AWS may have got
    the request.
    """

    status: int
    body: bytes = field(default=b"", repr=False)
    head: bytes = field(default=b"", repr=False)
    error: str = ""
    sent: bool = True

    def header(self, name: str) -> str:
        """A header's value, "" if it is not there; ``name`` in small letters."""
        for line in self.head.split(b"\r\n"):
            found, _, value = line.partition(b":")
            if found.lower() == name.encode():
                return value.strip().decode("latin-1")
        return ""


@dataclass(slots=True, eq=False, weakref_slot=True)
class Request:
    """What is to be asked.

    ``answered`` is called in the thread that leads, once for each time that the request was sent.

    ``service`` is AWS's name for it, to be signed with. ``until`` is when it is no longer repeated,
    on the monotonic clock; ``done`` is who waits for what ``answered`` makes of it. Once
    ``dropped``, it is not sent any more.
    """

    service: str
    verb: str
    url: str
    headers: tuple[str, ...]
    payload: bytes = field(repr=False)
    answered: Callable[[Request, Answer | AwsError], None]
    done: Callable[[Any], None]
    until: float
    tries: int = 0
    dropped: bool = False

    @property
    def once(self) -> bool:
        """Whether libcurl must not send it again by itself, as its effect may be there twice.

        It does so when a connection that was used before ends without an answer, unless the
        payload comes from a function that cannot go back.
        """
        return self.verb == "POST"
