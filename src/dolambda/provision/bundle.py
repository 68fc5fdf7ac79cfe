"""The bundle: packages that exceed the layers, one object in the bucket, named by content."""

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
        """Prepare the resource. ``wanted`` is None if layers hold everything."""
        self._s3 = account.client("s3")
        self._names = names
        self._wanted = wanted

    def changes(self) -> list[Change]:
        """See `Resource.changes`."""
        if self._wanted is None or bundle_key(self._wanted.digest) in self._found():
            return []
        return [
            Change(
                "create",
                "bundle for packages that exceed the layers",
                str(self._wanted),
                self._upload,
            )
        ]

    def removal(self) -> list[Change]:
        """See `Resource.removal`. It is removed with dolambda's other objects in the bucket."""
        return []

    def stale(self) -> list[Change]:
        """Return the removal of bundles that are no longer used."""
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
    """Removal of old bundles once the function uses the new one. See `Resource`."""

    def __init__(self, bundle: Bundle) -> None:
        """Prepare the resource for old versions of ``bundle``."""
        self._bundle = bundle

    def changes(self) -> list[Change]:
        """See `Resource.changes`."""
        return self._bundle.stale()

    def removal(self) -> list[Change]:
        """See `Resource.removal`."""
        return []
