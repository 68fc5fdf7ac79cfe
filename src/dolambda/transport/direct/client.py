"""The client's end of a direct call.

**Input:** sealed jobs. **Output:** sealed replies, unread. See `dolambda.transport.direct` for both
ends.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from dolambda.errors import AwsError
from dolambda.transport.base import Unanswered, closed_underneath
from dolambda.transport.clean_up import CleanUp
from dolambda.transport.daemon_pool import DaemonPool
from dolambda.transport.direct import fits
from dolambda.transport.waiting import Waiting
from dolambda.transport.window import Window
from dolambda.wire import keys
from dolambda.wire.blob import Blob
from dolambda.wire.outcome import CRASHED, NOT_STARTED, OUT_OF_MEMORY, TIMED_OUT, Lost

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dolambda.aws.invoke import Invoker
    from dolambda.aws.leader_followers import LeaderFollowers
    from dolambda.aws.objects import Bucket
    from dolambda.transport.base import OnReply, SealedJob
    from dolambda.transport.lease.client import Leases
    from dolambda.transport.uploads import Uploads

log = logging.getLogger("dolambda")

_THREADS = 16
_ENDS = {"Sandbox.Timedout": TIMED_OUT, "Runtime.OutOfMemory": OUT_OF_MEMORY}
"""Lambda's names for the end of an environment (its errorType)."""

_VAGUE = ("Runtime.ExitError", "Unhandled", "")
_SAID = {"Task timed out after": TIMED_OUT, "signal: killed": OUT_OF_MEMORY}
"""Lambda's sentences, if its name for the end is vague: old timeouts have no errorType, and
an environment without memory left ends with Runtime.ExitError. All other ends are crashes.
"""


class Direct:
    """The client's end."""

    queues = False

    def __init__(
        self,
        invoker: Invoker,
        bucket: Bucket,
        uploads: Uploads,
        leases: Leases,
        client: str,
        followers: LeaderFollowers,
        *,
        clean_up: CleanUp | None = None,
    ) -> None:
        """Prepare calls.

        Nothing is sent yet. ``invoker`` and ``bucket`` share one `RequestCounter`.
        """
        self.calls = bucket.calls
        self._invoker = invoker
        invoker.throttled = self.throttled
        self._bucket = bucket
        self._uploads = uploads
        self._leases = leases
        self._prefix = keys.replies_prefix(client)
        self._waiting: Waiting[tuple[str, int]] = Waiting()
        self._followers = followers
        self._pool = DaemonPool(_THREADS, "dolambda-large")
        self._clean_up = clean_up or CleanUp()
        self._window = Window()
        self._spilled = False

    def send(self, job: SealedJob, on_reply: OnReply) -> None:
        """See `Transport.send`."""
        place = (job.run, job.number)
        self._waiting.add(place, on_reply)
        try:
            if not fits(len(job.data)) or not self._uploads.there(job.blobs):
                self._pool.submit(partial(self._upload_and_invoke, job, place, on_reply))
            else:
                self._invoke(b"job", _base64(job.data), place, on_reply)
        except BaseException:  # closed, or no thread can be started: it is not sent
            self._waiting.take_one(place, on_reply)
            raise

    def room(self, most: int) -> int:
        """See `Transport.room`. There is less while Lambda throttles."""
        return self._window.most(most, self._invoker.refused)

    def throttled(self, reason: str) -> None:
        """Process a refused call. It is repeated automatically. ``reason`` is Lambda's."""
        under_way, refused = len(self._waiting), self._invoker.refused + 1
        self._window.throttled(under_way, refused)
        log.debug("Lambda throttles, %s of %s calls wait: %s", refused, under_way, reason)

    def withdraw(self, run: str, numbers: Sequence[int]) -> None:
        """See `Transport.withdraw`. Running tasks learn it from the run's lease."""
        waited = self._waiting.forget((run, number) for number in numbers)
        self._leases.withdraw(run, [number for _, number in waited])
        if self._spilled:
            self._bucket.delete([keys.reply_key(run, number) for number in numbers])

    def in_turn(self, call: Callable[[], None]) -> None:
        """See `Transport.in_turn`."""
        self._followers.make_in_lead(call)

    def after_replies(self, call: Callable[[], None]) -> None:
        """See `Transport.after_replies`."""
        self._followers.after_calls(call)

    def close(self) -> None:
        """See `Transport.close`."""
        until = self._clean_up.until()
        waiting, swept = self._waiting.take_all(), threading.Event()
        if self._spilled and not self._clean_up.abandoned:
            self._pool.submit(partial(self._sweep, swept))
        else:
            swept.set()
        if not swept.wait(max(0.0, until - time.monotonic())):
            log.warning("large replies could not be removed in time, they expire by themselves")
        self._clean_up.ended(done=swept.is_set())
        self._pool.close(until)
        for on_reply in waiting:
            self._followers.hand_over(partial(on_reply, closed_underneath()))
        self._followers.flush()

    def _sweep(self, swept: threading.Event) -> None:
        """Remove replies that did not fit into an Invoke.

        This runs in a thread of the pool, whose threads have started before.
        """
        try:
            self._bucket.delete(self._bucket.list(self._prefix))
        except AwsError as error:
            log.warning("large replies were not removed, they expire by themselves: %s", error)
        finally:
            swept.set()

    def _upload_and_invoke(self, job: SealedJob, place: tuple[str, int], on_reply: OnReply) -> None:
        try:
            for blob in job.blobs:
                self._uploads.once(blob)
            if fits(len(job.data)):
                self._invoke(b"job", _base64(job.data), place, on_reply)
            else:
                blob = Blob.from_bytes(job.data)
                self._uploads.once(blob)
                self._invoke(b"at", blob.digest.encode(), place, on_reply)
        except BaseException as error:  # noqa: BLE001
            # The receiver must get any error.
            self._settle(place, on_reply, error)

    def _invoke(self, name: bytes, text: bytes, place: tuple[str, int], on_reply: OnReply) -> None:
        # Without json.dumps, which would take longer for a large job than all the rest.
        payload = b'{"dolambda":{"run":"%s","number":%d,"%s":"%s"}}' % (
            place[0].encode(),
            place[1],
            name,
            text,
        )
        self._invoker.send(payload, partial(self._hand_over, place, on_reply))

    def _hand_over(
        self, place: tuple[str, int], on_reply: OnReply, answer: bytes | BaseException
    ) -> None:
        """Pass a reply on.

        It is called in the thread of the requests, which only moves bytes: users' callbacks must
        not block it.
        """
        self._followers.hand_over(partial(self._take, place, on_reply, answer))

    def _take(
        self, place: tuple[str, int], on_reply: OnReply, answer: bytes | BaseException
    ) -> None:
        if not isinstance(answer, bytes):
            self._settle(place, on_reply, _as_unanswered(answer))
            return
        self._window.answered()
        try:
            said = json.loads(answer.decode())  # given bytes, it would first guess their encoding
            if "reply" in said:
                self._settle(place, on_reply, base64.b64decode(said["reply"]))
            elif "at" in said:
                self._spilled = True
                self.calls.add("s3:PutObject")  # the worker's, whose count was sealed before
                self._pool.submit(partial(self._fetch, place, on_reply))
            else:
                self._settle(place, on_reply, _no_reply(answer))
        except (ValueError, TypeError, RecursionError):  # not dolambda's JSON
            self._settle(place, on_reply, _no_reply(answer))
        except RuntimeError:  # closed meanwhile: nobody can fetch it any more
            self._settle(place, on_reply, closed_underneath())

    def _fetch(self, place: tuple[str, int], on_reply: OnReply) -> None:
        try:
            reply: bytes | BaseException = self._bucket.get(keys.reply_key(*place))
        except FileNotFoundError:
            reply = Unanswered(Lost(NOT_STARTED, "there is no object where its reply should be"))
        except BaseException as error:  # noqa: BLE001 - the receiver must get any error
            reply = error
        self._followers.hand_over(partial(self._settle, place, on_reply, reply))

    def _settle(
        self, place: tuple[str, int], on_reply: OnReply, answer: bytes | BaseException
    ) -> None:
        if self._waiting.take_one(place, on_reply):
            on_reply(answer)


def _base64(data: bytes) -> bytes:
    return binascii.b2a_base64(data, newline=False)


def _no_reply(answer: bytes) -> Unanswered:
    """Return that a reply was changed on its way or is another function's.

    The job is sent again.
    """
    said = answer[:200].decode(errors="replace")
    return Unanswered(
        Lost(
            NOT_STARTED,
            f"the function returned something that is not a reply: {said}",
            "Either something between this machine and AWS replies in its place, or the function "
            "is not that of this dolambda. Run `dolambda deploy`.",
        )
    )


def _end_of(kind: str, said: str) -> str:
    if kind not in _VAGUE:
        return _ENDS.get(kind, CRASHED)
    return next((end for words, end in _SAID.items() if words in said), CRASHED)


def _as_unanswered(error: BaseException) -> BaseException:
    """Return the error for the scheduler: the job is sent again, unless AWS refused it for good."""
    kind = getattr(error, "kind", None)
    if kind is not None:
        return Unanswered(
            Lost(
                _end_of(kind, str(error)),
                str(error),
                "It was sent several times, with the same result each time.",
            )
        )
    return (
        Unanswered(Lost(NOT_STARTED, str(error)))
        if getattr(error, "may_have_run", False)
        else error
    )
