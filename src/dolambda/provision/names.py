"""Names and tags of everything in a stack.

**Input:** account, region, stack. **Output:** names and ARNs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dolambda.aws.partitions import Partition, partition_of

TAG = "dolambda:stack"


def tune_function(stack: str, memory: str | int) -> str:
    """Return the name of a temporary function of `dolambda tune`. "*" as memory means all."""
    return f"{stack}-tune-{memory}"


def is_tune_function(stack: str, name: str) -> bool:
    """Return whether this is the name of a temporary function of the stack."""
    return re.fullmatch(rf"{re.escape(stack)}-tune-\d+", name) is not None


@dataclass(frozen=True)
class Names:
    """The names of one stack. ``bucket`` may be the user's choice."""

    stack: str
    region: str
    account: str
    bucket: str
    bucket_is_ours: bool
    """True if dolambda chose the bucket's name: then it created the bucket, and may close and
    remove it. A bucket named by the user may be older.
    """

    own_role: str = ""
    """ARN of a role that an administrator created for the workers, or "" for one that deploy
    creates.
    """

    own_layers: tuple[str, ...] = ()
    """ARNs of layer versions of the user's own, which the function uses too."""

    @classmethod
    def of(
        cls,
        stack: str,
        region: str,
        account: str,
        bucket: str | None,
        role: str | None = None,
        layers: tuple[str, ...] = (),
    ) -> Names:
        """Return the names.

        A bucket's name must be unique in all of AWS, so it contains account and region.
        """
        ours = f"{stack}-{account}-{region}"
        chosen = bucket in (None, ours)
        return cls(stack, region, account, bucket or ours, chosen, role or "", layers)

    @property
    def tags(self) -> dict[str, str]:
        """Tags that mark a resource as this stack's."""
        return {TAG: self.stack}

    @property
    def function_arn(self) -> str:
        """ARN of the worker function."""
        return self._regional("lambda", f"function:{self.stack}")

    @property
    def tune_arns(self) -> str:
        """ARNs of all temporary functions of `dolambda tune`."""
        return self._regional("lambda", f"function:{tune_function(self.stack, '*')}")

    @property
    def role(self) -> str:
        """Name of the role that the function runs in."""
        return self.own_role.rpartition("/")[2] or f"{self.stack}-worker-{self.region}"

    @property
    def role_arn(self) -> str:
        """ARN of the role."""
        return self.own_role or self._partition.arn(
            "iam", f"role/{self.role}", account=self.account
        )

    @property
    def bucket_arn(self) -> str:
        """ARN of the bucket."""
        return self._partition.arn("s3", self.bucket)

    @property
    def owned_bucket(self) -> dict[str, str]:
        """Parameters of every request to the bucket: AWS denies it if another account owns it."""
        return {"Bucket": self.bucket, "ExpectedBucketOwner": self.account}

    @property
    def default(self) -> Names:
        """The same stack with the bucket that dolambda names."""
        return Names.of(self.stack, self.region, self.account, None, self.own_role)

    @property
    def log_group(self) -> str:
        """Name of the function's log group."""
        return f"/aws/lambda/{self.stack}"

    @property
    def log_group_arn(self) -> str:
        """ARN of the log group, including its streams."""
        return self._regional("logs", f"log-group:{self.log_group}:*")

    @property
    def layer_arns(self) -> str:
        """ARNs of all its layers. With ":*" appended, those of their versions."""
        return self._regional("lambda", f"layer:{self.layer('*')}")

    @property
    def _partition(self) -> Partition:
        return partition_of(self.region)

    def _regional(self, service: str, resource: str) -> str:
        return self._partition.arn(service, resource, region=self.region, account=self.account)

    def layer(self, content: str) -> str:
        """Return the name of the layer with this content. "*" means all layers of the stack."""
        return f"{self.stack}-requires-{content}"

    def is_layer(self, name: str) -> bool:
        """Return whether this is a layer of this stack, including numbered ones of old versions."""
        return (
            re.fullmatch(rf"{re.escape(self.stack)}-requires-([0-9a-f]{{12}}|[1-5])", name)
            is not None
        )
