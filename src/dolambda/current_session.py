"""The current session: the one in which Parallel, executors and foreach open their runs.

**Input:** a session that `register` opened. **Output:** that session, or one that is opened on
first use.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from dolambda.aws.account import has_credentials
from dolambda.session import Session
from dolambda.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable


def default_session(settings: Settings | None = None) -> Session:
    """Open the session that runs tasks if nothing was registered.

    It uses the stack that settings and credentials lead to, or else AWS emulated on this machine.
    """
    settings = settings or Settings.resolve()
    named = (
        settings.region
        or settings.profile
        or settings.endpoint_url
        or settings.transport == "in_process"
    )
    if named or has_credentials():
        return Session.open(settings)
    return Session.open_local(settings, fallback=True)


class CurrentSession:
    """Holder of one session, which is forgotten once it is closed. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._session: Session | None = None

    def get(self) -> Session | None:
        """Return the session, or None if none is open."""
        session = self._session
        return None if session is None or session.is_closed else session

    def get_or_open(self, default: Callable[[], Session]) -> Session:
        """Return the session, opened by ``default`` if there is none.

        Raises:
            ConfigurationError: This process is a fork of the one that opened the session. Its
                threads, and those of the libraries it uses, exist only in the parent, and starting
                them again in a fork crashes. Or a task that runs in this process calls this.
        """
        with self._lock:
            session = self.get()
            if session is None:
                session = self._session = default()
            session.refuse_nested()
            return session

    def replace(self, session: Session | None) -> None:
        """Replace the session, and close the previous one."""
        with self._lock:
            previous, self._session = self._session, session
        if previous is not None and previous is not session:
            previous.close()


_CURRENT = CurrentSession()
"""The session that `register` has set: the only state that belongs to the whole process."""


def current(default: Callable[[], Session] = default_session) -> Session:
    """See `CurrentSession.get_or_open`."""
    return _CURRENT.get_or_open(default)


def peek() -> Session | None:
    """See `CurrentSession.get`."""
    return _CURRENT.get()


def is_nested() -> bool:
    """Return whether work must stay here: in a fork of the process that opened the session.

    Also in a task that runs in that process itself.
    """
    session = _CURRENT.get()
    return session is not None and (session.of_another_process or session.runs_caller)


def replace_current(session: Session | None) -> None:
    """See `CurrentSession.replace`."""
    _CURRENT.replace(session)
