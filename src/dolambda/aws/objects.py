"""The client's objects on S3.

On entry: keys and bytes; on leaving: bytes, in one bucket, each request counted.

obstore's synchronous calls release the GIL and cost 52 to 68 us a small object where boto3 costs
1,850; its retries (with back-off, of 5xx and broken connections) make a put safe to repeat; but a
list whose body breaks off it does not repeat, so that is done here. It asks for credentials every
few minutes; where AWS calls those it has expired, it is opened again as soon as there are others.
Call from a few threads.
"""

from __future__ import annotations

import os
import re
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import obstore
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.exceptions import (
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from dolambda.aws.account import MEND_CLOCK, is_skewed, translated
from dolambda.aws.denials import denial_hint
from dolambda.aws.pace import Pace
from dolambda.aws.partitions import STANDARD, host, partition_of
from dolambda.aws.request_counter import RequestCounter
from dolambda.errors import AccessDeniedError, AwsError, ConfigurationError, ThrottledError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from obstore.store import ClientConfig, S3Credential

    from dolambda.aws.account import Account

# For credentials: botocore renews them ten minutes before they expire, at the latest.
_ASK_AGAIN = timedelta(minutes=5)
_LISTED = 1000  # keys that one LIST gives
_DELETED = 250
"""Keys of one DeleteObjects, of which each counts as a write: S3 refuses what exceeds 3,500 writes
a second of a prefix, for all who use it. Hadoop's S3A has the same size, for the same reason
(HADOOP-17935).
"""

_DELETIONS_A_SECOND = 2000.0

_THROTTLED = ("503 Service Unavailable", "SlowDown", "429 Too Many Requests")
_EXPIRED = ("ExpiredToken", "TokenRefreshRequired")
_CUT = "request or response body error"  # as obstore has it
_PASSING = (
    *_THROTTLED,
    "500 Internal",
    "502 Bad",
    "504 Gateway",
    "RequestTimeout",
    "OperationAborted",
)
"""Errors that obstore gives up after one second or two, or does not repeat."""
_PATIENCE = 180.0  # seconds: as long as obstore's own
_LONGEST_S = 120.0
"""Seconds of one request, its body included."""

_PART = 16 << 20
"""Bytes that one request carries: in `_LONGEST_S` with 1.1 Mbit/s."""

_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_STRANGE = 5.0  # seconds for which a refusal is repeated without a code of S3's: a captive portal's
_AS_IF_UNSET = {
    "s3_express": False,
    "request_payer": False,
    "unsigned_payload": False,
    "disable_bulk_delete": False,
    "disable_tagging": False,
    "conditional_put": "etag",
    "copy_if_not_exists": "multipart",
    "imdsv1_fallback": False,
    "sse_bucket_key_enabled": False,
}
_ONLY_TO_REPLACE = (  # variable, option, and a value without effect: there is none that means unset
    ("AWS_SERVER_SIDE_ENCRYPTION", "server_side_encryption", "AES256"),
    ("AWS_CHECKSUM_ALGORITHM", "checksum_algorithm", "sha256"),
)


def explicit_config(account: Account) -> Any:
    """Return what obstore would else take from variables of the environment, which win over its other arguments."""
    config: dict[str, Any] = {"skip_signature": False}
    if endpoint := account.endpoint("s3"):
        config |= {
            "endpoint": endpoint,
            "aws_endpoint_url_s3": endpoint,
            "virtual_hosted_style_request": False,
        }
    elif partition_of(account.region) != STANDARD:  # obstore knows no other domain
        config["endpoint"] = f"https://{host('s3', account.region)}"
        config["virtual_hosted_style_request"] = False
    if account.emulated:
        config |= _AS_IF_UNSET
        config |= {
            option: value for name, option, value in _ONLY_TO_REPLACE if os.environ.get(name)
        }
    return config


def _certificates(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"the certificates in {path!r} cannot be read: {error.strerror}",
            hint="Correct AWS_CA_BUNDLE, or ca_bundle in ~/.aws/config.",
        ) from error


class Provider(Boto3CredentialProvider):
    """Gives obstore a boto3 session's credentials, and remembers which."""

    _given = ""

    def __call__(self) -> S3Credential:
        """See obstore's own."""
        found = super().__call__()
        self._given = found["access_key_id"]
        return found

    @property
    def renews(self) -> bool:
        """Whether there may be others later."""
        return hasattr(self.credentials, "refresh_needed")

    def has_others(self) -> bool:
        """Whether there are other credentials by now than those it gave last.

        Raises `AwsError` if they could not be renewed.
        """
        with translated():
            return (
                bool(self._given)
                and self.credentials.get_frozen_credentials().access_key != self._given
            )


class Bucket:
    """One bucket, by an account's credentials, which refresh by themselves while a run goes on."""

    def __init__(
        self, opened: Callable[[Provider], Any], provider: Callable[[], Provider], name: str
    ) -> None:
        """Use `Bucket.from_account`."""
        self._opened = opened
        self._provider = provider
        self._lock = threading.Lock()
        self._using = provider()
        self._store = opened(self._using)
        self.name = name
        self.calls = RequestCounter()
        self._deletions = Pace(_DELETIONS_A_SECOND, _DELETIONS_A_SECOND)

    @classmethod
    def from_account(cls, account: Account, name: str) -> Bucket:
        """Open a bucket; nothing is sent."""
        options: ClientConfig = {
            "timeout": timedelta(seconds=_LONGEST_S),
            "connect_timeout": timedelta(seconds=10),
        }
        if endpoint := account.endpoint("s3"):
            options["allow_http"] = endpoint.startswith("http:")
        if account.ca_bundle:
            options["root_certificate"] = _certificates(account.ca_bundle)
        if account.is_here:
            # A proxy, and no host to use it for: else obstore takes the environment's.
            options["proxy_url"] = "http://127.0.0.1:9"
            options["proxy_excludes"] = "127.0.0.0/8,localhost,::1"
        if account.emulated:  # by plain HTTP: certificates need not be found, valid or not
            options["allow_invalid_certificates"] = True
        config = explicit_config(account)

        def opened(provider: Provider) -> S3Store:
            return S3Store(
                name,
                region=account.region,
                client_options=options,
                retry_config={
                    "max_retries": 10,
                    "retry_timeout": timedelta(minutes=3),
                    "backoff": {
                        "init_backoff": timedelta(milliseconds=50),
                        "max_backoff": timedelta(seconds=5),
                        "base": 2,
                    },
                },
                credential_provider=provider,
                config=config,
            )

        return cls(opened, lambda: Provider(account.session, ttl=_ASK_AGAIN), name)

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Write an object, over one that may be there."""
        parts = -(-len(data) // _PART) if len(data) > _PART else 0
        self._ask(
            "s3:PutObject",
            key,
            lambda: obstore.put(
                self._store, key, data, use_multipart=bool(parts), chunk_size=_PART
            ),
            sent=len(data),
        )
        if parts:  # each part is a request, as are the beginning and the end
            self.calls.add("s3:PutObject", parts + 1)

    def get(self, key: str) -> bytes:
        """Read an object. Raises FileNotFoundError."""
        found = self._ask_one("s3:GetObject", key, lambda: self._first(key))
        if isinstance(found, int):  # its size
            data = b"".join(
                self._ask_one("s3:GetObject", key, partial(self._range, key, at, found))
                for at in range(0, found, _PART)
            )
        else:
            data = found
        self.calls.add("s3:GetObject", 0, received=len(data))
        return data

    def _first(self, key: str) -> bytes | int:
        """Return an object; of a large one the size, as no request may take longer than `_LONGEST_S`."""
        answer = obstore.get(self._store, key)
        size: int = answer.meta["size"]
        return bytes(answer.bytes()) if size <= _PART else size

    def _range(self, key: str, at: int, size: int) -> bytes:
        return bytes(obstore.get_range(self._store, key, start=at, end=min(at + _PART, size)))

    def age(self, key: str) -> float | None:
        """Seconds since an object was written, by S3's clock and this one; None if there is none."""
        try:
            found = self._ask_one("s3:HeadObject", key, lambda: obstore.head(self._store, key))
        except FileNotFoundError:
            return None
        written: datetime = found["last_modified"]
        return (datetime.now(UTC) - written).total_seconds()

    def list(self, prefix: str, after: str | None = None) -> list[str]:
        """Keys that begin with ``prefix`` and come after ``after``, in order; one request for each thousand."""
        return list(self.sizes(prefix, after))

    def sizes(self, prefix: str, after: str | None = None) -> dict[str, int]:
        """As `list`, with the bytes of each object."""
        pages = self._ask(
            "s3:ListBucket",
            prefix,
            lambda: list(obstore.list(self._store, prefix=prefix, offset=after)),
        )
        found = {entry["path"]: entry["size"] for page in pages for entry in page}
        self.calls.add("s3:ListBucket", len(found) // _LISTED)
        return found

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, no faster than S3 allows; ones that are not there do no harm."""
        for at in range(0, len(keys), _DELETED):
            some = list(keys[at : at + _DELETED])
            time.sleep(self._deletions.take(len(some)))
            self._ask(
                "s3:DeleteObjects",
                some[0],
                lambda some=some: obstore.delete(self._store, some),  # type: ignore[misc]
            )

    def _ask_one(self, action: str, key: str, request: Callable[[], Any]) -> Any:
        """As `_ask` for one object. Raises FileNotFoundError.

        S3 answers 403 for a key that is missing, unless one may list the whole bucket. Submitters
        may list our prefixes only, so the list says which of the two it is.
        """
        try:
            return self._ask(action, key, request)
        except AccessDeniedError:
            if self._is_there(key):
                raise
            raise FileNotFoundError(key) from None

    def _is_there(self, key: str) -> bool:
        prefix = key[: key.rfind("/") + 1]
        first = self._ask(
            "s3:ListBucket",
            prefix,
            lambda: next(iter(obstore.list(self._store, prefix=prefix, offset=key[:-1])), []),
        )
        return any(entry["path"] == key for entry in first)

    def _ask(self, action: str, key: str, request: Callable[[], Any], *, sent: int = 0) -> Any:
        begun, pause = time.monotonic(), _PAUSE
        until = begun + _PATIENCE
        while True:
            self.calls.add(action, sent=sent)
            try:
                return request()
            except FileNotFoundError:
                raise
            except BaseError as error:
                what, text = f"{action} on s3://{self.name}/{key}", str(error)
                # A refusal of LIST is a generic error.
                refused = (
                    isinstance(error, (PermissionDeniedError, UnauthenticatedError))
                    or "403 Forbidden" in text
                )
                expired = any(sign in text for sign in _EXPIRED)
                # A denial that is not S3's own; or a HEAD, whose answer has no body to say what is
                # wrong: 403 is told by the listing that follows, 400 is a stalled connection, or
                # expired keys.
                said = "400 Bad Request" not in text if action == "s3:HeadObject" else not refused
                unsaid = not said and "<Code>" not in text
                if (refused or expired or unsaid) and self._renewed():
                    continue
                passing = _CUT in text or any(sign in text for sign in _PASSING)
                again = unsaid or passing or (expired and self._using.renews)
                if again and time.monotonic() < (begun + _STRANGE if unsaid else until):
                    time.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)
                elif not (refused or expired):
                    retried = pause > _PAUSE or re.search(r"after [1-9]\d* retries", text)
                    seconds = time.monotonic() - begun if retried else 0.0
                    raise failed(what, text.splitlines()[0][:300], seconds) from error
                else:
                    code = re.search(r"<Code>(\w+)</Code>", text)
                    raise denied(what, code[1] if code else "", text) from error

    def _renewed(self) -> bool:
        """Use other credentials from now on, if there are some since obstore last asked; tell whether there are."""
        with self._lock:
            if not self._using.has_others():
                return False
            self._using = self._provider()
            self._store = self._opened(self._using)
            return True


def denied(what: str, code: str = "", said: str = "") -> AccessDeniedError:
    """Make the error of a request that S3 denied, perhaps with a code and a reason of its own."""
    if is_skewed(code):
        return AccessDeniedError(
            f"{what} was denied ({code}): this machine's clock and AWS's differ", hint=MEND_CLOCK
        )
    return AccessDeniedError(
        f"{what} was denied{f' ({code})' if code else ''}",
        hint=denial_hint(
            said,
            "The credentials in use lack it, or have expired; `dolambda policy submitter` prints "
            "what is needed.",
        ),
    )


def failed(what: str, said: str, seconds: float) -> AwsError:
    """Make the error of a request that failed, after ``seconds`` of repeating it."""
    repeated = f"It was repeated for {seconds:.1f} s. " if seconds else ""
    if any(sign in said for sign in _THROTTLED):
        return ThrottledError(
            f"{what} failed: {said}",
            hint=f"{repeated}Use fewer workers at a time, or larger tasks, and run it again.",
        )
    return AwsError(
        f"{what} failed: {said}",
        hint=f"{repeated}Is the network up, and the bucket still there?",
    )
