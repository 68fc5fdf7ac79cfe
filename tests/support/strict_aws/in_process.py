"""Put the rules before every request that a boto3 session makes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from support.strict_aws.base import Request

if TYPE_CHECKING:
    from dolambda.aws.account import Account
    from support.strict_aws.base import StrictAws


class _Sent:
    raw = None  # GetBucketLocation's body would be parsed a second time

    def __init__(self, status: int) -> None:
        self.status_code = status


def before(account: Account, strict: StrictAws) -> Account:
    """Return the account, whose clients made from now on ask the rules first."""
    import boto3  # noqa: PLC0415 - only here

    keys = account.session.get_credentials().get_frozen_credentials()
    beneath = boto3.Session(
        keys.access_key, keys.secret_key, keys.token, region_name=account.region
    )
    clients: dict[str, Any] = {}

    def ask(service: str, operation: str, **params: Any) -> dict[str, Any]:
        if service not in clients:
            clients[service] = beneath.client(service, endpoint_url=account.endpoint_url)
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", operation).lower()
        return dict(getattr(clients[service], name)(**params))

    def remember(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["strict_params"] = dict(params)

    def answer(model: Any, context: dict[str, Any], **_: Any) -> tuple[_Sent, Any] | None:
        request = Request(
            model.service_model.service_name, model.name, context.get("strict_params", {})
        )
        response = strict.answer(request, ask)
        return None if response is None else (_Sent(response.status), dict(response.body))

    events = account.session.events
    events.register("provide-client-params", remember)
    events.register("before-call", answer)
    return account
