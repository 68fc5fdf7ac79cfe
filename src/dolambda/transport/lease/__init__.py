"""Leases, from which a worker learns that its job is no longer wanted, with every transport.

    client                                   S3                      worker
    Leases.withdraw -- PUT leases/<run> ---->|                       (a task takes seconds)
                                             |<- GET leases/<run> -- |   LeaseQuestion
                                             |                       |   withdrawn: stop, no reply

One small signed object for each run lists the numbers of withdrawn jobs: those that were in flight
when the run was cancelled, or whose tasks were sent again in other jobs. It has three answers:

    wanted      it exists and does not list the job
    cancelled   it exists and lists the job
    unknown     it is missing, denied, not signed, or S3 does not reply in time

Only "cancelled" stops a task. So a run without withdrawn jobs needs no object, and an error on the
way costs compute at worst, never a result. Leases expire after a day.

Workers ask at the times of `dolambda.worker.questions`.
"""
