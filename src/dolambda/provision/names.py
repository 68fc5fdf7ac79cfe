"""How everything of a stack is named and tagged.

On entry: account, region, stack; on leaving: names and ARNs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from dolambda.aws.partitions import Partition, partition_of

TAG = "dolambda:stack"


def tune_function(stack: str, memory: str | int) -> str:
    """Return the name of a temporary function of `dolambda tune`; "*" as memory for all."""
    return f"{stack}-tune-{memory}"


def is_tune_function(stack: str, name: str) -> bool:
    """Return true for the name of a temporary function of that stack's."""
    return re.fullmatch(rf"{re.escape(stack)}-tune-\d+", name) is not None


@dataclass(frozen=True)
class Names:
    """The names of one stack. ``bucket`` may be the user's choice."""

    stack: str
    region: str
    account: str
    bucket: str
    bucket_is_ours: bool
    """Whether we chose the bucket's name: then we made it, and may close and remove it. One that
    the user named may be older.
    """

    own_role: str = ""
    """ARN of a role that an administrator made for the workers; "" for the one that we make."""

    @classmethod
    def of(
        cls, stack: str, region: str, account: str, bucket: str | None, role: str | None = None
    ) -> Names:
        """Name everything; a bucket's name has to be unique in all of AWS, so account and region are in it."""
        ours = f"{stack}-{account}-{region}"
        return cls(stack, region, account, bucket or ours, bucket in (None, ours), role or "")

    @property
    def tags(self) -> dict[str, str]:
        """What marks a resource as this stack's."""
        return {TAG: self.stack}

    @property
    def function_arn(self) -> str:
        """The worker function."""
        return self._regional("lambda", f"function:{self.stack}")

    @property
    def tune_arns(self) -> str:
        """The temporary functions of `dolambda tune`, all of them."""
        return self._regional("lambda", f"function:{tune_function(self.stack, '*')}")

    @property
    def role(self) -> str:
        """The role that the function runs in."""
        return self.own_role.rpartition("/")[2] or f"{self.stack}-worker-{self.region}"

    @property
    def role_arn(self) -> str:
        """Its ARN."""
        return self.own_role or self._partition.arn(
            "iam", f"role/{self.role}", account=self.account
        )

    @property
    def bucket_arn(self) -> str:
        """The queue."""
        return self._partition.arn("s3", self.bucket)

    @property
    def owned_bucket(self) -> dict[str, str]:
        """Parameters of every request to the bucket: AWS denies it if another account owns that name."""
        return {"Bucket": self.bucket, "ExpectedBucketOwner": self.account}

    @property
    def default(self) -> Names:
        """The same stack with the bucket that we name."""
        return Names.of(self.stack, self.region, self.account, None, self.own_role)

    @property
    def log_group(self) -> str:
        """Where Lambda writes the function's log."""
        return f"/aws/lambda/{self.stack}"

    @property
    def log_group_arn(self) -> str:
        """Its ARN, streams included."""
        return self._regional("logs", f"log-group:{self.log_group}:*")

    @property
    def layer_arns(self) -> str:
        """Its layers, all of them; ":*" behind it for their versions."""
        return self._regional("lambda", f"layer:{self.layer('*')}")

    @property
    def _partition(self) -> Partition:
        return partition_of(self.region)

    def _regional(self, service: str, resource: str) -> str:
        return self._partition.arn(service, resource, region=self.region, account=self.account)

    def layer(self, content: str) -> str:
        """Return the name of a layer with some content; "*" for all of the stack."""
        return f"{self.stack}-requires-{content}"

    def is_layer(self, name: str) -> bool:
        """Return true for a layer of this stack; those that older versions numbered are too."""
        return (
            re.fullmatch(rf"{re.escape(self.stack)}-requires-([0-9a-f]{{12}}|[1-5])", name)
            is not None
        )
