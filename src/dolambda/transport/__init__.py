"""How jobs reach a worker and replies come back; each file holds both ends of its conversation.

base.py         what every transport is
s3_queue.py     put jobs/..  ->  S3 event  ->  worker  ->  put outs/..  ->  one poller      (the default)
direct.py       Invoke, request and reply inline, what is large through S3                  (lowest latency)
in_process.py   the same bytes, run in this process: for debugging
uploads.py      blobs, each to the bucket once
window.py       how many calls may be under way, learnt from being throttled
poll_interval.py         how often to look for replies
waiting.py      who waits for which job's reply
clean_up.py     the time that clean-up may take once the user has cancelled
daemon_pool.py  threads for large objects, which nobody has to wait for
factory.py         the transports to one stack, made when they are asked for
"""
