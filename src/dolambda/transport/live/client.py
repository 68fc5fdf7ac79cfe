"""The client's end of live output.

**Input:** the bucket. **Output:** parts, checked, each once.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from dolambda.errors import AwsError, EnvelopeError
from dolambda.wire import keys
from dolambda.wire.output_part import MAX_OBJECT, OutputPart

if TYPE_CHECKING:
    from dolambda.aws.objects import Bucket

log = logging.getLogger("dolambda")


class OutputParts:
    """The parts of one run. Not thread-safe."""

    def __init__(self, bucket: Bucket, run: str, key: bytes) -> None:
        """Prepare reading. Nothing is sent. Parts are signed with ``key``."""
        self._bucket = bucket
        self._run = run
        self._key = key

    def take(self) -> list[OutputPart]:
        """Return the existing parts, those of a job in order, and remove them. This method blocks.

        A part that cannot be read now stays for the next call, with the later parts of its job.
        Objects that are no parts of this run are removed.

        Raises:
            AwsError: The parts cannot be listed or removed.
        """
        sizes = self._bucket.sizes(keys.parts_prefix(self._run))
        parts: list[OutputPart] = []
        done: list[str] = []
        unread: set[tuple[int, int, str]] = set()
        for key in sorted(sizes):
            place = keys.parse_part_key(self._run, key)
            if place is None or place[:3] in unread:
                continue
            try:
                if sizes[key] <= MAX_OBJECT:
                    parts.append(OutputPart.from_bytes(self._bucket.get(key), self._key, key))
                done.append(key)
            except EnvelopeError as refused:
                log.warning("refused %s", refused)
                done.append(key)
            except (AwsError, FileNotFoundError) as error:
                log.debug("a part of a task's output could not be read: %s", error)
                unread.add(place[:3])
        if done:
            self._bucket.delete(done)
        return parts
