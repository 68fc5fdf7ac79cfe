"""The bucket as the queue.

Both ends of the conversation, in the order in which a job meets them:

    client                                   S3                      worker
    S3Queue.send    -- PUT jobs/00/<run>/<n>>|
                                             |-- ObjectCreated ----> answer
                                             |<- GET jobs/00/<run>/<n> -|   ... Worker.run
                                             |<- PUT outs/<run>/<n> --  |   If-None-Match: the first answer wins
    poller          -- LIST outs/<client>/ ->|
    S3Queue._fetch  -- GET outs/<run>/<n> -->|          then `LeaderFollowers` hands the reply to dispatch
    S3Queue.withdraw - DELETE both --------->|

A job's object is also its lease: once the client has removed it the job is cancelled, and a worker that finds it
gone (it looks every few seconds) leaves out the tasks it has not begun, stops the one at work at the next look, and writes
nothing. So cancelling is deleting.

The event may come twice (the second reply is not written), late (after its deadline the worker does not begin) or never
(dispatch sends the job again). On entry: sealed jobs; on leaving: sealed replies, unread.
"""
