"""List prices of AWS, in US dollars, without free tier and discounts.

They are those of us-east-1 for all regions: worker time costs the same in most regions, and up to
38 % more in a few (docs/guides/costs.md names them). Update `AS_OF` together with the data.
"""

from __future__ import annotations

from dataclasses import dataclass

AS_OF = "November 2026"
SOURCE = "aws.amazon.com/lambda/pricing and aws.amazon.com/s3/pricing, us-east-1"
BASIS = f"list prices of {AS_OF}, us-east-1"
"""What every amount that is shown is computed from."""


@dataclass(frozen=True)
class Prices:
    """Dollars for a GB-second, an invocation, and an S3 request of each kind."""

    gb_second: float
    invocation: float
    s3: dict[str, float]


_S3 = {
    "s3:PutObject": 0.005 / 1000,
    "s3:ListBucket": 0.005 / 1000,
    "s3:GetObject": 0.0004 / 1000,
    "s3:HeadObject": 0.0004 / 1000,
    "s3:DeleteObjects": 0.0,
}

PRICES = {
    "x86_64": Prices(0.0000166667, 0.20 / 1e6, _S3),
    "arm64": Prices(0.0000133334, 0.20 / 1e6, _S3),
}
