"""One Invoke for each job: the lowest latency, without polling.

Both ends, in the order in which a job passes them:

    client                                   Lambda                  worker
    Direct.send    -- Invoke {job} --------> runs the function ----> answer   ... Worker.run
                   <- {reply} ------------------------------------------ |
    with data that exceeds an Invoke's 6 MB:
                   -- PUT blobs/<digest> --> S3
                   -- Invoke {job: digest} ---------------------------> GET blobs/<digest>
                                             S3 <- PUT outs/<run>/<n> -- |
                   <- {at: outs/<run>/<n>} ----------------------------- |
                   -- GET outs/<run>/<n> --> S3

A running invocation learns from the run's lease that it was withdrawn, see
`dolambda.transport.lease`.

**Input:** sealed jobs. **Output:** sealed replies, unread.
"""

INLINE = 6 * 1024 * 1024 - 4096
"""Bytes of JSON, in each direction, that travel in the Invoke itself: Lambda's limit, less the
surrounding JSON.
"""


def fits(size: int) -> bool:
    """Return whether this many bytes fit into the Invoke, as base64 text."""
    return -(-size // 3) * 4 <= INLINE
