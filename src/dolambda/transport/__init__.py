"""How jobs reach a worker and replies come back; each file holds both ends of its conversation.

    base.py         what every transport is
    s3_queue.py     put jobs/..  ->  S3 event  ->  worker  ->  put outs/..  ->  one poller      (the default)
    in_process.py   the same bytes, run in this process: for debugging

A direct transport (one Invoke a job) will stand beside them.
"""
