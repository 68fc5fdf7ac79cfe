"""S3's objects: how many requests a second, and errors that pass."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from support.strict_aws.base import Response, rule

if TYPE_CHECKING:
    from support.strict_aws.base import Request, World

_WRITES = ("PutObject", "DeleteObject", "DeleteObjects", "CopyObject", "CreateMultipartUpload")
_READS = ("GetObject", "HeadObject", "ListObjects", "ListObjectsV2")
_OBJECTS = tuple(f"s3:{one}" for one in (*_WRITES, *_READS, "UploadPart"))


@rule(*_OBJECTS)
def request_rates(request: Request, world: World) -> Response | None:
    """Refuse more than 3,500 writes or 5,500 reads a second of one prefix, here: of one bucket.

    "at least 3,500 PUT/COPY/POST/DELETE or 5,500 GET/HEAD requests per second per partitioned
    Amazon S3 prefix": S3 user guide, "Best practices design patterns"; S3 splits a prefix after 30
    to 60 minutes of load, so a new one has one partition. Each key of DeleteObjects counts as a
    write: Hadoop's S3A, HADOOP-17935. "503 SlowDown: Please reduce your request rate."
    """
    cost = 1
    if request.operation == "DeleteObjects":
        cost = len(request.params["Delete"]["Objects"])
    kind = "reads" if request.operation in _READS else "writes"
    options = world.options
    rate = options.s3_reads_per_s if kind == "reads" else options.s3_writes_per_s
    now = time.monotonic()
    bucket = f"{request.bucket} {kind}"
    tokens, before = world.memory.get(bucket, (float(rate), now))
    tokens = min(float(rate), tokens + (now - before) * rate)
    allowed = tokens >= min(cost, rate)
    world.memory[bucket] = (tokens - cost if allowed else tokens, now)
    if allowed:
        return None
    if request.operation == "DeleteObjects":
        return _all_refused(request, "SlowDown", "Please reduce your request rate.")
    return Response.refused(503, "SlowDown", "Please reduce your request rate.")


@rule(*_OBJECTS)
def errors_that_pass(request: Request, world: World) -> Response | None:
    """Answer some requests with an error that a repetition of the request does not meet.

    503 "SlowDown: Please reduce your request rate.", 500 "InternalError: We encountered an internal
    error. Please try again.": API reference, "Error responses". DeleteObjects answers 200 and names
    the error for each key.
    """
    every = world.options.s3_error_every
    if not every:
        return None
    count = world.memory["requests"] = world.memory.get("requests", 0) + 1
    if count % every:
        return None
    status, code, message = _PASSING[count // every % len(_PASSING)]
    if request.operation == "DeleteObjects":
        return _all_refused(request, code, message)
    return Response.refused(status, code, message)


def _all_refused(request: Request, code: str, message: str) -> Response:
    """Return DeleteObjects' way to refuse: 200, and an error for each key."""
    errors = [
        {"Key": entry["Key"], "Code": code, "Message": message}
        for entry in request.params["Delete"]["Objects"]
    ]
    return Response(200, {"Errors": errors})


_PASSING = (
    (503, "SlowDown", "Please reduce your request rate."),
    (500, "InternalError", "We encountered an internal error. Please try again."),
)


@rule("s3:GetObject", "s3:PutObject", "s3:HeadObject")
def request_timeout(request: Request, world: World) -> Response | None:
    """Answer the first request of each kind for each object as if its connection had stalled.

    400 RequestTimeout "Your socket connection to the server was not read from or written to within
    the timeout period. Idle connections will be closed.": API reference, "Error responses".
    botocore counts it among the errors that pass (`retries.standard`).
    """
    if not world.options.s3_stalls:
        return None
    one = f"{request.operation} {request.bucket}/{request.params['Key']}"
    if world.memory.setdefault(one, False):
        return None
    world.memory[one] = True
    return Response.refused(
        400,
        "RequestTimeout",
        "Your socket connection to the server was not read from or written to within the timeout "
        "period. Idle connections will be closed.",
    )


@rule("s3:PutObject", "s3:UploadPart")
def written_with_checksum(request: Request, _: World) -> Response | None:
    """Refuse what is written without a checksum, as where Object Lock retains all objects.

    400 InvalidRequest "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object
    requests with Object Lock parameters": versitygw #1535, arrow-rs-object-store #190. "It looks
    like `x-amz-content-sha256` is not sufficient": s3cmd #1436. boto3 adds one by itself, after
    it has been seen in this process.
    """
    over_http = bool(request.principal)
    named = [name for name in request.params if name.startswith(("Checksum", "ContentMD5"))]
    if named or not over_http:
        return None
    what = "Put Part" if request.operation == "UploadPart" else "Put Object"
    message = (
        f"Content-MD5 OR x-amz-checksum- HTTP header is required for {what} requests with Object "
        "Lock parameters"
    )
    return Response.refused(400, "InvalidRequest", message)


@rule("s3:HeadObject")
def throttled_heads(request: Request, world: World) -> Response | None:
    """Answer each HEAD of a worker with 503, as at 10,000 workers that poll one prefix.

    "503 SlowDown: Please reduce your request rate.": 5,500 GET/HEAD requests a second of a prefix,
    S3 user guide, "Best practices design patterns".
    """
    if not world.options.s3_heads_throttled or ":assumed-role/" not in request.principal:
        return None
    return Response.refused(503, "SlowDown", "Please reduce your request rate.")
