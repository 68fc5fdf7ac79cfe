"""What AWS does, as numbers.

On entry: fields given on a command line; on leaving: a frozen `Behaviour`.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

_DURATIONS = (
    "s3_latency",
    "invoke_latency",
    "event_delay",
    "cold_start",
    "warm_start",
    "burst_every",
    "seconds_limit",
    "retry_first",
    "retry_longest",
    "event_age",
    "late_by",
)


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
    retry_first: float = 0.0
    """Pause before a throttled event is tried again, twice as long each time up to `retry_longest`;
    0 lets events begin in order, each the moment that an environment is free.
    """
    retry_longest: float = 300.0
    event_age: float = 21_600.0
    """Age at which a throttled event is dropped."""
    factor: float = 1.0
    """What all durations were divided by. With more than 1, time is a `Timeline`'s."""
    tasks: int = 0
    """Jobs that the client has, for the `Timeline`."""
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

    def divided(self, factor: float) -> Behaviour:
        """Return it with all its durations divided by ``factor``."""
        return replace(
            self, factor=factor, **{name: getattr(self, name) / factor for name in _DURATIONS}
        )

    @classmethod
    def from_json(cls, text: str) -> Behaviour:
        """Read what `to_json` wrote, or part of it."""
        given = json.loads(text)
        given["denied_keys"] = tuple(given.get("denied_keys", ()))
        return cls(**given)
