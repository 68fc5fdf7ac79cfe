"""The strict AWS in front of the emulator: a file for `Instance.from_start(rules=[...])`.

It runs in the emulator's process. The root user, who is the test that looks at what there is, is
subject to no rule; everyone else is subject to all.

    call -> control (root) -> rules, in boto3's words -> emulator, whose own IAM then asks no more
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.append(str(Path(__file__).parents[2]))  # the tests; this is the emulator's own Python

from botocore.exceptions import ConnectionClosedError
from emulator.gateway import Answer, Gateway  # type: ignore[import-not-found]  # as the emulator has it

from support.strict_aws import Options, StrictAws, wire
from support.strict_aws.events import limit_events
from support.strict_aws.rules.permissions import forget_users

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Proceed = Callable[[Any], Awaitable[Any]]

CONTROL = "/strict-aws"
_THREADS = 16
_ACCOUNT = "000000000000"
_clients: dict[str, Any] = {}


def rules() -> list[Callable[[Any, Proceed], Awaitable[Any]]]:
    """Return the one rule of the gateway, which asks all of `StrictAws`."""
    options = Options(account=_ACCOUNT, region=os.environ["MINISTACK_REGION"])
    strict = StrictAws(options)
    _leave_iam_to(strict)
    _answer_behind_a_relay(strict)
    limit_events(strict)
    root = os.environ["AWS_ACCESS_KEY_ID"]
    threads = ThreadPoolExecutor(_THREADS)  # of their own: the emulator's wait for functions

    async def ask_rules(call: Any, proceed: Proceed) -> Any:
        if call.key == root:
            if call.path == CONTROL:
                return _controlled(strict, json.loads(call.body))
            answer = await proceed(call)
            if call.service == "iam":
                forget_users(strict.shared)
            return answer
        await asyncio.sleep(len(call.body) / strict.options.line_bytes_per_s)
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in call.headers}
        target = (call.path, call.query)
        request = wire.request_of(call.service, call.method, target, headers, call.body)
        if request is None:
            return Answer(501, [], f"no model has {call.method} {call.path}".encode())
        request = replace(request, principal=_principal_of(call.key))
        loop = asyncio.get_running_loop()
        try:
            response = await loop.run_in_executor(threads, strict.answer, request, _ask)
        except ConnectionClosedError:  # the client has given up by then: see the rule `slow_line`
            return Answer(500, [], b"")
        if response is None:
            return await proceed(call)
        return Answer(*wire.encoded(request, response, call.method))

    return [ask_rules]


def _controlled(strict: StrictAws, wanted: dict[str, Any]) -> Any:
    """Change options and rules as a test wants, and return the counts."""
    if wanted.get("reset"):
        strict.reset()
    for name, value in wanted.get("options", {}).items():
        kind = type(getattr(strict.options, name))
        setattr(strict.options, name, frozenset(value) if kind is frozenset else kind(value))
    for name, on in wanted.get("switch", {}).items():
        strict.switch(name, on=on)
    asked = [f"{one.service}:{one.operation}" for one in strict.requests]
    content = {"counts": strict.counts, "requests": asked}
    return Answer(200, [(b"content-type", b"application/json")], json.dumps(content).encode())


def _ask(service: str, operation: str, **params: Any) -> dict[str, Any]:
    """Ask the emulator as its root user, past all rules."""
    import boto3  # noqa: PLC0415 - slow

    if service not in _clients:
        _clients[service] = boto3.client(
            service,
            endpoint_url=os.environ["AWS_ENDPOINT_URL"],
            region_name=os.environ["MINISTACK_REGION"],
            aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        )
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", operation).lower()
    return dict(getattr(_clients[service], name)(**params))


def _principal_of(key: str) -> str:
    """Return the ARN of who has a key."""
    from ministack.core import iam_evaluator, responses  # noqa: PLC0415 - the emulator's

    account = (
        responses._account_from_sts_session(key)
        or iam_evaluator.find_iam_access_key_account(key)
        or responses.get_account_id()
    )
    return str(getattr(iam_evaluator.resolve_credential(key, account), "principal_arn", ""))


def _leave_iam_to(strict: StrictAws) -> None:
    """Have the emulator evaluate policies only while no rule here does."""
    from ministack.core import iam_evaluator  # noqa: PLC0415 - the emulator's

    enforce = iam_evaluator.enforce

    def enforce_unless_strict(*given: Any, **named: Any) -> Any:
        if strict.options.iam_definition and strict.is_on("policies_in_force"):
            return None
        return enforce(*given, **named)

    iam_evaluator.enforce = enforce_unless_strict


def _answer_behind_a_relay(strict: StrictAws) -> None:
    """Have the gateway answer requests for the relay's host too: it is in their signatures."""
    refuse = Gateway._refuse_strangers

    def refuse_unless_relayed(gateway: Any, path: str, headers: list[tuple[str, str]]) -> None:
        relayed = ("host", strict.options.relay)
        own = ("host", gateway._authority)
        refuse(gateway, path, [own if one == relayed else one for one in headers])

    Gateway._refuse_strangers = refuse_unless_relayed
