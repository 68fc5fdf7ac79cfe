"""One Invoke a job: the lowest latency, and nothing is polled.

Both ends of the conversation, in the order in which a job meets them:

    client                                   Lambda                  worker
    Direct.send    -- Invoke {job} --------> runs the function ----> answer   ... Worker.run
                   <- {reply} ------------------------------------------ |
    with what does not fit into an Invoke's 6 MB:
                   -- PUT blobs/<digest> --> S3
                   -- Invoke {job: digest} ---------------------------> GET blobs/<digest>
                                             S3 <- PUT outs/<run>/<n> -- |
                   <- {at: outs/<run>/<n>} ----------------------------- |
                   -- GET outs/<run>/<n> --> S3

An invocation in flight learns from the run's lease that it was withdrawn, see
`dolambda.transport.lease`. Input: sealed jobs. Output: sealed replies, unread.
"""

INLINE = 6 * 1024 * 1024 - 4096
"""Bytes of JSON, either way, that go with the Invoke itself: Lambda's limit, and room for what is
around it.

docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""


def fits(size: int) -> bool:
    """Return whether so many bytes go with the Invoke, where they are base64 text."""
    return -(-size // 3) * 4 <= INLINE
