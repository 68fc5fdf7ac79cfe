"""An AWS account, as the user's credentials give access to it.

**Input:** credentials in the user's form. **Output:** boto3 clients, and dolambda's errors for
those of AWS.

boto3 is imported on first use only. It serves for credentials and the control plane. The hot path
is in objects.py.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dolambda.aws.certificates import checked
from dolambda.aws.credential_errors import not_loaded, translated_error, valid_endpoint
from dolambda.aws.denials import denial_hint
from dolambda.aws.partitions import host, partition_of
from dolambda.errors import (
    AccessDeniedError,
    AwsError,
    ConfigurationError,
    DolambdaError,
    ThrottledError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dolambda.settings import Settings

Interceptor = Callable[[str, str, dict[str, Any]], dict[str, Any] | None]
"""Function that is called with service, operation and parameters of a request before it is sent."""

_DENIED = {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "AllAccessDisabled"}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired"}
_UNKNOWN = {
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "InvalidToken",
}
_SKEWED = ("RequestTimeTooSkewed", "Signature expired", "Signature not yet current")
_THROTTLED = {
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "SlowDown",
}


@dataclass(frozen=True)
class Credentials:
    """Keys of the user, or a boto3 session.

    By default neither: boto3 then searches its usual places.
    """

    key: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    session: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Check that the credentials are complete."""
        if bool(self.key) != bool(self.secret):
            given, missing = ("key", "secret") if self.key else ("secret", "key")
            raise ConfigurationError(
                f"{given}= was given without {missing}=",
                hint="Use both, or neither for the credentials of `aws configure`.",
            )


_EXPLICIT = {"use_fips_endpoint": False, "use_dualstack_endpoint": False}


def is_this_machine(url: str) -> bool:
    """Return whether a URL leads to this machine, for which no proxy is used."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


class _Sent:
    """The attributes that botocore needs of an HTTP response whose content is already parsed."""

    status_code = 200


_SECRETS = re.compile(r"((?:DOLAMBDA_KEY\w*|SecretAccessKey)\W{1,12})[^\"'\\<>\s,}]{16,}")
_SPEAKING = (
    "botocore.parsers",
    "botocore.endpoint",
    "botocore.hooks",
    "botocore.httpsession",
    "botocore.retryhandler",
    "botocore.retries",
)


class _Redacting(logging.Filter):
    """Filter of the signing keys in botocore's log.

    At debug level botocore logs complete requests and replies, and the signing keys are in the
    function's environment.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Remove the keys. Let everything else pass."""
        said = record.getMessage()
        told = _SECRETS.sub(r"\1(not shown)", said)
        if told != said:
            record.msg, record.args = told, ()
        return True


_redacting = _Redacting()


class Account:
    """An AWS account and region, accessed with some credentials."""

    def __init__(
        self, session: Any, region: str, endpoint_url: str | None, *, emulated: bool = False
    ) -> None:
        """Use `Account.from_settings` or `Account.emulated_at`."""
        self.session = session
        self.region = region
        self.endpoint_url = endpoint_url
        self.emulated = emulated
        self.is_here = endpoint_url is not None and is_this_machine(endpoint_url)
        self._clients: dict[str, Any] = {}
        self._interceptor: Interceptor | None = None
        self._is_placeholder = False

    @classmethod
    def from_settings(cls, settings: Settings, credentials: Credentials | None = None) -> Account:
        """Find credentials and region. Nothing is sent.

        Raises:
            ConfigurationError: No region is set, or the credentials are malformed.
        """
        credentials = credentials or Credentials()
        with translated():
            session = credentials.session or _session(settings, credentials)
        region = settings.region or session.region_name
        if not region:
            raise _without_region(settings, credentials=_has_credentials(session))
        return cls(session, region, settings.endpoint_url)

    @classmethod
    def emulated_at(cls, endpoint_url: str, region: str, key: str, secret: str) -> Account:
        """Return the account of AWS emulated on this machine, without the user's configuration."""
        from dolambda.aws.sealed_session import sealed_session  # noqa: PLC0415 - slow, as boto3

        return cls(sealed_session(key, secret, region), region, endpoint_url, emulated=True)

    @classmethod
    def placeholder(cls, number: str, region: str) -> Account:
        """Return an account that nobody has, to print what a real one would contain.

        It denies every request. Nothing is sent.
        """
        from dolambda.aws.sealed_session import sealed_session  # noqa: PLC0415 - slow, as boto3

        account = cls(sealed_session("none", "none", region), region, None)
        account.number = number
        account._is_placeholder = True
        return account

    def endpoint(self, service: str) -> str | None:
        """Return the URL of a service if it is not the region's usual one, else None.

        boto3 uses the same URL: all requests must go to the same place, whether a variable
        (AWS_ENDPOINT_URL, AWS_USE_FIPS_ENDPOINT, ...) or the user's profile names it.
        """
        if self.endpoint_url:
            return self.endpoint_url
        found = str(self.client(service).meta.endpoint_url).rstrip("/")
        found = found.replace(".aws-global.", f".{self.region}.")  # botocore's S3 in us-east-1
        suffix = partition_of(self.region).dns_suffix
        usual = (f"https://{host(service, self.region)}", f"https://{service}.{suffix}")
        return None if found in usual else found

    @property
    def s3_for_workers(self) -> str | None:
        """Return the URL of S3 that workers use where FIPS or dual-stack endpoints are asked for.

        None: the usual one. What else leads elsewhere, such as the endpoint of a VPC or a proxy,
        is of this network, and not of the one that workers run in.
        """
        config = self.client("s3").meta.config
        asked = config.use_fips_endpoint or config.use_dualstack_endpoint
        found = self.endpoint("s3") if asked and not self.endpoint_url else None
        is_aws = found is not None and found.endswith(partition_of(self.region).dns_suffix)
        return found if is_aws else None

    @cached_property
    def ca_bundle(self) -> str | None:
        """File with the trusted certificates, from AWS_CA_BUNDLE or the user's profile.

        Raises:
            ConfigurationError: There are no certificates in it.
        """
        if self.emulated:
            return None
        botocore = getattr(self.session, "_session", None)  # boto3 has no public access to it
        found = botocore.get_config_variable("ca_bundle") if botocore else None
        return checked(found) if found else None

    def client(self, service: str) -> Any:
        """Return the boto3 client of a service. It is created once."""
        if service not in self._clients:
            from botocore.config import Config  # noqa: PLC0415 - slow, as boto3

            config = Config(
                retries={"mode": "standard", "max_attempts": 5},
                connect_timeout=10,
                read_timeout=60,
                s3={"addressing_style": "path"} if self.endpoint_url else {},
                proxies={} if self.is_here else None,  # None for those of the environment
                **(_EXPLICIT if self.emulated else {}),
            )
            _ = self.ca_bundle  # boto3 would blame the connection
            _ = self._credentials
            with valid_endpoint(), translated():
                self._clients[service] = self.session.client(
                    service, region_name=self.region, endpoint_url=self.endpoint_url, config=config
                )
            for name in _SPEAKING:
                # Adding the same filter twice has no effect.
                logging.getLogger(name).addFilter(_redacting)
            events = self._clients[service].meta.events
            events.register("provide-client-params", self._remember)
            events.register("before-call", self._intercept)
        return self._clients[service]

    @cached_property
    def _credentials(self) -> Any:
        return credentials_of(self.session)

    def intercept(self, interceptor: Interceptor) -> None:
        """Pass each request of the control plane to ``interceptor`` before it is sent.

        If it returns something other than None, that is taken for the reply of AWS.
        """
        self._interceptor = interceptor

    def _remember(self, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        context["dolambda_params"] = dict(params)

    def _intercept(
        self, model: Any, context: dict[str, Any], **_: Any
    ) -> tuple[_Sent, dict[str, Any]] | None:
        answer = self._interceptor and self._interceptor(
            model.service_model.service_name, model.name, context.get("dolambda_params", {})
        )
        if answer is None and self._is_placeholder:
            from botocore.exceptions import ClientError  # noqa: PLC0415 - slow, as boto3

            denied = {"Code": "AccessDenied", "Message": "there are no AWS credentials"}
            raise ClientError({"Error": denied}, model.name)
        return None if answer is None else (_Sent(), answer)

    @cached_property
    def number(self) -> str:
        """The account's twelve digits."""
        with translated():
            return str(self.client("sts").get_caller_identity()["Account"])


def _session(settings: Settings, credentials: Credentials) -> Any:
    """Return a boto3 session with these credentials, or those that boto3 finds."""
    import boto3  # noqa: PLC0415 - 0.4 s, which an import of dolambda must not take
    import botocore.session  # noqa: PLC0415 - as boto3

    from dolambda.aws.models import share_models  # noqa: PLC0415 - as boto3

    core = botocore.session.get_session()
    session = boto3.Session(
        aws_access_key_id=credentials.key,
        aws_secret_access_key=credentials.secret,
        aws_session_token=credentials.token,
        region_name=settings.region,
        profile_name=settings.profile,
        botocore_session=core,
    )
    share_models(core)
    return session


def _without_region(settings: Settings, *, credentials: bool) -> ConfigurationError:
    """Return the error for an account without a region, and perhaps without credentials."""
    lacking = "" if credentials else ", and there are no AWS credentials"
    if credentials:
        hint = "Set region=, or AWS_DEFAULT_REGION, or run `aws configure`."
    else:
        hint = (
            "Run `aws configure`, or use AWS emulated on this machine: dolambda.register('local')."
        )
    if "AWS_REGION" in os.environ:
        hint += " AWS_REGION is set, but boto3 does not read it."
    if difflib.get_close_matches(settings.stack, ["local"]):
        hint = f"{settings.stack!r} is taken for the name of a stack on AWS. {hint}"
    return ConfigurationError(f"no AWS region is set{lacking}", hint=hint)


def _has_credentials(session: Any) -> bool:
    try:
        return credentials_of(session) is not None
    except DolambdaError:  # credentials are set, but useless
        return True


def has_credentials() -> bool:
    """Return whether boto3 finds credentials in its usual places."""
    import boto3  # noqa: PLC0415 - slow

    with translated():
        session = boto3.Session()
    return credentials_of(session) is not None


def credentials_of(session: Any) -> Any:
    """Return a boto3 session's credentials, loaded, or None if there are none.

    Raises:
        ConfigurationError: The place that a profile or a variable names does not provide any.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow, as boto3

    with translated():
        try:
            found = session.get_credentials()
            if found is not None:
                found.get_frozen_credentials()
        except (BotoCoreError, ClientError):
            raise
        except Exception as error:  # what a profile names can fail in any way
            raise not_loaded(error) from error
    return found


def default_region() -> str | None:
    """Return the region that boto3 finds in its usual places."""
    import boto3  # noqa: PLC0415 - slow

    with translated():
        found: str | None = boto3.Session().region_name
    return found


@contextmanager
def translated() -> Iterator[None]:
    """Context that replaces errors of AWS and boto3 by dolambda's, each with a hint."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - slow, as boto3
    from botocore.parsers import ResponseParserError  # noqa: PLC0415 - slow, as boto3

    try:
        yield
    except ClientError as error:
        raise _ours(error) from error
    except BotoCoreError as error:
        raise translated_error(error) from error
    except ResponseParserError as error:
        said = " ".join(str(error).split())[:300]
        raise AwsError(f"another server replied in AWS's place: {said}", hint=_STRANGER) from error


_STRANGER = "Check endpoint_url=, and for a proxy, or a network that asks for a login."


MEND_CLOCK = (
    "Set this machine's clock (`timedatectl`, or the system's settings): AWS refuses "
    "requests whose time differs by more than some minutes."
)


_NOT_AHEAD_S = 2.0
"""Seconds that do not show a difference of the clocks: replies are dated by the second, and take
time.
"""


def ahead_of_here(answer: Mapping[str, Any]) -> float:
    """Return the seconds by which AWS's clock is ahead, from a reply that just arrived."""
    try:
        dated = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
        ahead = parsedate_to_datetime(dated).timestamp() - time.time()
    except (KeyError, TypeError, ValueError):  # the reply contains no date
        return 0.0
    return ahead if abs(ahead) > _NOT_AHEAD_S else 0.0


def is_skewed(said: str) -> bool:
    """Return whether AWS refused a request because of the time at which it was signed."""
    return any(sign in said for sign in _SKEWED)


def error_code(error: Exception) -> str:
    """Return AWS's name for an error that boto3 raised."""
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))


def _ours(error: Any) -> AwsError | ConfigurationError:
    code, text = error_code(error), str(error)
    if is_skewed(text):
        return ConfigurationError(text, hint=MEND_CLOCK)
    if code in _DENIED:
        missing = (
            "The credentials in use lack that permission: `dolambda policy submitter` (or "
            "deployer) prints all that are needed."
        )
        return AccessDeniedError(text, hint=denial_hint(text, missing))
    if code in _EXPIRED:
        return ConfigurationError(
            text,
            hint="The credentials have expired: log in again (`aws sso login`) or get a new token.",
        )
    if code in _UNKNOWN:
        return ConfigurationError(
            text,
            hint="AWS does not know these credentials: check key=, secret= and token=, or the "
            "profile. "
            "Or the region is one that is not enabled in this account.",
        )
    if code in _THROTTLED:
        return ThrottledError(
            text,
            hint="It was repeated with pauses. Wait a minute. If it happens again, ask AWS for a "
            "higher quota.",
        )
    return AwsError(text, hint="AWS refused the request for that reason.")
