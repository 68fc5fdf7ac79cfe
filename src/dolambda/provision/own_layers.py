"""The user's own layers (``layers=``), checked before anything is created.

**Input:** their ARNs, and the other contents of the function. **Output:** no changes, but an error
for a missing layer, and for more than Lambda accepts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dolambda.aws.account import translated
from dolambda.environment.layer import MB, UNZIPPED_LIMIT
from dolambda.errors import AccessDeniedError, ProvisionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dolambda.aws.account import Account
    from dolambda.environment.layer import Contents
    from dolambda.provision.plan import Change


class OwnLayers:
    """See `Resource`."""

    def __init__(self, account: Account, arns: Sequence[str], contents: Contents) -> None:
        """Prepare the resource. Nothing is sent yet."""
        self._lambda = account.client("lambda")
        self._arns = arns
        self._contents = contents

    def changes(self) -> list[Change]:
        """See `Resource.changes`: none.

        Raises:
            ProvisionError: A layer does not exist, or all together exceed Lambda's limit even
                zipped.
        """
        if not self._arns:
            return []
        theirs = sum(map(self._zipped, self._arns))
        ours = sum(layer.size for layer in self._contents.layers)
        if theirs + ours > UNZIPPED_LIMIT:
            raise ProvisionError(
                f"the {len(self._arns)} layers= take {theirs / MB:.0f} MiB zipped, and the "
                "workers' packages "
                f"{ours / MB:.0f} MiB unzipped: Lambda allows {UNZIPPED_LIMIT / MB:.0f} MiB "
                "unzipped for all",
                hint="Leave a layer out, require less (requires=), or exclude= what tasks do not "
                "need. "
                "Lambda does not say how large a layer is unzipped: it may have to be much less.",
            )
        return []

    def removal(self) -> list[Change]:
        """See `Resource.removal`. There is none: they belong to the user."""
        return []

    def _zipped(self, arn: str) -> int:
        """Return a layer's bytes, or 0 if the credentials may not read it."""
        layer, _, version = arn.rpartition(":")
        try:
            with translated():
                try:
                    found = self._lambda.get_layer_version(
                        LayerName=layer, VersionNumber=int(version)
                    )
                except (ValueError, self._lambda.exceptions.ResourceNotFoundException) as error:
                    raise ProvisionError(
                        f"the layer version {arn!r} does not exist",
                        hint="Set layers= to the ARNs of versions in the stack's region: "
                        "`aws lambda list-layer-versions --layer-name NAME` lists them.",
                    ) from error
        except AccessDeniedError:
            return 0
        return int(found["Content"].get("CodeSize", 0))
