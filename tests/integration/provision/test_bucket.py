"""Buckets: just made, of the user's own, changed for another one, of someone else's."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from dolambda.aws.account import Account, Credentials
from dolambda.environment.layer import Contents
from dolambda.errors import ProvisionError
from dolambda.provision.deploy import deploy, destroy, names_of, resources
from dolambda.provision.trigger import Trigger
from dolambda.settings import Settings

if TYPE_CHECKING:
    from support.strict_aws import StrictAws

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SETTINGS = Settings(stack="queue", region="eu-central-1", requires=())
DEFAULT, OWN = "queue-123456789012-eu-central-1", "my-own-bucket"
IN_REGION = {"CreateBucketConfiguration": {"LocationConstraint": "eu-central-1"}}


def put(account: Account, bucket: str | None = None) -> int:
    settings = replace(SETTINGS, bucket=bucket)
    return deploy(resources(account, settings, here=False, contents=Contents()))


def remove(account: Account, bucket: str | None = None) -> int:
    settings = replace(SETTINGS, bucket=bucket)
    return destroy(resources(account, settings, here=False, contents=Contents()))


@pytest.fixture
def own(account: Account) -> str:
    account.client("s3").create_bucket(Bucket=OWN, **IN_REGION)
    return OWN


def notifications(account: Account, bucket: str) -> dict[str, Any]:
    found = account.client("s3").get_bucket_notification_configuration(Bucket=bucket)
    found.pop("ResponseMetadata", None)
    return dict(found)


def test_a_bucket_that_s3_does_not_know_everywhere_yet_is_waited_for(
    account: Account, strict: StrictAws
) -> None:
    put(account)
    assert strict.counts["bucket_known_late"] == 2
    remove(account)
    put(account)
    assert strict.counts["bucket_known_late"] == 4


@pytest.mark.parametrize("back", [False, True])
def test_a_stack_moves_to_another_bucket(account: Account, own: str, *, back: bool) -> None:
    steps = [None, own] if not back else [own, None]
    for bucket in steps:
        put(account, bucket)
    assert put(account, steps[-1]) == 0
    old, new = (OWN, DEFAULT) if back else (DEFAULT, OWN)
    assert notifications(account, old) == {}
    (rule,) = notifications(account, new)["LambdaFunctionConfigurations"]
    assert rule["Id"] == "dolambda-queue"
    policy = account.client("lambda").get_policy(FunctionName="queue")["Policy"]
    assert new in policy
    assert old not in policy


def test_destroy_removes_the_bucket_that_we_made_before_the_users_own(
    account: Account, own: str
) -> None:
    put(account)
    account.client("s3").put_object(Bucket=DEFAULT, Key="blobs/left", Body=b"x")
    put(account, own)
    remove(account, own)
    left = [bucket["Name"] for bucket in account.client("s3").list_buckets()["Buckets"]]
    assert left == [OWN]


def test_killed_while_it_moves_the_old_bucket_does_not_go_on_notifying(
    account: Account, own: str
) -> None:
    put(account)

    class KilledError(Exception):
        pass

    for operation in ("RemovePermission", "AddPermission"):

        def kill(_service: str, asked: str, _params: dict[str, Any], at: str = operation) -> None:
            if asked == at:
                raise KilledError

        account.intercept(kill)
        with pytest.raises(KilledError):
            put(account, own)
    account.intercept(lambda *_: None)
    put(account, own)
    assert notifications(account, DEFAULT) == {}
    assert put(account, own) == 0


@pytest.mark.parametrize(
    ("kind", "target", "arn"),
    [
        ("QueueConfigurations", "QueueArn", "arn:aws:sqs:eu-central-1:123456789012:theirs"),
        ("TopicConfigurations", "TopicArn", "arn:aws:sns:eu-central-1:123456789012:theirs"),
    ],
)
def test_a_queue_or_topic_that_is_told_of_the_same_objects_is_reported_first(
    account: Account, own: str, kind: str, target: str, arn: str
) -> None:
    theirs = {"Id": "theirs", target: arn, "Events": ["s3:ObjectCreated:Put"]}

    def answer(_service: str, asked: str, params: dict[str, Any]) -> dict[str, Any] | None:
        found = asked == "GetBucketNotificationConfiguration" and params["Bucket"] == OWN
        return {kind: [theirs]} if found else None

    account.intercept(answer)
    with pytest.raises(ProvisionError, match=rf"already notifies {arn}.*\n.*narrow that rule"):
        put(account, own)
    assert account.client("iam").list_roles()["Roles"] == []


def test_another_accounts_bucket_that_lets_everybody_in_is_refused(
    account: Account, strict: StrictAws
) -> None:
    """Bucket names can be guessed; one of that name may stand already, with an inviting policy."""
    account.client("s3").create_bucket(Bucket=DEFAULT, **IN_REGION)
    strict.options.foreign_buckets = frozenset({DEFAULT})
    with pytest.raises(ProvisionError, match="not accessible: it belongs to another account"):
        put(account)
    asked = [one for one in strict.requests if one.service == "s3" and one.bucket == DEFAULT]
    assert [one.operation for one in asked if "ExpectedBucketOwner" not in one.params] == [
        "CreateBucket"
    ]


def test_every_request_to_the_bucket_names_the_owner_that_it_must_have(
    account: Account, strict: StrictAws
) -> None:
    put(account)
    remove(account)
    without = {
        one.operation
        for one in strict.requests
        if one.service == "s3" and "ExpectedBucketOwner" not in one.params
    }
    assert without == {"CreateBucket"}


def test_old_versions_expire_in_a_bucket_that_keeps_them(account: Account, own: str) -> None:
    put(account, own)
    rules = account.client("s3").get_bucket_lifecycle_configuration(Bucket=own)["Rules"]
    assert {rule["NoncurrentVersionExpiration"]["NoncurrentDays"] for rule in rules} == {1}


def test_rules_of_the_users_own_and_their_least_size_stay(account: Account, own: str) -> None:
    theirs = {
        "ID": "theirs",
        "Status": "Enabled",
        "Filter": {"Prefix": "x/"},
        "Expiration": {"Days": 9},
    }
    size = "varies_by_storage_class"
    put_rules: list[dict[str, Any]] = []

    def answer(_service: str, asked: str, params: dict[str, Any]) -> dict[str, Any] | None:
        if asked == "GetBucketLifecycleConfiguration":
            return {"Rules": [theirs], "TransitionDefaultMinimumObjectSize": size}
        if asked == "PutBucketLifecycleConfiguration":
            put_rules.append(params)
        return None

    account.intercept(answer)
    put(account, own)
    assert put_rules[-1]["TransitionDefaultMinimumObjectSize"] == size
    assert theirs in put_rules[-1]["LifecycleConfiguration"]["Rules"]


def their_own() -> Any:
    """Return a client that has been in use for long: all of S3 knows its bucket."""
    return boto3.client("s3", region_name="eu-central-1")


@pytest.mark.parametrize("legacy", [{"Prefix": "logs/"}, {"Prefix": ""}])
def test_rules_of_the_older_form_stay_in_the_form_that_s3_accepts_beside_ours(
    account: Account, strict: StrictAws, own: str, legacy: dict[str, Any]
) -> None:
    theirs = {"ID": "theirs", "Status": "Enabled", "Expiration": {"Days": 9}}
    their_own().put_bucket_lifecycle_configuration(
        Bucket=own, LifecycleConfiguration={"Rules": [{**theirs, **legacy}]}
    )
    put(account, own)
    remove(account, own)
    (left,) = their_own().get_bucket_lifecycle_configuration(Bucket=own)["Rules"]
    assert left == {**theirs, "Filter": legacy}
    assert strict.counts["one_form_of_lifecycle_rules"] == 0


def with_versions(bucket: str) -> None:
    """Have a removed object, one that was written twice, and one of the bundles."""
    s3 = their_own()
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for key in ("leases/a", "outs/a/0", "outs/a/0", "bundles/b"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    s3.delete_object(Bucket=bucket, Key="leases/a")


def test_a_bucket_in_which_an_organisation_turned_versioning_on_is_removed(
    account: Account, strict: StrictAws
) -> None:
    put(account)
    with_versions(DEFAULT)
    remove(account)
    assert strict.counts["bucket_with_versions"] == 0
    assert account.client("s3").list_buckets()["Buckets"] == []


def test_versions_of_our_objects_leave_the_users_own_bucket_and_only_these(
    account: Account, own: str
) -> None:
    put(account, own)
    with_versions(own)
    their_own().put_object(Bucket=own, Key="theirs", Body=b"x")
    remove(account, own)
    found = their_own().list_object_versions(Bucket=own)
    assert [one["Key"] for one in found["Versions"]] == ["theirs"]
    assert not found.get("DeleteMarkers")


def test_a_removed_object_of_someone_elses_is_not_lost_with_our_bucket(account: Account) -> None:
    put(account)
    s3 = their_own()
    s3.put_bucket_versioning(Bucket=DEFAULT, VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket=DEFAULT, Key="theirs", Body=b"x")
    s3.delete_object(Bucket=DEFAULT, Key="theirs")
    with pytest.raises(ProvisionError, match="did not create, such as theirs"):
        remove(account)


def test_a_bucket_policy_with_one_statement_stays(account: Account) -> None:
    put(account)
    s3 = account.client("s3")
    theirs = {"Sid": "theirs", "Effect": "Deny", "Principal": "*", "Action": "s3:DeleteBucket"}
    theirs["Resource"] = f"arn:aws:s3:::{DEFAULT}"
    document = {"Version": "2012-10-17", "Statement": theirs}
    s3.put_bucket_policy(Bucket=DEFAULT, Policy=json.dumps(document))
    assert put(account) == 1
    found = json.loads(s3.get_bucket_policy(Bucket=DEFAULT)["Policy"])["Statement"]
    assert [one["Sid"] for one in found] == ["theirs", "dolambda-tls-only"]


def test_a_bucket_of_old_ireland_is_in_eu_west_1(strict: StrictAws, account: Account) -> None:
    ireland = Account.from_settings(Settings(region="eu-west-1"), Credentials("AK", "SK"))
    ireland.client("s3").create_bucket(
        Bucket="an-old-one", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    strict.options.region = "eu-west-1"
    with pytest.raises(ProvisionError, match="is in eu-west-1, the function in eu-central-1"):
        put(account, "an-old-one")


def test_a_removal_is_not_stopped_by_a_dead_destination_of_someone_elses(
    account: Account, strict: StrictAws
) -> None:
    put(account)
    s3 = account.client("s3")
    dead = "arn:aws:lambda:eu-central-1:123456789012:function:dead"
    found = notifications(account, DEFAULT)
    found["LambdaFunctionConfigurations"].append(
        {
            "Id": "theirs",
            "LambdaFunctionArn": dead,
            "Events": ["s3:ObjectRemoved:*"],
        }
    )
    s3.put_bucket_notification_configuration(
        Bucket=DEFAULT, NotificationConfiguration=found, SkipDestinationValidation=True
    )
    (change,) = Trigger(account, names_of(account, SETTINGS)).removal()
    change.apply()
    (left,) = notifications(account, DEFAULT)["LambdaFunctionConfigurations"]
    assert left["LambdaFunctionArn"] == dead
    assert strict.counts["destination_validated"] == 0
