"""The objects in a stack's bucket, when they are removed.

**Input:** prefixes of keys. **Output:** nothing is left under them: no object, and in a bucket with
versioning, which an organisation may turn on for all buckets, no version and no delete marker.
S3 removes no bucket that holds any.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dolambda.aws.account import translated
from dolambda.errors import ProvisionError
from dolambda.provision.plan import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dolambda.provision.names import Names

_PATIENCE = 120
_KINDS = ("Versions", "DeleteMarkers")


class BucketObjects:
    """The objects of one bucket, with all their versions."""

    def __init__(self, s3: Any, names: Names) -> None:
        """Prepare the requests of the boto3 client ``s3``. Nothing is sent yet."""
        self._s3 = s3
        self._names = names

    def first(self, prefix: str = "") -> str | None:
        """Return the key of an object, or of a version of a removed one, or None."""
        with translated():
            found = self._s3.list_object_versions(
                **self._names.owned_bucket, Prefix=prefix, MaxKeys=1
            )
        return next((version["Key"] for version in _versions(found)), None)

    def remove(self, prefixes: Iterable[str]) -> None:
        """Remove all objects under some prefixes, with all their versions."""
        for prefix in prefixes:
            with translated():
                pages = self._s3.get_paginator("list_object_versions").paginate(
                    **self._names.owned_bucket, Prefix=prefix
                )
                for page in pages:
                    if versions := list(_versions(page)):
                        self._delete(versions)

    def _delete(self, versions: list[dict[str, str]]) -> None:
        """Remove versions.

        S3's reply of 200 may name some that it could not remove. Those are repeated.
        """
        left = versions

        def done() -> bool:
            nonlocal left
            wanted = {"Objects": left, "Quiet": True}
            answer = self._s3.delete_objects(**self._names.owned_bucket, Delete=wanted)
            errors = answer.get("Errors", [])
            for error in errors:
                if error.get("Code") == "AccessDenied":
                    raise ProvisionError(
                        f"S3 did not allow s3://{self._names.bucket}/{error['Key']} to be removed: "
                        f"{error.get('Message', '')}",
                        hint="Use credentials that may delete the bucket's objects and their "
                        "versions, see `dolambda policy deployer`. Where Object Lock retains "
                        "them, wait until its time has passed.",
                    )
            failed = {(error["Key"], error.get("VersionId", "null")) for error in errors}
            left = [one for one in left if (one["Key"], one["VersionId"]) in failed]
            return not left

        wait_until(done, f"that objects of {self._names.bucket} are removed", seconds=_PATIENCE)


def _versions(page: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Return the versions in a page of the listing, in the form of a removal.

    In a bucket without versioning each object has one version, "null".
    """
    for kind in _KINDS:
        for found in page.get(kind, []):
            yield {"Key": found["Key"], "VersionId": found.get("VersionId", "null")}
