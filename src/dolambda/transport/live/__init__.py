"""Live output (``logs="live"``): what a long task prints is seen while it runs, whichever transport brought the job.

    worker                                        S3                          client
    OutputSender                                  |                           OutputParts.take
    (a task has run for 2 s)                      |                           (each 1 to 4 s)
      PartWriter -- GET leases/<run> ------------>| is the job still wanted?
                 -- PUT outs/<run>/live/<part> -->|<- LIST outs/<run>/live/ --|
                                                  |<- GET each, DELETE all ---|

Parts are small, signed and numbered. A job's part has a shortest pause after the previous one,
which the client chooses: all jobs of a run together put at most 10 parts a second. What the reply
brings at the end is complete: a part that is lost, or comes late, is only seen later.

Parts are below the run's replies. So they need no permission of their own, a session that closes
removes late ones with late replies, and the bucket's rules expire the rest.
"""
