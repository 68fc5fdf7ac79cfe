"""The bridge: a client of dolambda that an R session starts and uses over a socket.

**Input:** frames of the R session. **Output:** results, output and progress, as frames.

    R                              bridge                             dolambda
      REGISTER      ------------>    registration.register()  ------>   a Session
                    <-- READY --
      LOOP, PART, FUNCTION, TASKS ->  loop.py  ------ open_run() --->   a Run of its own
                    <-- RESULTS, OUTPUT, PROGRESS ---

It has a session (setsid) of its own, so that Ctrl-C reaches only R, which then asks to cancel. It
ends with the socket when R ends in any way.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import shutil
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from dolambda.errors import DolambdaError
from dolambda.r.error_texts import error_texts
from dolambda.r.frames import Channel, Kind
from dolambda.r.loop import Loop, LoopOptions
from dolambda.r.notices import hand_on_notices
from dolambda.r.registering import ready_facts, register_for_r, report_facts
from dolambda.r.rendezvous import meet
from dolambda.r.sending import Sender

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.r.frames import Frame
    from dolambda.session import Session

log = logging.getLogger("dolambda")

_COUNT_WITHIN_S = 10.0


def main(arguments: list[str]) -> int:
    """Serve the R session that created the directory named by the first argument."""
    with contextlib.suppress(PermissionError):  # it already leads a session
        os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
    directory = Path(arguments[0])
    try:
        channel = Channel(meet(directory))
        try:
            Bridge(channel, directory).serve()
        finally:
            channel.close()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


class Bridge:
    """Server of one R session."""

    def __init__(self, channel: Channel, directory: Path) -> None:
        """Create a server. ``channel`` leads to R, which has made ``directory``."""
        self._directory = directory
        self._channel = channel
        self._sender = Sender(channel)
        self._session: Session | None = None
        self._loops: dict[int, Loop] = {}
        self._closers: list[threading.Thread] = []
        self._frames: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self._handlers: dict[int, Callable[[Frame], None]] = {
            Kind.REGISTER: self._register,
            Kind.LOOP: self._open,
            Kind.REPORT: self._report,
            Kind.CLOSE: self._end,
            Kind.CANCEL: self._cancel,
        }

    def serve(self) -> None:
        """Serve until R closes the socket or ends. Then cancel what still runs."""
        reader = threading.Thread(target=self._read, name="dolambda-r-reader", daemon=True)
        reader.start()
        self._sender.start()
        hand_on_notices(self._sender.notice)
        try:
            while (frame := self._frames.get()) is not None:
                self._serve_one(frame)
        finally:
            self._sender.stop()
            if self._session is not None:
                self._session.__exit__()

    def _read(self) -> None:
        """Receive frames in advance, so that R's end is noticed at any time."""
        try:
            while (frame := self._channel.receive()) is not None:
                self._frames.put(frame)
        except (OSError, DolambdaError) as error:
            log.warning("the R session can no longer be read: %s", error)
        self._frames.put(None)
        if self._session is None:  # R ended while it waited for READY
            shutil.rmtree(self._directory, ignore_errors=True)
            os._exit(0)  # the emulated AWS ends with this process, see guardian.py

    def _serve_one(self, frame: Frame) -> None:
        try:
            self._answer(frame)
        except (DolambdaError, ValueError, TypeError) as error:
            # Errors of a user's arguments: R shows them, and continues.
            loop = self._loops.pop(frame.loop, None)
            if loop is not None:
                self._close(loop)
            self._channel.send_texts(Kind.ERROR, frame.loop, error_texts(error))

    def _answer(self, frame: Frame) -> None:
        if handle := self._handlers.get(frame.kind):
            handle(frame)
        elif loop := self._loops.get(frame.loop):
            self._add(loop, frame)
        else:  # its loop has failed, which R finds when it reads
            log.debug("frame %s of a loop that has ended", frame.kind)

    def _add(self, loop: Loop, frame: Frame) -> None:
        match frame.kind:
            case Kind.PART:
                loop.add_part(frame.data)
            case Kind.FUNCTION:
                loop.add_function(frame.data)
            case Kind.TASKS:
                loop.submit(frame.data)
            case Kind.SKIP:
                loop.skip_after(frame.data)
            case _:
                raise ValueError(f"a frame of unknown kind {frame.kind}")

    def _register(self, frame: Frame) -> None:
        fields = frame.fields()
        LoopOptions.from_registration(fields)  # before the emulated AWS is started
        self._session = register_for_r(fields)
        self._channel.send_fields(Kind.READY, 0, ready_facts(self._session))

    def _report(self, frame: Frame) -> None:
        for closer in self._closers:  # a run that is just ending is in no count for a moment
            closer.join(_COUNT_WITHIN_S)
        facts = report_facts(self._session.report()) if self._session else {}
        self._channel.send_fields(Kind.REPORTED, frame.loop, facts)

    def _cancel(self, frame: Frame) -> None:
        loop = self._loops.pop(frame.loop, None)
        if loop is not None:
            loop.cancel()
        self._sender.drop(frame.loop)
        self._channel.send(Kind.CANCELLED, frame.loop)

    def _open(self, frame: Frame) -> None:
        self._loops[frame.loop] = self._opened(frame)

    def _end(self, frame: Frame) -> None:
        if loop := self._loops.pop(frame.loop, None):
            self._close(loop)

    def _opened(self, frame: Frame) -> Loop:
        if self._session is None:
            raise ValueError("the R session has not registered")
        options = LoopOptions.from_fields(frame.fields())
        if options.run.run:  # it may have just ended, and still be storing its replies
            for closer in self._closers:
                closer.join()
        self._sender.tick(frame.loop)
        return Loop(frame.loop, self._session, options, self._sender)

    def _close(self, loop: Loop) -> None:
        """End a run in a thread of its own.

        R has its results, and need not wait for the clean-up.
        """
        self._closers = [closer for closer in self._closers if closer.is_alive()]
        closer = threading.Thread(target=loop.close, name=f"dolambda-r-close-{loop.number}")
        closer.start()
        self._closers.append(closer)
        self._sender.drop(loop.number)
