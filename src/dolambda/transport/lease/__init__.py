"""How a worker learns that a job it runs is no longer wanted, whichever transport brought the job.

    client                                   S3                      worker
    Leases.withdraw -- PUT leases/<run> ---->|                       (a task takes seconds)
                                             |<- GET leases/<run> -- |   LeaseQuestion
                                             |                       |   withdrawn: stop, no reply

One small signed object for each run lists the numbers of withdrawn jobs: those that were in flight
when the run was cancelled, or whose tasks were sent again in other jobs. It has three answers:

    wanted      it is there and does not list the job
    cancelled   it is there and lists the job
    unknown     it is missing, denied, not signed, or S3 does not answer in time

Only "cancelled" stops a task. So a run of which nothing was withdrawn needs no object, and what
goes wrong on the way costs compute at worst, never a result. Leases expire after a day.

Workers ask as `dolambda.worker.questions` says.
"""
