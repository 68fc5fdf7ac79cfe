"""The layer that holds what the user's code requires. Its description is its content's digest: unchanged is not uploaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dolambda.aws.account import translated
from dolambda.provision.plan import Change
from dolambda.wire.keys import LAYERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dolambda.aws.account import Account
    from dolambda.environment.layer import Layer
    from dolambda.provision.names import Names

_DIRECT = 50 << 20  # zips up to this many bytes go with the request, larger ones through the bucket


class LayerVersion:
    """See `Resource`."""

    def __init__(self, account: Account, names: Names, layer: Layer | None, runtime: str) -> None:
        """``layer`` is None when nothing is required."""
        self._lambda = account.client("lambda")
        self._s3 = account.client("s3")
        self._names = names
        self._layer = layer
        self._runtime = runtime
        self._published: str | None = None

    def changes(self) -> list[Change]:
        """See `Resource.changes`."""
        if self._layer is None or self.arn():
            return []
        size = f"{len(self._layer.content) / 2**20:.0f} MiB zipped, {self._layer.size / 2**20:.0f} MiB unzipped"
        return [Change("create", f"layer {self._names.layer}", f"{', '.join(self._layer.requires)}: {size}", self._publish)]

    def removal(self) -> list[Change]:
        """See `Resource.removal`."""
        versions = [version["Version"] for version in self._versions()]
        return [Change("remove", f"layer {self._names.layer}", f"{len(versions)} version(s)", self._remove)] if versions else []

    def arn(self) -> str | None:
        """The published version with the wanted content, None while there is none."""
        if self._layer is None or self._published:
            return self._published
        wanted = self._layer.digest
        return next((version["LayerVersionArn"] for version in self._versions() if version.get("Description") == wanted), None)

    def _versions(self) -> Iterator[dict[str, str]]:
        with translated():
            for page in self._lambda.get_paginator("list_layer_versions").paginate(LayerName=self._names.layer):
                yield from page["LayerVersions"]

    def _publish(self) -> None:
        layer = self._layer
        if layer is None:
            return
        key = f"{LAYERS}{layer.digest}.zip"
        with translated():
            if len(layer.content) <= _DIRECT:
                content: dict[str, str | bytes] = {"ZipFile": layer.content}
            else:
                self._s3.put_object(Bucket=self._names.bucket, Key=key, Body=layer.content)
                content = {"S3Bucket": self._names.bucket, "S3Key": key}
            published = self._lambda.publish_layer_version(
                LayerName=self._names.layer, Description=layer.digest, Content=content, CompatibleRuntimes=[self._runtime]
            )
            self._published = published["LayerVersionArn"]
            if "S3Key" in content:
                self._s3.delete_object(Bucket=self._names.bucket, Key=key)

    def _remove(self) -> None:
        for version in list(self._versions()):
            with translated():
                self._lambda.delete_layer_version(LayerName=self._names.layer, VersionNumber=version["Version"])
