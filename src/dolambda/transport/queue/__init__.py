"""The bucket as the queue.

Both ends, in the order in which a job passes them:

    client                                   S3                      worker
    S3Queue.send    -- PUT jobs/00/<run>/<n>>|
                                             |-- ObjectCreated ----> answer
                                             |<- GET jobs/00/<run>/<n> -|   ... Worker.run
                                             |<- PUT outs/<run>/<n> --  |   If-None-Match: the first
    poller          -- LIST outs/<client>/ ->|                              reply wins
    S3Queue._fetch  -- GET outs/<run>/<n> -->|   then `LeaderFollowers` delivers the reply
    S3Queue.withdraw - PUT leases/<run> ---->|<- GET leases/<run> --- a task that takes long
                    -- DELETE both --------->|

A job that no worker has begun is cancelled by deleting its object. A worker that runs it learns
from the run's lease (see `dolambda.transport.lease`) that it was withdrawn: it leaves out the tasks
that it has not begun, stops the current one, and writes nothing.

The event may arrive twice (the second reply is not written), late (after its deadline the worker
does not begin) or never (the scheduler sends the job again).

**Input:** sealed jobs. **Output:** sealed replies, unread.
"""
