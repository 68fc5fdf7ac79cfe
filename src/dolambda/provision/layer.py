"""The layers that hold the required packages.

**Input:** archives, named by their content's digest. **Output:** one layer for each, whose name
begins with that digest and whose description is the digest. So unchanged content is not uploaded
again, and two contents are never two versions of one layer, which Lambda refuses in one function.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any

from dolambda.aws.account import translated
from dolambda.errors import ProvisionError
from dolambda.provision.plan import Change
from dolambda.wire.keys import LAYERS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dolambda.aws.account import Account
    from dolambda.environment.layer import Archive
    from dolambda.provision.names import Names

_DIRECT = 2 << 20
"""Largest zip, in bytes, that travels in the request. boto3 sends a request's body in one piece
within 10 s, for which a slow connection needs a small body. Larger zips go through the bucket.
"""


_DIGITS = 12  # digits of a digest in a layer's name


class Layers:
    """See `Resource`."""

    def __init__(
        self, account: Account, names: Names, wanted: Sequence[Archive], runtime: str
    ) -> None:
        """Prepare the resource. Nothing is sent yet."""
        self._lambda = account.client("lambda")
        self._s3 = account.client("s3")
        self._names = names
        self._wanted = wanted
        self._runtime = runtime
        self._published: dict[str, str] = {}

    def changes(self) -> list[Change]:
        """See `Resource.changes`."""
        found = self.found()
        return [
            Change(
                "create",
                f"layer {self._name(layer)}",
                str(layer),
                # mypy cannot infer a lambda's defaults.
                lambda layer=layer: self._publish(layer),  # type: ignore[misc]
            )
            for layer in self._wanted
            if layer.digest not in found
        ]

    def removal(self) -> list[Change]:
        """See `Resource.removal`."""
        return [self._removed(name, versions) for name, versions in self._versions() if versions]

    def arns(self) -> list[str]:
        """Return the ARNs of the published versions with the wanted content, in order.

        Those not yet published are left out.
        """
        found = self.found() | self._published
        return [found[layer.digest] for layer in self._wanted if layer.digest in found]

    def found(self) -> dict[str, str]:
        """Return the ARNs of the deployed versions with the wanted content, by digest."""
        wanted = {layer.digest: self._name(layer) for layer in self._wanted}
        return {
            version["Description"]: version["LayerVersionArn"]
            for name, versions in self._versions()
            for version in versions
            if wanted.get(version["Description"]) == name
        }

    def stale(self) -> list[Change]:
        """Return the removal of versions that are no longer used."""
        wanted = {(self._name(layer), layer.digest) for layer in self._wanted}
        stale = [
            (
                name,
                [version for version in versions if (name, version["Description"]) not in wanted],
            )
            for name, versions in self._versions()
        ]
        return [self._removed(name, versions) for name, versions in stale if versions]

    def _name(self, layer: Archive) -> str:
        return self._names.layer(layer.digest[:_DIGITS])

    def _versions(self) -> Iterator[tuple[str, list[dict[str, str]]]]:
        """Yield all versions of this stack's layers, by the layer's name."""
        with translated():
            pages = list(self._lambda.get_paginator("list_layers").paginate())
        names = [layer["LayerName"] for page in pages for layer in page["Layers"]]
        for name in filter(self._names.is_layer, names):
            with translated():
                versions = list(
                    self._lambda.get_paginator("list_layer_versions").paginate(LayerName=name)
                )
            yield (
                name,
                [
                    {"Description": "", **version}
                    for page in versions
                    for version in page["LayerVersions"]
                ],
            )

    def _publish(self, layer: Archive) -> None:
        key = f"{LAYERS}{layer.digest}.zip"
        with translated():
            content: dict[str, str | bytes] = {"ZipFile": layer.content}
            if len(layer.content) > _DIRECT:
                self._s3.put_object(**self._names.owned_bucket, Key=key, Body=layer.content)
                content = {"S3Bucket": self._names.bucket, "S3Key": key}
            published = self._lambda.publish_layer_version(
                LayerName=self._name(layer),
                Description=layer.digest,
                Content=content,
                CompatibleRuntimes=[self._runtime],
            )
            if "S3Key" in content:
                self._s3.delete_object(**self._names.owned_bucket, Key=key)
                self._refuse_replaced(layer, published)
            self._published[layer.digest] = published["LayerVersionArn"]

    def _refuse_replaced(self, layer: Archive, published: dict[str, Any]) -> None:
        """Remove a version whose content is not what was uploaded.

        Those who may write to the bucket can replace the zip between the two requests.
        """
        found = published.get("Content", {}).get("CodeSha256")
        if found in (
            None,
            base64.b64encode(hashlib.sha256(layer.content).digest()).decode(),
        ):  # None if it is only printed, as a command
            return
        self._lambda.delete_layer_version(
            LayerName=published["LayerArn"].rpartition(":")[2], VersionNumber=published["Version"]
        )
        raise ProvisionError(
            f"the zip of {layer} was replaced in bucket {self._names.bucket} while being "
            "published, so the layer was removed",
            hint=f"Find out who else than the deployer may write under {LAYERS} of that bucket, "
            "then "
            "deploy again.",
        )

    def _removed(self, name: str, versions: list[dict[str, str]]) -> Change:
        def apply() -> None:
            with translated():
                for version in versions:
                    self._lambda.delete_layer_version(
                        LayerName=name, VersionNumber=version["Version"]
                    )

        return Change("remove", f"layer {name}", f"{len(versions)} version(s)", apply)


class StaleLayers:
    """Removal of old layers once the function uses the new ones. See `Resource`."""

    def __init__(self, layers: Layers) -> None:
        """Prepare the resource for old versions of ``layers``."""
        self._layers = layers

    def changes(self) -> list[Change]:
        """See `Resource.changes`."""
        return self._layers.stale()

    def removal(self) -> list[Change]:
        """See `Resource.removal`: `Layers` removes all."""
        return []
