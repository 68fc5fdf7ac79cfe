"""The bundle: packages that layers have no room for, one object in the bucket, named by content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dolambda.aws.account import error_code, translated
from dolambda.provision.plan import Change
from dolambda.wire.keys import BUNDLES, bundle_key

if TYPE_CHECKING:
    from dolambda.aws.account import Account
    from dolambda.environment.layer import Archive
    from dolambda.provision.names import Names


class Bundle:
    """See `Resource`."""

    def __init__(self, account: Account, names: Names, wanted: Archive | None) -> None:
        """``wanted`` is None when layers hold all."""
        self._s3 = account.client("s3")
        self._names = names
        self._wanted = wanted

    def changes(self) -> list[Change]:
        """See `Resource.changes`."""
        if self._wanted is None or bundle_key(self._wanted.digest) in self._found():
            return []
        return [
            Change(
                "create", "bundle for what layers have no room for", str(self._wanted), self._upload
            )
        ]

    def removal(self) -> list[Change]:
        """See `Resource.removal`: it goes with our other objects in the bucket."""
        return []

    def stale(self) -> list[Change]:
        """Removal of the bundles that are not wanted any more."""
        wanted = self._wanted and bundle_key(self._wanted.digest)
        stale = [key for key in self._found() if key != wanted]
        return (
            [
                Change(
                    "remove",
                    f"{len(stale)} bundle(s)",
                    "no longer used",
                    lambda: self._delete(stale),
                )
            ]
            if stale
            else []
        )

    def _found(self) -> list[str]:
        with translated():
            try:
                listed = self._s3.list_objects_v2(**self._names.owned_bucket, Prefix=BUNDLES)
            except self._s3.exceptions.ClientError as error:
                if error_code(error) == "NoSuchBucket":
                    return []
                raise
        return [entry["Key"] for entry in listed.get("Contents", [])]

    def _upload(self) -> None:
        if self._wanted:
            with translated():
                self._s3.put_object(
                    **self._names.owned_bucket,
                    Key=bundle_key(self._wanted.digest),
                    Body=self._wanted.content,
                )

    def _delete(self, keys: list[str]) -> None:
        with translated():
            self._s3.delete_objects(
                **self._names.owned_bucket,
                Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True},
            )


class StaleBundles:
    """See `Resource`: once the function uses the new bundle, the old ones go."""

    def __init__(self, bundle: Bundle) -> None:
        """Of which bundle."""
        self._bundle = bundle

    def changes(self) -> list[Change]:
        """See `Resource.changes`."""
        return self._bundle.stale()

    def removal(self) -> list[Change]:
        """See `Resource.removal`."""
        return []
