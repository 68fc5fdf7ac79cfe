"""The bucket: the queue, and what tasks share. Closed to the public; what a killed client leaves expires by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dolambda.aws.account import error_code, translated
from dolambda.errors import ProvisionError
from dolambda.provision.names import TAG
from dolambda.provision.plan import Change
from dolambda.wire.keys import BLOBS, JOBS, LAYERS, OUTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from dolambda.aws.account import Account
    from dolambda.provision.names import Names

_DAYS = {JOBS: 1, OUTS: 7, LAYERS: 1, BLOBS: 30}
_BLOCK = dict.fromkeys(("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"), True)
_NO_REGION_NAMED = "us-east-1"  # the one Region whose name S3 rejects as a location constraint


class Bucket:
    """See `Resource`."""

    def __init__(self, account: Account, names: Names) -> None:
        """Nothing is sent yet."""
        self._s3 = account.client("s3")
        self._names = names

    def changes(self) -> list[Change]:
        """See `Resource.changes`."""
        title = f"bucket {self._names.bucket}"
        if not self._exists():
            return [Change("create", title, "the job queue; closed to the public, expires by itself", self._create)]
        changes = []
        if self._asked(lambda: self._s3.get_public_access_block(Bucket=self._names.bucket)["PublicAccessBlockConfiguration"]) != _BLOCK:
            changes.append(Change("update", title, "close it to the public", self._close))
        if not self._expires():
            changes.append(Change("update", title, "let forgotten objects expire", self._expire))
        return changes

    def removal(self) -> list[Change]:
        """See `Resource.removal`."""
        if not self._exists():
            return []
        return [Change("remove", f"bucket {self._names.bucket}", "with the objects that dolambda put there", self._remove)]

    def _exists(self) -> bool:
        with translated():
            try:
                self._s3.head_bucket(Bucket=self._names.bucket)
            except self._s3.exceptions.ClientError as error:
                if error_code(error) in ("404", "NoSuchBucket"):
                    return False
                raise
        return True

    def _create(self) -> None:
        region = self._s3.meta.region_name
        where = {} if region == _NO_REGION_NAMED else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        with translated():
            self._s3.create_bucket(Bucket=self._names.bucket, **where)
            tags = [{"Key": key, "Value": value} for key, value in self._names.tags.items()]
            self._s3.put_bucket_tagging(Bucket=self._names.bucket, Tagging={"TagSet": tags})
        self._close()
        self._expire()

    def _close(self) -> None:
        with translated():
            self._s3.put_public_access_block(Bucket=self._names.bucket, PublicAccessBlockConfiguration=_BLOCK)

    def _rules(self) -> list[dict[str, Any]]:
        return [
            {
                "ID": f"dolambda-{prefix.rstrip('/')}",
                "Status": "Enabled",
                "Filter": {"Prefix": prefix},
                "Expiration": {"Days": days},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
            }
            for prefix, days in _DAYS.items()
        ]

    def _found_rules(self) -> list[dict[str, Any]]:
        return self._asked(lambda: self._s3.get_bucket_lifecycle_configuration(Bucket=self._names.bucket)["Rules"]) or []

    def _expires(self) -> bool:
        found = {(rule.get("ID"), rule.get("Expiration", {}).get("Days")) for rule in self._found_rules()}
        return {(rule["ID"], rule["Expiration"]["Days"]) for rule in self._rules()} <= found

    def _expire(self) -> None:
        others = [rule for rule in self._found_rules() if not str(rule.get("ID", "")).startswith("dolambda-")]
        with translated():
            self._s3.put_bucket_lifecycle_configuration(
                Bucket=self._names.bucket, LifecycleConfiguration={"Rules": [*others, *self._rules()]}
            )

    def _remove(self) -> None:
        """Remove our objects; the bucket too if we made it and nothing of anyone else's is left."""
        for prefix in _DAYS:
            self._empty(prefix)
        ours = any(tag["Key"] == TAG for tag in self._asked(lambda: self._s3.get_bucket_tagging(Bucket=self._names.bucket)["TagSet"]) or [])
        if not ours:
            return
        with translated():
            left = self._s3.list_objects_v2(Bucket=self._names.bucket, MaxKeys=1).get("Contents", [])
            if left:
                msg = f"bucket {self._names.bucket} holds objects that dolambda did not put there, such as {left[0]['Key']}"
                raise ProvisionError(msg, mend="Move or delete them, then run `dolambda destroy` again; everything else is done.")
            self._s3.delete_bucket(Bucket=self._names.bucket)

    def _empty(self, prefix: str) -> None:
        with translated():
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._names.bucket, Prefix=prefix):
                objects = [{"Key": entry["Key"]} for entry in page.get("Contents", [])]
                if objects:
                    self._s3.delete_objects(Bucket=self._names.bucket, Delete={"Objects": objects, "Quiet": True})

    def _asked(self, question: Callable[[], Any]) -> Any:  # noqa: ANN401 - what S3 answers
        """Ask for a configuration; None when there is none."""
        with translated():
            try:
                return question()
            except self._s3.exceptions.ClientError as error:
                if error_code(error).startswith("NoSuch"):
                    return None
                raise
