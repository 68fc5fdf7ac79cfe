"""The ways of jobs to a worker, and of replies back.

base.py            the interface of all transports
queue/             put jobs/..  ->  S3 event  ->  worker  ->  put outs/..  ->  one poller (default)
direct/            Invoke, request and reply inline, large ones through S3 (lowest latency)
    client.py      ... each with one file for the client's end
    worker.py      ... and one for the worker's
lease/             how a worker learns that its job was withdrawn, for both
live/              how what a task prints is seen while it runs, for both
in_process.py      the same bytes, run in this process: for debugging
uploads.py         blobs, each to the bucket once
window.py          how many calls may be in flight, learnt from throttles
poll_interval.py   how often to poll for replies
waiting.py         who waits for which job's reply
clean_up.py        the time that clean-up may take once the user has cancelled
daemon_pool.py     threads for large objects, for which the interpreter's end does not wait
factory.py         the transports to one stack, made on first use
"""
