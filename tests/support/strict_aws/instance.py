"""An emulated AWS behind the strict rules, as tests see it."""

from __future__ import annotations

import json
import os
import shutil
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Keys

from dolambda.aws.account import Account, Credentials
from dolambda.local.instance import REGION, Instance
from dolambda.local.stack import root
from support.strict_aws import StrictAws

if TYPE_CHECKING:
    from dolambda.provision.policies import Policy
    from dolambda.settings import Settings

GATEWAY_RULES = Path(__file__).with_name("gateway_rules.py")


def environment_of(settings: Settings, keys: Credentials) -> dict[str, str]:
    """Return the variables of a shell in which someone uses a stack with these keys."""
    chosen = {
        "AWS_ACCESS_KEY_ID": keys.key,
        "AWS_SECRET_ACCESS_KEY": keys.secret,
        "AWS_DEFAULT_REGION": settings.region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "DOLAMBDA_ENDPOINT_URL": settings.endpoint_url,
        "DOLAMBDA_STACK": settings.stack,
    }
    return {**os.environ, **{name: str(value) for name, value in chosen.items()}}


@dataclass
class StrictInstance:
    """One emulated AWS, whose rules a test switches and counts."""

    instance: Instance

    @classmethod
    def from_start(cls, **options: Any) -> StrictInstance:
        """Start one; ``options`` are fields of `support.strict_aws.Options`.

        Its workers run in Lambda's sandbox where this machine has bubblewrap.
        """
        sandbox = shutil.which("bwrap") is not None
        started = cls(Instance.from_start(workers=2, rules=[GATEWAY_RULES], sandbox=sandbox))
        started.set(**options)
        return started

    @classmethod
    def with_rule(cls, name: str) -> StrictInstance:
        """Start one in which this rule alone is in force."""
        started = cls.from_start()
        for rule in StrictAws.rules():
            started.switch(rule, on=rule == name)
        return started

    def set(self, **options: Any) -> None:
        """Change options of the account, the line, and S3."""
        self._ask(options=options)

    def reset(self) -> None:
        """Put all rules in force, as after the start; what they have counted is forgotten."""
        self._ask(reset=True)

    def switch(self, name: str, *, on: bool) -> None:
        """Put one rule in force, or out of it."""
        self._ask(switch={name: on})

    @property
    def counts(self) -> dict[str, int]:
        """How often each rule has answered."""
        return dict(self._ask()["counts"])

    @property
    def requests(self) -> list[str]:
        """All requests that the rules have seen, such as "s3:GetObject"."""
        return list(self._ask()["requests"])

    def admin(self, settings: Settings) -> tuple[Settings, Account]:
        """Return settings that lead here, and the account of the root user, whom no rule minds."""
        return root(self.instance, settings)

    def user(self, name: str, policy: Policy, settings: Settings) -> Credentials:
        """Make a user, or give one another policy; return new keys."""
        iam = self.admin(settings)[1].client("iam")
        if name not in [one["UserName"] for one in iam.list_users()["Users"]]:
            iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=json.dumps(policy))
        made = iam.create_access_key(UserName=name)["AccessKey"]
        return Credentials(made["AccessKeyId"], made["SecretAccessKey"])

    def _ask(self, **wanted: Any) -> dict[str, Any]:
        url = f"{self.instance.endpoint_url}/strict-aws"
        signed = AWSRequest("POST", url, data=json.dumps(wanted).encode())
        keys = Keys(self.instance.key, self.instance.secret)
        S3SigV4Auth(keys, "s3", REGION).add_auth(signed)
        asked = urllib.request.Request(  # noqa: S310 - this machine
            url, signed.data, dict(signed.headers.items()), method="POST"
        )
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(asked, timeout=30) as answer:
            return dict(json.load(answer))
