"""The remote side: bytes -> run the tasks -> bytes.

Knows nothing of AWS, and is the only place user code is called.

Worker (worker.py)        in the process Lambda talks to: checks the job, and watches over (child_run.py) ...
  |-- overhead.py         what fetching jobs and sending replies takes, which is billed too
  `-- Child (child.py)    ... a child process, kept while warm; frames.py is what they say to each other
        serve.py          the child's own side: jobs in, outcomes out
        run_job.py        one task after the other
        process_state.py  what tasks share, and may have broken
        blob_cache.py          functions, blobs and code bundles, kept while warm
        unpacking.py      code archives and bundles in /tmp, each in a directory named by its content
        import_path.py    what Python programs that tasks start can import
        disk.py           blobs in /tmp, which outlive the child
        capture.py        what tasks print and log
        initialise.py, prepare.py, randomness.py    what is sent in a function's place: with an initializer, packages, a seed
"""
