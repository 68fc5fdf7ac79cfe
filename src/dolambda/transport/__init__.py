"""The ways of jobs to a worker, and of replies back.

base.py            the interface of all transports
queue/             put jobs/..  ->  S3 event  ->  worker  ->  put outs/..  ->  one poller (default)
direct/            Invoke, request and reply inline, large ones through S3 (lowest latency)
    client.py      ... each with one file for the client's end
    worker.py      ... and one for the worker's
lease/             how a worker learns that its job was withdrawn, for both
put_reply.py       the worker's last step: a reply in the bucket, or a short one with the reason
live/              how what a task prints is seen while it runs, for both
in_process.py      the same bytes, run in this process, for debugging
uploads.py         blobs, each uploaded to the bucket once
window.py          the number of calls in flight, adapted to throttling
poll_interval.py   the time between two polls for replies
waiting.py         the receivers of replies
clean_up.py        the time that clean-up may take after the user has cancelled
daemon_pool.py     threads for large objects, for which the interpreter's end does not wait
factory.py         the transports to one stack, made on first use
"""
