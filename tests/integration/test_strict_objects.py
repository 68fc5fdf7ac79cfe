"""Large objects on the emulated AWS, behind the rule that each written part has a checksum."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from dolambda.aws.account import Account
from dolambda.aws.objects import Bucket
from dolambda.settings import Settings
from support.strict_aws.instance import StrictInstance

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def strict_instance() -> Iterator[StrictInstance]:
    started = StrictInstance.with_rule("written_with_checksum")
    yield started
    started.instance.stop()


def test_a_large_object_is_written_in_parts_that_object_lock_accepts(
    strict_instance: StrictInstance,
) -> None:
    settings, root = strict_instance.admin(Settings(stack="large"))
    root.client("s3").create_bucket(Bucket="large")
    allowed = [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["*"]}]
    policy = {"Version": "2012-10-17", "Statement": allowed}
    keys = strict_instance.user("large", policy, settings)
    bucket = Bucket.from_account(Account.from_settings(settings, keys), "large")
    data = os.urandom(40 << 20)
    bucket.put("blobs/large", data)
    assert bucket.get("blobs/large") == data
    assert strict_instance.requests.count("s3:UploadPart") == 3
    assert strict_instance.counts.get("written_with_checksum", 0) == 0
