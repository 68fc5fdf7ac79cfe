"""Partitions: the separate parts of AWS. Only this file names a partition or a domain of AWS.

**Input:** a region. **Output:** its partition, ARNs and endpoints. A test compares the table with
botocore's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LAMBDA_SERVICE = "lambda.amazonaws.com"
S3_SERVICE = "s3.amazonaws.com"
"""Principals that represent a service in policies, the same in every partition."""


@dataclass(frozen=True)
class Partition:
    """A part of AWS: its name in ARNs, and the end of its host names."""

    name: str
    dns_suffix: str

    def arn(self, service: str, resource: str, *, region: str = "", account: str = "") -> str:
        """Return a resource's ARN."""
        return f"arn:{self.name}:{service}:{region}:{account}:{resource}"


STANDARD = Partition("aws", "amazonaws.com")
_OTHERS = {
    r"cn-\w+-\d+": Partition("aws-cn", "amazonaws.com.cn"),
    r"us-gov-\w+-\d+": Partition("aws-us-gov", "amazonaws.com"),
    r"us-iso-\w+-\d+": Partition("aws-iso", "c2s.ic.gov"),
    r"us-isob-\w+-\d+": Partition("aws-iso-b", "sc2s.sgov.gov"),
    r"eu-isoe-\w+-\d+": Partition("aws-iso-e", "cloud.adc-e.uk"),
    r"us-isof-\w+-\d+": Partition("aws-iso-f", "csp.hci.ic.gov"),
    r"eusc-(de)-\w+-\d+": Partition("aws-eusc", "amazonaws.eu"),
}


def partition_of(region: str) -> Partition:
    """Return the partition of a region, the standard one for an unknown region."""
    found = (one for pattern, one in _OTHERS.items() if re.fullmatch(pattern, region))
    return next(found, STANDARD)


def host(service: str, region: str) -> str:
    """Return the name of a service's endpoint in a region."""
    return f"{service}.{region}.{partition_of(region).dns_suffix}"


def account_in(arn: str) -> str:
    """Return the account number in an ARN, or "" if there is none."""
    parts = arn.split(":")
    # The account is at position 4 of an ARN.
    return parts[4] if len(parts) > 4 and re.fullmatch("[0-9]{12}", parts[4]) else ""  # noqa: PLR2004
