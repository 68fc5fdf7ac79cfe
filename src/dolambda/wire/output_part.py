"""A part of a task's output so far, for ``logs="live"``.

**Input:** bytes, and their start in the task's output. **Output:** one small signed object for each
part.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dolambda.errors import EnvelopeError
from dolambda.wire import envelope, keys

MAX_OBJECT = 64 * 1024
"""Largest number of bytes of a part in the bucket."""

MAX_DATA = MAX_OBJECT - 1024
"""Largest number of bytes of output in a part. The rest is reserved for its header."""


@dataclass(frozen=True, slots=True)
class OutputPart:
    """Consecutive bytes of the output of one task.

    Attributes:
        run: Name of the run.
        job: Number of the job.
        attempt: Attempt of the job.
        worker: Name of the worker.
        number: Its position among the parts of this attempt, from 0.
        turn: Number of processes that ran the job before. A task that is run again in a new process
            prints again, from the beginning.
        task: Index of the task in the run.
        start: Bytes of the task's output before it.
        data: The output, not yet decoded: a part may begin and end within a character.
    """

    run: str
    job: int
    attempt: int
    worker: str
    number: int
    turn: int
    task: int
    start: int
    data: bytes = field(repr=False)

    @property
    def key(self) -> str:
        """Key of its object."""
        return keys.part_key(self.run, self.job, self.attempt, self.worker, self.number)

    def to_bytes(self, key: bytes) -> bytes:
        """Return the part sealed with ``key``."""
        header = {
            "run": self.run,
            "job": self.job,
            "attempt": self.attempt,
            "worker": self.worker,
            "number": self.number,
            "turn": self.turn,
            "task": self.task,
            "start": self.start,
        }
        return envelope.seal("output", header, [self.data], key)

    @classmethod
    def from_bytes(cls, data: bytes, key: bytes, place: str) -> OutputPart:
        """Check and open the part found at a key.

        Raises:
            EnvelopeError: It is not a signed part, or belongs to another key.
        """
        with envelope.making_sense("output"):
            header, body = envelope.unseal("output", data, key)
            numbers = {name: int(header[name]) for name in _NUMBERS}
            if min(numbers.values()) < 0 or len(body) > MAX_DATA:
                raise ValueError(f"{numbers} and {len(body)} bytes")
            part = cls(header["run"], worker=header["worker"], data=bytes(body), **numbers)
            if part.key != place:
                raise EnvelopeError(
                    f"the part {part.key} of a task's output in the place of {place}",
                    hint="A signed object was copied to another place.",
                )
        return part


_NUMBERS = ("job", "attempt", "number", "turn", "task", "start")
