"""The remote side: bytes in, tasks run, bytes out.

It knows nothing of AWS, and is the only place where user code is called.

Worker (worker.py)        in the process that Lambda calls: checks the job, and supervises ...
  |                       (child_run.py)
  |-- overhead.py         time for fetching jobs and sending replies, which is billed too
  `-- Child (child.py)    ... a child process, kept while warm; frames.py is their protocol
        serve.py          the child's own side: jobs in, outcomes out
        run_job.py        one task after the other
        explain.py        notes about what a worker lacks
        process_state.py  the state that tasks share, and may have broken
        blob_cache.py     functions, blobs and code archives, kept while warm
        unpacking.py      code archives and bundles in /tmp, each in a directory named by content
        import_path.py    the import path of Python programs that tasks start
        disk.py           blobs in /tmp, which outlive the child
        capture.py        output and log records of tasks
"""
