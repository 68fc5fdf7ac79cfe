"""What AWS does, as numbers.

On entry: fields given on a command line; on leaving: a frozen `Behaviour`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Behaviour:
    """Times in seconds, faults as the share of requests (or events, or jobs) that have them.

    By default as measured on AWS by others, where a figure is known: 20 ms for a small object, 50
    ms for an invocation, 1,000 environments more every 10 seconds
    (docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html).
    """

    s3_latency: float = 0.02
    invoke_latency: float = 0.05
    event_delay: float = 0.1
    """Median time from an object's creation to its event, log-normal with `event_spread`."""
    event_spread: float = 0.5
    cold_start: float = 0.4
    warm_start: float = 0.001
    concurrency: int = 10_000
    burst: int = 1000
    """Environments that may be started at once, and again in every `burst_every`."""
    burst_every: float = 10.0
    seconds_limit: float = 900.0
    slow: float = 0.0
    """Share of jobs that take `slower` times as long as they should."""
    slower: float = 10.0

    lost_events: float = 0.0
    duplicate_events: float = 0.0
    late_events: float = 0.0
    late_by: float = 30.0
    killed: float = 0.0
    """Share of jobs whose environment dies half way."""
    s3_503: float = 0.0
    s3_500: float = 0.0
    s3_cut: float = 0.0
    """Share of objects read whose connection ends in the middle of the body."""
    invoke_429: float = 0.0
    invoke_500: float = 0.0
    invoke_cut: float = 0.0
    """Share of invocations that run, and whose answer is cut off."""
    expired: float = 0.0
    """Share of requests refused as signed with expired credentials."""
    denied_keys: tuple[str, ...] = ()
    """Access keys that are refused as expired from now on."""
    skewed: float = 0.0
    """Share of requests refused because the client's clock is wrong."""
    seed: int = 0

    def to_json(self) -> str:
        """As `from_json` takes it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Behaviour:
        """Read what `to_json` wrote, or part of it."""
        given = json.loads(text)
        given["denied_keys"] = tuple(given.get("denied_keys", ()))
        return cls(**given)
