"""Job and reply to bytes and back; knows nothing of AWS.

On entry: a call. On leaving: signed bytes (and the way back).
"""
