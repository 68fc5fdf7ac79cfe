"""The rules, by what they are about. Importing them registers them."""

from support.strict_aws.rules import (
    account,
    buckets,
    functions,
    layers,
    objects,
    permissions,
    roles,
)

__all__ = ["account", "buckets", "functions", "layers", "objects", "permissions", "roles"]
