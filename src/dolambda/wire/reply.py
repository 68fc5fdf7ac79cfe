"""The object that a worker writes for one job.

**Input:** its tasks' outcomes. **Output:** `Reply`, sealed and opened.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dolambda.wire import envelope
from dolambda.wire.job import BodyReader
from dolambda.wire.outcome import Lost, Usage
from dolambda.wire.outcome_table import OutcomeTable

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Reply:
    """The outcomes of one job.

    Attributes:
        run: Name of the run.
        number: Number of the job.
        attempt: Attempt of the job that this replies to.
        outcomes: One outcome for each task, in the order of the job.
        usage: Resources that running the job took.
        refusal: Why the whole job was refused. There are no outcomes then.
    """

    run: str
    number: int
    attempt: int
    outcomes: OutcomeTable
    usage: Usage = field(default_factory=Usage)
    refusal: Lost | None = None

    def to_bytes(self, key: bytes) -> bytes:
        """Return the reply sealed with ``key``."""
        refusal: Mapping[str, str] | None = None
        if self.refusal:
            refusal = {
                "reason": self.refusal.reason,
                "detail": self.refusal.detail,
                "hint": self.refusal.hint,
            }
        header: dict[str, Any] = {
            "run": self.run,
            "job": self.number,
            "attempt": self.attempt,
            "usage": self.usage.to_header(),
            "refusal": refusal,
            "outcomes": self.outcomes.to_header(),
        }
        return envelope.seal("reply", header, self.outcomes.to_body(), key)

    @classmethod
    def from_bytes(cls, data: bytes | memoryview, key: bytes) -> Reply:
        """Check and open a sealed reply, without unpickling anything.

        Raises:
            EnvelopeError: The bytes are not a reply that is signed with ``key``.
        """
        with envelope.making_sense("reply"):
            header, body = envelope.unseal("reply", data, key)
            return cls(
                run=header["run"],
                number=header["job"],
                attempt=header["attempt"],
                outcomes=OutcomeTable.from_parts(header["outcomes"], BodyReader(body)),
                usage=Usage(**header["usage"]),
                refusal=Lost(**header["refusal"]) if header["refusal"] else None,
            )
