"""The bucket: the queue, and the data that tasks share.

It is closed to the public. Objects that a killed client leaves expire.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dolambda.aws.account import error_code, translated
from dolambda.errors import ProvisionError
from dolambda.provision.bucket_objects import BucketObjects
from dolambda.provision.names import TAG
from dolambda.provision.plan import Change, wait_until
from dolambda.wire.keys import BLOBS, BUNDLES, JOBS, LAYERS, LEASES, OUTS, RUNS

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.aws.account import Account
    from dolambda.provision.names import Names

_DAYS = {JOBS: 1, LEASES: 1, OUTS: 7, LAYERS: 1, BLOBS: 30, RUNS: 30}
_OURS = (*_DAYS, BUNDLES)
_BLOCK = dict.fromkeys(
    ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True
)
_NO_REGION_NAMED = "us-east-1"  # the only region whose name S3 rejects as a location constraint


_OLD_NAMES = {"EU": "eu-west-1"}  # S3's name for the region of old buckets
_VERSION_DAYS = 1
"""Days that a bucket with versioning keeps overwritten or deleted objects under dolambda's
prefixes.
"""

NOT_YET = ("NoSuchBucket", "OperationAborted")
"""S3's errors for a bucket that was created or removed some seconds to minutes ago."""
_PATIENCE = 120


class Bucket:
    """See `Resource`."""

    def __init__(self, account: Account, names: Names) -> None:
        """Prepare the resource. Nothing is sent yet."""
        self._s3 = account.client("s3")
        self._names = names
        self._objects = BucketObjects(self._s3, names)
        # An AWS emulated on this machine has none.
        self._over_tls = not (account.endpoint_url or "").startswith("http:")

    def changes(self) -> list[Change]:
        """See `Resource.changes`.

        If the bucket is the user's own, only what concerns dolambda's prefixes is changed.
        """
        title = f"bucket {self._names.bucket}"
        if not self._exists():
            return [
                Change(
                    "create",
                    title,
                    "the job queue; closed to the public, encrypted, objects expire",
                    self._create,
                )
            ]
        self._refuse_other_region()
        changes = []
        if self._names.bucket_is_ours:
            if not self._tagged():
                changes.append(Change("update", title, "mark it as this stack's", self._tag))
            if (
                self._asked(self._s3.get_public_access_block, "PublicAccessBlockConfiguration")
                != _BLOCK
            ):
                changes.append(Change("update", title, "close it to the public", self._close))
            if not self._asked(self._s3.get_bucket_encryption, "ServerSideEncryptionConfiguration"):
                changes.append(Change("update", title, "encrypt what is in it", self._encrypt))
            if self._over_tls and self._policy() != self._wanted_policy():
                changes.append(
                    Change("update", title, "deny requests without TLS", self._deny_plain)
                )
        if not self._expires():
            changes.append(Change("update", title, "let forgotten objects expire", self._expire))
        return changes

    def removal(self) -> list[Change]:
        """See `Resource.removal`."""
        if not self._exists():
            return []
        title = f"bucket {self._names.bucket}"
        if self._names.bucket_is_ours or self._tagged():
            return [
                Change("remove", title, "with the objects that dolambda put there", self._remove)
            ]
        if self._expires() or any(map(self._objects.first, _OURS)):
            return [
                Change(
                    "remove",
                    f"dolambda's objects in {title}",
                    "the bucket itself is yours and stays",
                    self._withdraw,
                )
            ]
        return []

    def removal_if_marked(self) -> list[Change]:
        """See `removal`, for a bucket that is marked as this stack's."""
        return self.removal() if self._exists() and self._tagged() else []

    def _exists(self) -> bool:
        with translated():
            try:
                self._s3.head_bucket(**self._names.owned_bucket)
            except self._s3.exceptions.ClientError as error:
                if error_code(error) in ("404", "NoSuchBucket"):
                    return False
                if error_code(error) in ("403", "301"):
                    raise ProvisionError(
                        f"bucket {self._names.bucket} is not accessible: it belongs to another "
                        "account, is "
                        "in another region, or denied",
                        hint="Use a bucket of your own in the function's region, or "
                        "leave bucket= out.",
                    ) from error
                raise
        return True

    def _refuse_other_region(self) -> None:
        with translated():
            found = (
                self._s3.get_bucket_location(**self._names.owned_bucket).get("LocationConstraint")
                or _NO_REGION_NAMED
            )
        found = _OLD_NAMES.get(found, found)
        if found != self._names.region:
            raise ProvisionError(
                f"bucket {self._names.bucket} is in {found}, the function in "
                f"{self._names.region}: S3 notifies only in its own region",
                hint=f"Use region={found!r}, or another bucket=.",
            )

    def _tagged(self) -> bool:
        found = self._asked(self._s3.get_bucket_tagging, "TagSet") or []
        return {"Key": TAG, "Value": self._names.stack} in found

    def _create(self) -> None:
        region = self._names.region
        where = (
            {}
            if region == _NO_REGION_NAMED
            else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        )

        def create() -> None:
            try:
                self._s3.create_bucket(Bucket=self._names.bucket, **where)
            except self._s3.exceptions.BucketAlreadyOwnedByYou:
                return

        self._once_known(create)
        for step in (self._tag, self._close, self._encrypt, self._expire):
            step()
        if self._over_tls:
            self._deny_plain()

    def _tag(self) -> None:
        tags = [{"Key": key, "Value": value} for key, value in self._names.tags.items()]
        self._put(self._s3.put_bucket_tagging, Tagging={"TagSet": tags})

    def _close(self) -> None:
        self._put(self._s3.put_public_access_block, PublicAccessBlockConfiguration=_BLOCK)

    def _encrypt(self) -> None:
        rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
        self._put(
            self._s3.put_bucket_encryption, ServerSideEncryptionConfiguration={"Rules": [rule]}
        )

    def _policy(self) -> dict[str, Any]:
        found = self._asked(self._s3.get_bucket_policy, "Policy")
        return dict(json.loads(found)) if found else {"Version": "2012-10-17", "Statement": []}

    def _wanted_policy(self) -> dict[str, Any]:
        """Return the existing policy with dolambda's statement in it. Other statements stay."""
        found, ours = self._policy(), tls_only(self._names.bucket_arn)
        statements = found["Statement"]
        several = statements if isinstance(statements, list) else [statements]  # both are valid
        others = [one for one in several if one.get("Sid") != ours["Sid"]]
        return {**found, "Statement": [*others, ours]}

    def _deny_plain(self) -> None:
        self._put(self._s3.put_bucket_policy, Policy=json.dumps(self._wanted_policy()))

    def _rules(self) -> list[dict[str, Any]]:
        return [
            {
                "ID": f"dolambda-{prefix.rstrip('/')}",
                "Status": "Enabled",
                "Filter": {"Prefix": prefix},
                "Expiration": {"Days": days},
                "NoncurrentVersionExpiration": {"NoncurrentDays": _VERSION_DAYS},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
            }
            for prefix, days in _DAYS.items()
        ]

    def _found_rules(self) -> list[dict[str, Any]]:
        return self._asked(self._s3.get_bucket_lifecycle_configuration, "Rules") or []

    def _expires(self) -> bool:
        found = [_ages(rule) for rule in self._found_rules()]
        return all(_ages(rule) in found for rule in self._rules())

    def _others_rules(self) -> list[dict[str, Any]]:
        return [
            _with_filter(rule)
            for rule in self._found_rules()
            if not str(rule.get("ID", "")).startswith("dolambda-")
        ]

    def _expire(self) -> None:
        self._put_rules([*self._others_rules(), *self._rules()])

    def _put_rules(self, rules: list[dict[str, Any]]) -> None:
        """Replace the rules.

        Without it, S3 would reset the size from which objects are moved.
        """
        name = "TransitionDefaultMinimumObjectSize"
        size = self._asked(self._s3.get_bucket_lifecycle_configuration, name)
        self._put(
            self._s3.put_bucket_lifecycle_configuration,
            LifecycleConfiguration={"Rules": rules},
            **({name: size} if size else {}),
        )

    def _withdraw(self) -> None:
        """Remove dolambda's objects and rules."""
        self._objects.remove(_OURS)
        others = self._others_rules()
        if others:
            self._put_rules(others)
            return
        with translated():
            self._s3.delete_bucket_lifecycle(**self._names.owned_bucket)

    def _remove(self) -> None:
        """Remove dolambda's objects, and the bucket unless it contains other objects."""
        self._objects.remove(_OURS)
        left = self._objects.first()
        if left:
            raise ProvisionError(
                f"bucket {self._names.bucket} contains objects that dolambda did not create, such "
                f"as {left}",
                hint="Move or delete them, then run `dolambda destroy` again. Everything else is "
                "removed.",
            )
        with translated():
            self._s3.delete_bucket(**self._names.owned_bucket)

    def _put(self, request: Callable[..., Any], **params: Any) -> None:
        self._once_known(lambda: request(**self._names.owned_bucket, **params))

    def _once_known(self, request: Callable[[], object]) -> None:
        """Change the bucket when all of S3 knows that it was created."""

        def done() -> bool:
            with translated():
                try:
                    request()
                except self._s3.exceptions.ClientError as error:
                    if error_code(error) in NOT_YET:
                        return False
                    raise
            return True

        wait_until(done, f"that S3 knows bucket {self._names.bucket}", seconds=_PATIENCE)

    def _asked(self, question: Callable[..., Any], part: str) -> Any:
        """Return a part of the configuration, or None if there is none."""
        with translated():
            try:
                return question(**self._names.owned_bucket).get(part)
            except self._s3.exceptions.ClientError as error:
                if error_code(error).startswith(
                    ("NoSuch", "ServerSideEncryptionConfigurationNotFound")
                ):
                    return None
                raise


class FormerBucket:
    """The bucket that dolambda created before the user named another one. See `Resource`.

    It is removed with the stack.
    """

    def __init__(self, account: Account, names: Names) -> None:
        """Prepare the resource. Nothing is sent yet."""
        self._names = names
        self._bucket = Bucket(account, names.default)

    def changes(self) -> list[Change]:
        """See `Resource.changes`. There are none: its objects may still be needed."""
        return []

    def removal(self) -> list[Change]:
        """See `Resource.removal`."""
        return [] if self._names.bucket_is_ours else self._bucket.removal_if_marked()


def _ages(rule: dict[str, Any]) -> tuple[object, ...]:
    return (
        rule.get("ID"),
        rule.get("Expiration", {}).get("Days"),
        rule.get("NoncurrentVersionExpiration", {}).get("NoncurrentDays"),
    )


def _with_filter(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a rule in its newer form: S3 refuses rules with a filter beside older ones without."""
    if "Prefix" not in rule:
        return rule
    kept = {name: value for name, value in rule.items() if name != "Prefix"}
    return {"Filter": {"Prefix": rule["Prefix"]}, **kept}


def tls_only(bucket_arn: str) -> dict[str, Any]:
    """Return the statement of a bucket's policy that denies all requests without TLS."""
    return {
        "Sid": "dolambda-tls-only",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket_arn, f"{bucket_arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
