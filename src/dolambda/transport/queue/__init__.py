"""The bucket as the queue.

Both ends of the conversation, in the order in which a job meets them:

    client                                   S3                      worker
    S3Queue.send    -- PUT jobs/00/<run>/<n>>|
                                             |-- ObjectCreated ----> answer
                                             |<- GET jobs/00/<run>/<n> -|   ... Worker.run
                                             |<- PUT outs/<run>/<n> --  |   If-None-Match: the first answer wins
    poller          -- LIST outs/<client>/ ->|
    S3Queue._fetch  -- GET outs/<run>/<n> -->|          then `LeaderFollowers` hands the reply to dispatch
    S3Queue.withdraw - PUT leases/<run> ---->|<- GET leases/<run> --- a task that takes long
                    -- DELETE both --------->|

A job that no worker has begun is cancelled by deleting its object. A worker that runs it learns
from the run's lease (see `dolambda.transport.lease`) that it was withdrawn: it leaves out the tasks
it has not begun, stops the one at work, and writes nothing.

The event may come twice (the second reply is not written), late (after its deadline the worker does
not begin) or never (dispatch sends the job again). On entry: sealed jobs; on leaving: sealed
replies, unread.
"""
