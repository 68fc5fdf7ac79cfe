"""The client's end of leases.

**Input:** numbers of withdrawn jobs. **Output:** the run's lease in the bucket.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from dolambda.errors import AwsError
from dolambda.wire import keys
from dolambda.wire.lease import Lease

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dolambda.aws.objects import Bucket

log = logging.getLogger("dolambda")


class Leases:
    """The leases of one client's runs. Thread-safe."""

    def __init__(self, bucket: Bucket, key: bytes) -> None:
        """Prepare the leases, which are signed with ``key``. Nothing is sent yet."""
        self._bucket = bucket
        self._key = key
        self._lock = threading.Lock()  # held while writing: an older list must not be the last
        self._withdrawn: dict[str, set[int]] = {}

    def withdraw(self, run: str, numbers: Iterable[int]) -> None:
        """Inform workers that these jobs are no longer wanted. This method blocks.

        A failure is logged: the jobs then run to their end, and are billed.
        """
        with self._lock:
            withdrawn = self._withdrawn.setdefault(run, set())
            new = set(numbers) - withdrawn
            if not new:
                return
            withdrawn |= new
            lease = Lease.from_numbers(run, withdrawn)
            try:
                self._bucket.put(keys.lease_key(run), lease.to_bytes(self._key))
            except AwsError as error:
                withdrawn -= new
                log.warning(
                    "run %s: workers could not be informed, %s jobs run to their end: %s",
                    run,
                    len(new),
                    error,
                )
