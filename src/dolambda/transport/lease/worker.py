"""The worker's end of leases.

**Input:** a run and a job's number. **Output:** whether the job was withdrawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dolambda.errors import EnvelopeError
from dolambda.wire import keys
from dolambda.wire.envelope import key_of
from dolambda.wire.lease import Lease

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence

    from dolambda.aws.signed_s3 import SignedS3

WANTED, CANCELLED, UNKNOWN = "wanted", "cancelled", "unknown"


class LeaseQuestion:
    """The question for one job.

    The worker calls ``is_wanted``. ``cancelled`` is True once the lease lists the job.
    """

    def __init__(
        self,
        s3: Callable[[], SignedS3],
        signing_keys: Sequence[bytes],
        run: str,
        number: int,
        calls: Counter[str],
    ) -> None:
        """Prepare the question. No request is sent yet. ``calls`` counts the requests."""
        self._s3 = s3
        self._keys = signing_keys
        self._run = run
        self._number = number
        self._calls = calls
        self.cancelled = False

    def is_wanted(self) -> bool:
        """Ask, and return whether to continue. An unknown answer means yes."""
        self.cancelled = self.cancelled or self.answer() == CANCELLED
        return not self.cancelled

    def answer(self) -> str:
        """Ask once, for at most a second."""
        self._calls["s3:GetObject"] += 1
        sealed = self._s3().get_at_once(keys.lease_key(self._run))
        if sealed is None:
            return UNKNOWN
        try:
            lease = Lease.from_bytes(sealed, key_of(sealed, self._keys), self._run)
        except EnvelopeError:  # written without the key, or in another format
            return UNKNOWN
        return CANCELLED if lease.is_withdrawn(self._number) else WANTED
