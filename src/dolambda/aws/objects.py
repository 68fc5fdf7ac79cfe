"""The client's objects on S3.

**Input:** keys and bytes. **Output:** bytes, in one bucket, with each request counted.

obstore's synchronous calls release the GIL and cost 52 to 68 us for a small object; boto3 costs
1,850. Its retries (with back-off, after 5xx and broken connections) make a put safe to repeat. It
does not repeat a list whose body breaks off, so that is done here. It asks for credentials every
few minutes. If AWS reports that they have expired, the bucket is opened again as soon as there are
others. Use it from a few threads.
"""

from __future__ import annotations

import math
import os
import re
import threading
import time
from collections import deque
from contextlib import suppress
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
from dolambda.aws.certificates import UNTRUSTED_HINT, is_untrusted
from dolambda.aws.denials import denial_hint
from dolambda.aws.pace import Pace
from dolambda.aws.partitions import STANDARD, host, partition_of
from dolambda.aws.request_counter import RequestCounter
from dolambda.errors import AccessDeniedError, AwsError, ThrottledError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from obstore.store import ClientConfig, RetryConfig, S3Credential

    from dolambda.aws.account import Account

# For credentials. botocore renews them at least ten minutes before they expire.
_ASK_AGAIN = timedelta(minutes=5)
_LISTED = 1000  # keys in the reply to one LIST
_DELETED = 250
"""Keys of one DeleteObjects.

Each counts as a write: S3 refuses more than 3,500 writes a second under a prefix, for all users
together. Hadoop's S3A uses the same number for the same reason (HADOOP-17935).
"""

_DELETIONS_A_SECOND = 2000.0
_DELETIONS_AT_ONCE = 4  # requests

_THROTTLED = ("503 Service Unavailable", "SlowDown", "429 Too Many Requests")
_EXPIRED = ("ExpiredToken", "TokenRefreshRequired")
_CUT = "request or response body error"  # obstore's words
_PASSING = (
    *_THROTTLED,
    "500 Internal",
    "502 Bad",
    "504 Gateway",
    "RequestTimeout",
    "OperationAborted",
)
"""Errors that obstore gives up after one or two seconds, or does not repeat."""
_PATIENCE = 180.0  # seconds, like obstore's own
_LONGEST_S = 120.0
"""Seconds of one request, including its body."""

_PART = 16 << 20
"""Bytes of one request: with 1.1 Mbit/s they take `_LONGEST_S`."""

_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
# Seconds in which a refusal without a code of S3 is repeated: it may come from a captive portal.
_STRANGE = 5.0
_RETRIES: RetryConfig = {
    "max_retries": 10,
    "retry_timeout": timedelta(minutes=3),
    "backoff": {
        "init_backoff": timedelta(milliseconds=50),
        "max_backoff": timedelta(seconds=5),
        "base": 2,
    },
}
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
_ONLY_TO_REPLACE = (  # variable, option, and a value without effect, because no value means "unset"
    ("AWS_SERVER_SIDE_ENCRYPTION", "server_side_encryption", "AES256"),
)


def explicit_config(account: Account) -> Any:
    """Return options that obstore would otherwise take from environment variables.

    The variables would take precedence over its other arguments.
    """
    config: dict[str, Any] = {"skip_signature": False, "checksum_algorithm": "sha256"}
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


class Provider(Boto3CredentialProvider):
    """Provider of a boto3 session's credentials for obstore, which remembers the last ones."""

    _given = ""

    def __call__(self) -> S3Credential:
        """See obstore's own provider."""
        found = super().__call__()
        self._given = found["access_key_id"]
        return found

    @property
    def renews(self) -> bool:
        """True if the credentials may change later."""
        return hasattr(self.credentials, "refresh_needed")

    def has_others(self) -> bool:
        """Return whether there are other credentials than those provided last.

        Raises:
            AwsError: They could not be renewed.
        """
        with translated():
            return (
                bool(self._given)
                and self.credentials.get_frozen_credentials().access_key != self._given
            )


class Bucket:
    """One bucket, opened with an account's credentials, which are refreshed during a run."""

    def __init__(
        self,
        opened: Callable[[Provider], tuple[S3Store, S3Store]],
        provider: Callable[[], Provider],
        name: str,
    ) -> None:
        """Use `Bucket.from_account`."""
        self._opened = opened
        self._provider = provider
        self._lock = threading.Lock()
        self._using = provider()
        self._store, self._listed = opened(self._using)
        self.name = name
        self.calls = RequestCounter()
        self._deletions = Pace(_DELETIONS_A_SECOND, _DELETIONS_A_SECOND)

    @classmethod
    def from_account(cls, account: Account, name: str, owner: str = "") -> Bucket:
        """Open a bucket; nothing is sent.

        S3 refuses requests if the bucket is not the ``owner``'s, an account.
        """
        options: ClientConfig = {
            "timeout": timedelta(seconds=_LONGEST_S),
            "connect_timeout": timedelta(seconds=10),
        }
        if endpoint := account.endpoint("s3"):
            options["allow_http"] = endpoint.startswith("http:")
        if account.ca_bundle:
            options["root_certificate"] = Path(account.ca_bundle).read_bytes()
        if account.is_here:
            # A proxy that is used for no host: otherwise obstore uses the environment's.
            options["proxy_url"] = "http://127.0.0.1:9"
            options["proxy_excludes"] = "127.0.0.0/8,localhost,::1"
        if account.emulated:  # plain HTTP: certificates are not needed
            options["allow_invalid_certificates"] = True
        config = explicit_config(account)

        # obstore signs the header, but not that of a LIST, which S3 would refuse: by it no data
        # leaves.
        owned: ClientConfig = {**options}
        if owner:
            owned["default_headers"] = {"x-amz-expected-bucket-owner": owner}

        def opened(provider: Provider) -> tuple[S3Store, S3Store]:
            store, listed = (
                S3Store(
                    name,
                    region=account.region,
                    client_options=chosen,
                    retry_config=_RETRIES,
                    credential_provider=provider,
                    config=config,
                )
                for chosen in (owned, options)
            )
            return store, listed

        return cls(opened, lambda: Provider(account.session, ttl=_ASK_AGAIN), name)

    def put(self, key: str, data: bytes | memoryview) -> None:
        """Write an object, replacing an existing one."""
        parts = -(-len(data) // _PART) if len(data) > _PART else 0
        self._ask(
            "s3:PutObject",
            key,
            lambda: obstore.put(
                self._store, key, data, use_multipart=bool(parts), chunk_size=_PART
            ),
            sent=len(data),
        )
        if parts:  # each part is a request, and so are the beginning and the end
            self.calls.add("s3:PutObject", parts + 1)

    def get(self, key: str) -> bytes:
        """Read an object.

        Raises:
            FileNotFoundError: There is no such object.
        """
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
        """Return an object, or only the size of a large one.

        No request may take longer than `_LONGEST_S`.
        """
        answer = obstore.get(self._store, key)
        size: int = answer.meta["size"]
        return bytes(answer.bytes()) if size <= _PART else size

    def _range(self, key: str, at: int, size: int) -> bytes:
        return bytes(obstore.get_range(self._store, key, start=at, end=min(at + _PART, size)))

    def age(self, key: str) -> float | None:
        """Return the seconds since an object was written, or None if there is none.

        The clocks of S3 and of this machine are compared.
        """
        try:
            found = self._ask_one("s3:HeadObject", key, lambda: obstore.head(self._store, key))
        except FileNotFoundError:
            return None
        written: datetime = found["last_modified"]
        return (datetime.now(UTC) - written).total_seconds()

    def list(self, prefix: str, after: str | None = None) -> list[str]:
        """Return the keys that begin with ``prefix`` and come after ``after``, in order.

        Each thousand keys take one request.
        """
        return list(self.sizes(prefix, after))

    def sizes(self, prefix: str, after: str | None = None) -> dict[str, int]:
        """Return the size of each object by key, see `list`."""
        pages = self._ask(
            "s3:ListBucket",
            prefix,
            lambda: list(obstore.list(self._listed, prefix=prefix, offset=after)),
        )
        found = {entry["path"]: entry["size"] for page in pages for entry in page}
        self.calls.add("s3:ListBucket", len(found) // _LISTED)
        return found

    def delete(self, keys: Sequence[str]) -> None:
        """Remove objects, no faster than S3 allows. Missing objects do no harm."""
        batches = iter([keys[at : at + _DELETED] for at in range(0, len(keys), _DELETED)])
        errors: deque[BaseException] = deque()
        work = partial(self._delete_all, batches, errors)
        helpers: deque[threading.Thread] = deque()
        try:
            with suppress(RuntimeError):  # no thread can be started: this one does it all
                for _ in range(min(math.ceil(len(keys) / _DELETED), _DELETIONS_AT_ONCE) - 1):
                    helper = threading.Thread(target=work, name="dolambda-delete", daemon=True)
                    helper.start()
                    helpers.append(helper)
            work()
            for helper in helpers:
                helper.join()
        except BaseException as error:  # Ctrl-C: the helpers stop, too, without a wait
            errors.append(error)
            raise
        if errors:
            raise errors[0]

    def _delete_all(self, batches: Iterator[Sequence[str]], errors: deque[BaseException]) -> None:
        """Remove batches that no other thread has taken, until one of them cannot be removed."""
        for some in batches:
            if errors:
                return
            try:
                self._delete_some(some)
            except Exception as error:  # noqa: BLE001 - raised by the caller
                errors.append(error)

    def _delete_some(self, keys: Sequence[str]) -> None:
        time.sleep(self._deletions.take(len(keys)))
        self._ask("s3:DeleteObjects", keys[0], lambda: obstore.delete(self._store, keys))

    def _ask_one(self, action: str, key: str, request: Callable[[], Any]) -> Any:
        """Call `_ask` for one object.

        S3 returns 403 for a missing key, unless the whole bucket may be listed. Submitters may list
        only dolambda's prefixes, so a listing distinguishes the two cases.

        Raises:
            FileNotFoundError: There is no such object.
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
            lambda: next(iter(obstore.list(self._listed, prefix=prefix, offset=key[:-1])), []),
        )
        return any(entry["path"] == key for entry in first)

    def _ask(self, action: str, key: str, request: Callable[[], Any], *, sent: int = 0) -> Any:
        begun, pause = time.monotonic(), _PAUSE
        until = begun + _PATIENCE
        while True:
            using = self._using
            self.calls.add(action, sent=sent)
            try:
                return request()
            except FileNotFoundError:
                raise
            except BaseError as error:
                what, text = f"{action} on s3://{self.name}/{key}", str(error)
                if any(sign in text for sign in _THROTTLED):
                    self.calls.throttled(action)
                # A refused LIST raises a generic error.
                refused = (
                    isinstance(error, (PermissionDeniedError, UnauthenticatedError))
                    or "403 Forbidden" in text
                )
                expired = any(sign in text for sign in _EXPIRED)
                # A denial that does not come from S3 itself, or a HEAD, whose reply has no body
                # with the reason: 403 is explained by the listing that follows, 400 is a stalled
                # connection or expired keys.
                said = "400 Bad Request" not in text if action == "s3:HeadObject" else not refused
                unsaid = not said and "<Code>" not in text
                if (refused or expired or unsaid) and self._renewed(using):
                    continue
                passing = _CUT in text or any(sign in text for sign in _PASSING)
                again = unsaid or passing or (expired and using.renews)
                if again and time.monotonic() < (begun + _STRANGE if unsaid else until):
                    time.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)
                elif not (refused or expired):
                    retried = pause > _PAUSE or re.search(r"after [1-9]\d* retries", text)
                    seconds = time.monotonic() - begun if retried else 0.0
                    untrusted = " (InvalidCertificate)" if is_untrusted(text) else ""
                    first = text.splitlines()[0][:300] + untrusted
                    raise failed(what, first, seconds) from error
                else:
                    code = re.search(r"<Code>(\w+)</Code>", text)
                    raise denied(what, code[1] if code else "", text) from error

    def _renewed(self, refused: Provider) -> bool:
        """Use other credentials than the ``refused`` ones. Return whether there are others."""
        with self._lock:
            if self._using is not refused:  # another request has changed them
                return True
            if not self._using.has_others():
                return False
            self._using = self._provider()
            self._store, self._listed = self._opened(self._using)
            return True


def denied(what: str, code: str = "", said: str = "") -> AccessDeniedError:
    """Return the error for a request that S3 denied, perhaps with S3's code and reason."""
    if is_skewed(code):
        return AccessDeniedError(
            f"{what} was denied ({code}): the clocks of this machine and AWS differ",
            hint=MEND_CLOCK,
        )
    return AccessDeniedError(
        f"{what} was denied{f' ({code})' if code else ''}",
        hint=denial_hint(
            said,
            "The credentials lack this permission, or have expired. `dolambda policy submitter` "
            "prints "
            "the permissions that are needed.",
        ),
    )


def failed(what: str, said: str, seconds: float) -> AwsError:
    """Return the error for a request that failed, after ``seconds`` of repeating it."""
    repeated = f"It was repeated for {seconds:.1f} s. " if seconds else ""
    if any(sign in said for sign in _THROTTLED):
        return ThrottledError(
            f"{what} failed: {said}",
            hint=f"{repeated}Use fewer workers at a time, or larger tasks, and repeat the run.",
        )
    check = "Check the network, and that the bucket still exists."
    return AwsError(
        f"{what} failed: {said}",
        hint=repeated + (UNTRUSTED_HINT if is_untrusted(said) else check),
    )
