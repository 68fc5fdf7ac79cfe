"""Errors that botocore raises before AWS replies: credentials, configuration, regions.

**Input:** a `BotoCoreError`. **Output:** dolambda's error, with a hint.
"""

from __future__ import annotations

import difflib
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dolambda.aws.certificates import UNTRUSTED_HINT, is_untrusted
from dolambda.errors import AwsError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dolambda.errors import DolambdaError

_SSO = "Log in: `aws sso login`, with --profile for a named one. Then repeat the command."
_LOGIN = "Log in again: `aws login`, with --profile for a named one. Then repeat the command."
_HINTS = {
    "NoCredentialsError": "Run `aws configure`, or use profile= or key= and secret=, "
    "or run without AWS: dolambda.register('local').",
    "PartialCredentialsError": "Set both access key and secret key in that place, or neither.",
    "MissingDependencyException": (
        "Install it: `pip install 'botocore[crt]'`. `aws login` needs it."
    ),
    "LoginError": _LOGIN,
    "SSOError": _SSO,
    "TokenRetrievalError": _SSO,
    "CredentialRetrievalError": "Correct the profile, or what it takes the credentials from.",
    "ConfigParseError": (
        "Correct that file: each section begins with [name], each line below is name = value."
    ),
    "InvalidConfigError": "Correct that profile in ~/.aws/config.",
    "ProfileNotFound": "`aws configure list-profiles` shows the ones there are.",
    "InvalidRegionError": "Set region= (--region) to a region such as eu-central-1.",
    "NoRegionError": "Set region= (--region), or AWS_DEFAULT_REGION, or run `aws configure`.",
}
"""Hints by the class of the error, or its nearest base class."""


def translated_error(error: Exception) -> DolambdaError:
    """Return dolambda's error for one of botocore's."""
    said = str(error).strip()
    for kind in type(error).__mro__:
        if kind.__name__ in _HINTS:
            said = (
                "no AWS credentials were found" if kind.__name__ == "NoCredentialsError" else said
            )
            return ConfigurationError(
                said, hint=_PROCESS if _OF_PROCESS in said else _HINTS[kind.__name__]
            )
        if kind.__name__.startswith("Invalid"):
            return ConfigurationError(said, hint=_SETTING)
    if is_untrusted(said):
        return ConfigurationError(said, hint=UNTRUSTED_HINT)
    return AwsError(said, hint=_unknown_region(said) or _OTHERS)


def not_loaded(error: Exception) -> ConfigurationError:
    """Return the error for credentials that could not be loaded, for a reason of any kind."""
    if isinstance(error, EOFError):
        return ConfigurationError(
            "the profile asks for an MFA code, and nobody can type one here",
            hint="Use a profile with a session: `aws sso login`, or a token of "
            "`aws sts get-session-token`.",
        )
    said = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) else str(error)
    return ConfigurationError(f"the AWS credentials could not be loaded: {said}", hint=_PLACES)


@contextmanager
def valid_endpoint() -> Iterator[None]:
    """Context that raises our error for an endpoint that is no URL."""
    try:
        yield
    except ValueError as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(str(error), hint=_SETTING) from error


_OF_PROCESS = "custom-process"
_PROCESS = (
    "Run the command of credential_process= in ~/.aws/config by hand: it has to print credentials "
    "as JSON."
)
_PLACES = (
    "Correct the profile in ~/.aws/config, and what it names: a command (credential_process=), a "
    "file, or a role. A command has to print credentials as JSON that have not expired."
)
_SETTING = "Correct that setting in ~/.aws/config, or the variable AWS_..., or endpoint_url=."
_OTHERS = "Check the network, region= and endpoint_url=."


def _unknown_region(said: str) -> str:
    """Return a hint if an endpoint was unreachable and botocore does not know its region."""
    import boto3  # noqa: PLC0415 - 0.4 s, which an import of dolambda must not take

    found = re.search(r"https://[\w.-]+?\.([a-z]+(?:-[a-z]+)+-\d+)\.", said)
    if not found:
        return ""
    session = boto3.Session(region_name="us-east-1", profile_name=None)
    known = [
        region
        for partition in session.get_available_partitions()
        for region in session.get_available_regions("lambda", partition)
    ]
    if found[1] in known:
        return ""
    near = difflib.get_close_matches(found[1], known, 3)
    like = f" Similar ones are {', '.join(near)}." if near else ""
    return f"Check the region {found[1]!r} (region=, --region).{like}"
