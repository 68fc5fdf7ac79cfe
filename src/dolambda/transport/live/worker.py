"""The worker's end of live output.

**Input:** sealed parts. **Output:** objects in the bucket.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from dolambda.aws.signed_s3 import SignedS3
    from dolambda.transport.lease.worker import LeaseQuestion


class PartWriter:
    """Writer of the parts of one job, as long as it is wanted.

    Nobody removes a part that arrives after the end of its run.
    """

    def __init__(
        self, s3: Callable[[], SignedS3], question: LeaseQuestion, calls: Counter[str]
    ) -> None:
        """Prepare writing. ``calls`` counts the requests."""
        self._s3 = s3
        self._question = question
        self._calls = calls

    def put(self, key: str, data: bytes) -> bool:
        """Write a part, within two seconds. Return whether it was written."""
        if not self._question.is_wanted():
            return False
        self._calls["s3:PutObject"] += 1
        return self._s3().put_at_once(key, data)
