"""Credentials with the printed submitter policy as their only permissions."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dolambda.aws.account import Credentials, translated
from dolambda.errors import DolambdaError
from dolambda.provision import policies
from dolambda.provision.deploy import names_of
from support.first_hour.hour import SkippedError

if TYPE_CHECKING:
    from dolambda.aws.account import Account
    from dolambda.provision.names import Names
    from dolambda.settings import Settings

MOST_CHARACTERS = 2048
"""AWS's limit for the policy of a session."""
_SECONDS = 3600


def session_policy(names: Names) -> str:
    """Return the printed policy without white space."""
    return json.dumps(policies.submitter(names), separators=(",", ":"))


@dataclass(frozen=True)
class Federated:
    """Submitters on a real account: sessions of the present IAM user, with the policy. Nothing is
    created that would have to be removed.
    """

    account: Account

    def __call__(self, settings: Settings) -> Credentials:
        """Return credentials for an hour.

        Raises:
            SkippedError: AWS gives them to the keys of an IAM user only.
        """
        policy = session_policy(names_of(self.account, settings))
        try:
            with translated():
                made = self.account.client("sts").get_federation_token(
                    Name="dolambda-test-submitter", Policy=policy, DurationSeconds=_SECONDS
                )["Credentials"]
        except DolambdaError as error:
            raise SkippedError(
                "sts:GetFederationToken was refused. It needs the keys of an IAM user that may "
                f"call it; roles and SSO cannot: {error}"
            ) from error
        return Credentials(made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
