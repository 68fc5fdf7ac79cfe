"""Conversion of jobs and replies to bytes and back, without any knowledge of AWS.

**Input:** a call. **Output:** signed bytes. The same in reverse for replies.
"""
