"""One Invoke a job: the lowest latency, and nothing is polled.

Both ends of the conversation, in the order in which a job meets them:

    client                                   Lambda                  worker
    Direct.send    -- Invoke {job} --------> runs the function ----> answer   ... Worker.run
                   <- {reply} ------------------------------------------ |
    with what does not fit into an Invoke's 6 MB:
                   -- PUT blobs/<digest> --> S3
                   -- Invoke {job: digest} ---------------------------> GET blobs/<digest>
                                             S3 <- PUT outs/<run>/<n> -- |
                   <- {at: outs/<run>/<n>} ----------------------------- |
                   -- GET outs/<run>/<n> --> S3

An invocation that is under way cannot be told to stop: withdrawing only forgets it. On entry: sealed jobs; on leaving: sealed replies,
unread.
"""

from __future__ import annotations

import base64
import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from dolambda.errors import AwsError, EnvelopeError
from dolambda.transport.base import Unanswered
from dolambda.transport.window import Window
from dolambda.wire import keys
from dolambda.wire.blob import Blob
from dolambda.wire.outcome import CRASHED, NOT_STARTED, OUT_OF_MEMORY, TIMED_OUT, Lost
from dolambda.worker.worker import refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from dolambda.aws.invoke import Invoker
    from dolambda.aws.objects import Bucket
    from dolambda.aws.signed_s3 import SignedS3
    from dolambda.transport.base import SealedJob
    from dolambda.transport.uploads import Uploads
    from dolambda.wire.blob import BlobSource
    from dolambda.worker.worker import Worker

log = logging.getLogger("dolambda")

INLINE = 6 * 1024 * 1024 - 4096
"""Bytes of JSON, either way, that go with the Invoke itself: Lambda's limit, and room for what is around it."""

_THREADS = 16
_ENDS = {"Sandbox.Timedout": TIMED_OUT, "Runtime.OutOfMemory": OUT_OF_MEMORY}
"""Lambda's names for how an environment ended (its errorType); all others are crashes."""


class Direct:
    """The client's end."""

    def __init__(self, invoker: Invoker, bucket: Bucket, uploads: Uploads, client: str) -> None:
        """``invoker`` and ``bucket`` count into the same `Calls`. Nothing is sent yet."""
        self.calls = bucket.calls
        self._invoker = invoker
        invoker.throttled = self.throttled
        self._bucket = bucket
        self._uploads = uploads
        self._prefix = keys.replies_prefix(client)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="dolambda-spill")
        self._window = Window()
        self._lock = threading.Lock()
        self._waiting: dict[tuple[str, int], Future[bytes]] = {}
        self._spilled = False

    def send(self, job: SealedJob) -> Future[bytes]:
        """See `Transport.send`."""
        place = (job.run, job.number)
        with self._lock:
            future = self._waiting.setdefault(place, Future())
        text = base64.b64encode(job.data)
        if job.blobs or len(text) > INLINE:
            self._pool.submit(self._upload_and_invoke, job, text, place)
        else:
            self._invoke(job, "job", text, place)
        return future

    def room(self, most: int) -> int:
        """See `Transport.room`: less while Lambda throttles."""
        return self._window.most(most)

    def throttled(self, reason: str) -> None:
        """Lambda has refused a call, for that reason of its own; it is repeated by itself."""
        with self._lock:
            under_way = len(self._waiting)
        self._window.throttled(under_way)
        log.info("Lambda throttles %s calls: %s", under_way, reason)

    def withdraw(self, run: str, numbers: Sequence[int]) -> None:
        """See `Transport.withdraw`. What runs goes on: Lambda cannot be told to stop."""
        with self._lock:
            under_way = [number for number in numbers if self._waiting.pop((run, number), None)]
            spilled = self._spilled
        if under_way:
            log.warning("run %s: %s invocations under way cannot be stopped; they end by themselves, and are billed", run, len(under_way))
        if spilled:
            self._bucket.delete([keys.reply_key(run, number) for number in numbers])

    def close(self) -> None:
        """See `Transport.close`."""
        self._invoker.close()
        self._pool.shutdown(cancel_futures=True)
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            future.cancel()
        if self._spilled:
            try:
                self._bucket.delete(self._bucket.list(self._prefix))
            except AwsError as error:
                log.warning("large answers were not removed, they expire by themselves: %s", error)

    def _upload_and_invoke(self, job: SealedJob, text: bytes, place: tuple[str, int]) -> None:
        try:
            for blob in job.blobs:
                self._uploads.once(blob)
            if len(text) <= INLINE:
                self._invoke(job, "job", text, place)
            else:
                blob = Blob.from_bytes(job.data)
                self._uploads.once(blob)
                self._invoke(job, "at", blob.digest.encode(), place)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the one who waits must hear of it
            self._settle(place, error)

    def _invoke(self, job: SealedJob, name: str, text: bytes, place: tuple[str, int]) -> None:
        # Put together by hand: json.dumps would take longer over a large job than all the rest.
        payload = b'{"dolambda":{"run":"%s","number":%d,"%s":"%s"}}' % (job.run.encode(), job.number, name.encode(), text)
        self._invoker.send(payload, lambda answer: self._hand_over(answer, place))

    def _hand_over(self, answer: bytes | BaseException, place: tuple[str, int]) -> None:
        """Called in the invoker's thread, which moves bytes and nothing else: what users' callbacks do must not hold it up."""
        try:
            self._pool.submit(self._take, answer, place)
        except RuntimeError:  # the interpreter ends, or this transport does: nobody else can be asked any more
            self._take(answer, place)

    def _take(self, answer: bytes | BaseException, place: tuple[str, int]) -> None:
        if not isinstance(answer, bytes):
            self._settle(place, _as_unanswered(answer))
            return
        self._window.answered()
        begin = answer.find(b'"reply": "')
        if begin >= 0:  # not parsed: as above
            self._settle(place, base64.b64decode(answer[begin + 10 : answer.rindex(b'"')]))
            return
        with self._lock:
            self._spilled = True
        self.calls.add("s3:PutObject")  # the worker's: its own count was sealed before
        self._fetch(place)

    def _fetch(self, place: tuple[str, int]) -> None:
        try:
            self._settle(place, self._bucket.get(keys.reply_key(*place)))
        except BaseException as error:  # noqa: BLE001 - as above
            self._settle(place, error)

    def _settle(self, place: tuple[str, int], answer: bytes | BaseException) -> None:
        with self._lock:
            future = self._waiting.pop(place, None)
        if future is None or not future.set_running_or_notify_cancel():
            return
        if isinstance(answer, bytes):
            future.set_result(answer)
        else:
            future.set_exception(answer)


def _as_unanswered(error: BaseException) -> BaseException:
    """What became of a job, as dispatch understands it: sent again, unless AWS refused it for good."""
    kind = getattr(error, "kind", None)
    if kind is not None:
        return Unanswered(Lost(_ENDS.get(kind, CRASHED), str(error), "It was sent several times, with the same end each time."))
    return Unanswered(Lost(NOT_STARTED, str(error))) if getattr(error, "may_have_run", False) else error


def recognises(event: Mapping[str, Any]) -> bool:
    """Whether a Lambda event is a job of ours."""
    return "dolambda" in event


def answer(
    event: Mapping[str, Any], worker: Worker, s3: Callable[[], SignedS3], blobs: Callable[[], BlobSource], key: bytes, seconds: float
) -> dict[str, str]:
    """Be the worker's end: run the job that an event holds or names; give the reply, or where it is."""
    job = event["dolambda"]
    place = keys.parse_job_key(keys.job_key(job["run"], job["number"]))
    if place is None:
        return {"refused": "it is not named as a job is"}
    try:
        sealed = base64.b64decode(job["job"]) if "job" in job else Blob.from_store(job["at"], blobs().get_blob(job["at"])).data
        reply = worker.run(bytes(sealed), seconds=seconds)
    except EnvelopeError as error:
        reply = refuse(*place, error, key)
    text = base64.b64encode(reply).decode()
    if len(text) <= INLINE:
        return {"reply": text}
    s3().put_new(keys.reply_key(*place), reply)
    return {"at": keys.reply_key(*place)}
