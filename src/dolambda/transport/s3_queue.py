"""The bucket as the queue.

Both ends of the conversation, in the order in which a job meets them:

    client                                   S3                      worker
    S3Queue.send    -- PUT jobs/<run>/<n> -->|
                                             |-- ObjectCreated ----> answer
                                             |<- GET jobs/<run>/<n> --  |   ... Worker.run
                                             |<- PUT outs/<run>/<n> --  |   If-None-Match: the first answer wins
    poller          -- LIST outs/<client>/ ->|
    S3Queue._fetch  -- GET outs/<run>/<n> -->|
    S3Queue.withdraw - DELETE both --------->|

A job's object is also its lease: once the client has removed it nobody waits for the answer, and a worker that finds it
gone (it looks every few seconds) leaves out the tasks it has not begun, stops the one at work at the next look, and writes
nothing. So cancelling is deleting.

The event may come twice (the second reply is not written), late (after its deadline the worker does not begin) or never
(dispatch sends the job again). On entry: sealed jobs; on leaving: sealed replies, unread.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from dolambda.errors import AwsError, EnvelopeError
from dolambda.wire import keys
from dolambda.worker.worker import refuse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dolambda.aws.objects import Bucket
    from dolambda.aws.signed_s3 import SignedS3
    from dolambda.transport.base import SealedJob
    from dolambda.transport.uploads import Uploads
    from dolambda.worker.worker import Worker

log = logging.getLogger("dolambda")

_THREADS = 16
_SOONEST = 0.02
_SLOWER = 1.4
_LOOK_AGAIN = 0.5  # seconds that a job took from which on a worker asks, before it answers, whether anyone still waits


class S3Queue:
    """The client's end."""

    def __init__(self, bucket: Bucket, uploads: Uploads, client: str, *, throttle: float) -> None:
        """``throttle``: longest pause in seconds between two looks for replies. Nothing is sent yet."""
        self.calls = bucket.calls
        self._bucket = bucket
        self._prefix = keys.replies_prefix(client)
        self._throttle = throttle
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="dolambda-s3")
        self._lock = threading.Lock()
        self._waiting: dict[str, Future[bytes]] = {}
        self._fetching: set[str] = set()
        self._puts: dict[Future[None], str] = {}
        self._uploads = uploads
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._poller: threading.Thread | None = None

    def send(self, job: SealedJob) -> Future[bytes]:
        """See `Transport.send`."""
        key = keys.reply_key(job.run, job.number)
        with self._lock:
            future = self._waiting.setdefault(key, Future())
            if self._poller is None:
                self._poller = threading.Thread(target=self._poll, name="dolambda-poller", daemon=True)
                self._poller.start()
        put = self._pool.submit(self._put, job, key)
        with self._lock:
            self._puts[put] = key
        put.add_done_callback(self._put_done)
        return future

    def room(self, most: int) -> int:
        """See `Transport.room`: jobs wait in the queue."""
        return most

    def withdraw(self, run: str, numbers: Sequence[int]) -> None:
        """See `Transport.withdraw`. A job whose PUT is under way is removed after it: else it would be there when we have gone."""
        replies = [keys.reply_key(run, number) for number in numbers]
        with self._lock:
            for key in replies:
                self._waiting.pop(key, None)
            gone = set(replies)
            under_way = [put for put, key in self._puts.items() if key in gone]
        wait([put for put in under_way if not put.cancel()])  # each ends with its request
        self._bucket.delete([keys.job_key(run, number) for number in numbers] + replies)

    def close(self) -> None:
        """See `Transport.close`."""
        with self._lock:
            waiting, self._waiting = self._waiting, {}
        self._closing.set()
        self._wake.set()
        if self._poller:
            self._poller.join()
        self._pool.shutdown(cancel_futures=True)
        for future in waiting.values():
            future.cancel()
        if self._poller:
            self._sweep()

    def _sweep(self) -> None:
        """Remove answers that came after their jobs were withdrawn; what comes later still expires by itself."""
        try:
            self._bucket.delete(self._bucket.list(self._prefix))
        except AwsError as error:
            log.warning("late answers were not looked for, they expire by themselves: %s", error)

    def _put_done(self, put: Future[None]) -> None:
        with self._lock:
            self._puts.pop(put, None)

    def _put(self, job: SealedJob, reply_key: str) -> None:
        try:
            for blob in job.blobs:
                self._uploads.once(blob)
            with self._lock:
                if reply_key not in self._waiting:
                    return  # withdrawn meanwhile
            self._bucket.put(keys.job_key(job.run, job.number), job.data)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the one who waits must hear of it
            self._settle(reply_key, error)
        else:
            self._wake.set()

    def _poll(self) -> None:
        """Look for replies: every few hundredths of a second while they flow, ever more rarely while they do not."""
        pause = _SOONEST
        while not self._closing.wait(_SOONEST):
            with self._lock:
                wanted = self._waiting.keys() - self._fetching
            if not wanted or pause > _SOONEST:
                # Nothing to look for: sleep until something is sent. Something: until then, or for the pause.
                if self._wake.wait(pause if wanted else None):
                    pause = _SOONEST
                self._wake.clear()
                if not wanted:
                    continue
            try:
                found = [key for key in self._bucket.list(self._prefix, keys.just_before(min(wanted))) if key in wanted]
            except BaseException as error:  # noqa: BLE001 - as in _put
                for key in wanted:
                    self._settle(key, error)
                continue
            with self._lock:
                self._fetching.update(found)
            for key in found:
                self._pool.submit(self._fetch, key)
            pause = _SOONEST if found else min(pause * _SLOWER, self._throttle)

    def _fetch(self, key: str) -> None:
        try:
            reply = self._bucket.get(key)
        except BaseException as error:  # noqa: BLE001 - as in _put
            self._settle(key, error)
        else:
            self._settle(key, reply)

    def _settle(self, key: str, answer: bytes | BaseException) -> None:
        with self._lock:
            self._fetching.discard(key)
            future = self._waiting.pop(key, None)
        if future is None or not future.set_running_or_notify_cancel():
            return
        if isinstance(answer, bytes):
            future.set_result(answer)
        else:
            future.set_exception(answer)


def recognises(event: Mapping[str, Any]) -> bool:
    """Whether a Lambda event is a notification of S3's."""
    return any("s3" in record for record in event.get("Records", ()))


def answer(event: Mapping[str, Any], worker: Worker, s3: SignedS3, key: bytes, seconds: float) -> list[str]:
    """Be the worker's end: run the jobs that an S3 notification names; say what became of each."""
    ends = time.monotonic() + seconds
    names = [unquote_plus(record["s3"]["object"]["key"]) for record in event["Records"]]
    return [_answer_one(name, worker, s3, key, ends - time.monotonic()) for name in names]


def _answer_one(name: str, worker: Worker, s3: SignedS3, key: bytes, seconds: float) -> str:
    place = keys.parse_job_key(name)
    if place is None:
        return _report(name, "refused: it is not named as a job is")
    sealed = s3.get(name)
    if sealed is None:
        return _report(name, "gone: nobody waits for it any more")
    begun = time.monotonic()
    try:
        # Counted by hand: its own PUT has to stand in the reply that it writes.
        reply = worker.run(sealed, seconds=seconds, wanted=lambda: s3.exists(name), calls={"s3:GetObject": 1, "s3:PutObject": 1})
    except EnvelopeError as error:
        reply = refuse(*place, error, key)
        _report(name, f"refused: {error}")
    if time.monotonic() - begun > _LOOK_AGAIN and not s3.exists(name):
        return _report(name, "gone meanwhile: its answer is not written")
    return "answered" if s3.put_new(keys.reply_key(*place), reply) else _report(name, "answered already, by another invocation")


def _report(name: str, what: str) -> str:
    """Write a line to the function's log, where `aws logs` finds it."""
    print(json.dumps({"dolambda": what, "object": name}), flush=True)  # noqa: T201 - Lambda's log is standard output
    return what
