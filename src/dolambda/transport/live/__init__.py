"""Live output (``logs="live"``): the output of a long task, shown while it runs.

It works with every transport.

    worker                                        S3                          client
    OutputSender                                  |                           OutputParts.take
    (a task has run for 2 s)                      |                           (each 1 to 4 s)
      PartWriter -- GET leases/<run> ------------>| is the job still wanted?
                 -- PUT outs/<run>/live/<part> -->|<- LIST outs/<run>/live/ --|
                                                  |<- GET each, DELETE all ---|

Parts are small, signed and numbered. The client chooses the shortest pause between two parts of a
job: all jobs of a run together put at most 10 parts a second. The reply contains the whole output,
so a part that is lost or late is only shown later.

Parts are stored below the run's replies. So they need no permission of their own, a session that
closes removes late parts with late replies, and the bucket's rules expire the rest.
"""
