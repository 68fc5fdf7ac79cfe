"""The function: made while its role is new, changed while it changes, with what Lambda says of
failures.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from dolambda.environment.layer import Contents
from dolambda.errors import AwsError, ConfigurationError, NotDeployedError, ProvisionError
from dolambda.provision.deploy import deploy, destroy, resources
from dolambda.settings import Settings
from dolambda.stack import Stack
from dolambda.wire import signing_keys
from dolambda.wire.task import PYTHON

if TYPE_CHECKING:
    from dolambda.aws.account import Account
    from dolambda.provision.plan import Change
    from support.strict_aws import StrictAws

# moto itself uses what botocore will deprecate, and Python's utcnow.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
THEIRS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Deny", "Action": "s3:DeleteObject", "Resource": "*"}],
}
SETTINGS = Settings(stack="worker", region="eu-central-1", requires=())


def put(account: Account, settings: Settings = SETTINGS) -> list[str]:
    made: list[Change] = []
    deploy(resources(account, settings, here=False, contents=Contents()), made.append)
    return [f"{change.action} {change.what}: {change.why}" for change in made]


def variables(account: Account) -> dict[str, str]:
    found = account.client("lambda").get_function_configuration(FunctionName="worker")
    return dict(found["Environment"]["Variables"])


def answering(account: Account, operation: str, body: dict[str, Any]) -> None:
    """Answer one operation as AWS does, from now on."""

    def answer(_service: str, asked: str, _params: dict[str, Any]) -> dict[str, Any] | None:
        return body if asked == operation else None

    account.intercept(answer)


def test_a_new_role_is_waited_for_whatever_lambda_says_of_it(
    account: Account, strict: StrictAws
) -> None:
    put(account)
    assert strict.counts["role_known_late"] == 2
    assert put(account) == []


def test_a_function_that_lambda_does_not_know_everywhere_yet_is_waited_for(
    account: Account, strict: StrictAws
) -> None:
    put(account)
    assert strict.counts["function_known_late"] == 3


def test_killed_at_any_request_and_run_again_at_once_it_ends_as_wanted(
    account: Account, strict: StrictAws
) -> None:
    """The function is still Pending or being updated when the next deploy comes."""

    class KilledError(Exception):
        pass

    changed = replace(SETTINGS, memory=512, concurrency=5)
    for settings in (SETTINGS, changed):
        last = 0
        for _ in range(40):
            writes: list[str] = []

            def kill(
                _service: str, operation: str, _params: dict[str, Any], writes: list[str] = writes
            ) -> None:
                if not operation.startswith(("Get", "List", "Head", "Describe")):
                    writes.append(operation)
                    if len(writes) > 1:
                        raise KilledError(operation)

            account.intercept(kill)
            try:
                put(account, settings)
            except KilledError:
                last += 1
                continue
            break
        account.intercept(lambda *_: None)
        assert last >= 1
        assert put(account, settings) == []
    assert Stack.from_account(account, SETTINGS).memory == 512
    assert strict.counts["pending_and_in_progress"] > 0
    destroy(resources(account, SETTINGS, here=False, contents=Contents()))


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (
            {
                "LastUpdateStatus": "Failed",
                "LastUpdateStatusReason": "The function's layer was removed",
                "LastUpdateStatusReasonCode": "InvalidConfiguration",
            },
            "layer was removed",
        ),
        (
            {
                "State": "Failed",
                "StateReason": "The KMS key is disabled",
                "StateReasonCode": "DisabledKMSKey",
            },
            r"KMS key is disabled \(DisabledKMSKey\)",
        ),
    ],
)
def test_a_change_that_fails_is_reported_with_lambdas_reason_and_made_again(
    account: Account, state: dict[str, str], reason: str
) -> None:
    put(account)
    real = account.client("lambda").get_function_configuration(FunctionName="worker")
    key = variables(account)[signing_keys.KEY]
    answering(account, "GetFunctionConfiguration", {**real, **state})
    with pytest.raises(ProvisionError, match=reason):
        put(account, replace(SETTINGS, timeout=77))
    planned = [
        change.why
        for part in resources(account, SETTINGS, here=False, contents=Contents())
        for change in part.changes()
    ]
    assert "failed" in planned[0]
    account.intercept(lambda *_: None)
    put(account, replace(SETTINGS, timeout=77))
    assert variables(account)[signing_keys.KEY] == key


def test_an_environment_that_cannot_be_read_is_said_and_its_key_is_not_replaced(
    account: Account,
) -> None:
    put(account)
    real = account.client("lambda").get_function_configuration(FunctionName="worker")
    key = variables(account)[signing_keys.KEY]
    error = {
        "ErrorCode": "AccessDeniedException",
        "Message": (
            "Lambda was unable to decrypt the environment variables because KMS access was denied."
        ),
    }
    answering(account, "GetFunctionConfiguration", {**real, "Environment": {"Error": error}})
    for attempt in (put, lambda it: Stack.from_account(it, SETTINGS)):
        with pytest.raises(AwsError, match=r"unable to decrypt.*\n.*kms:Decrypt"):
            attempt(account)
    account.intercept(lambda *_: None)
    assert variables(account)[signing_keys.KEY] == key


def test_a_function_of_someone_elses_is_neither_changed_nor_removed(account: Account) -> None:
    put(account)
    client = account.client("lambda")
    client.update_function_configuration(
        FunctionName="worker", Environment={"Variables": {"THEIRS": "1"}}
    )
    for _ in range(3):
        client.get_function_configuration(FunctionName="worker")
    for attempt in (deploy, destroy):
        with pytest.raises(NotDeployedError, match="was not made by dolambda"):
            attempt(resources(account, SETTINGS, here=False, contents=Contents()))
    assert variables(account) == {"THEIRS": "1"}


OTHERS = {"HTTPS_PROXY": "http://proxy:3128", "DD_SITE": "datadoghq.eu", "AWS_CA_BUNDLE": "/opt/x"}


def with_others(account: Account, **others: Any) -> None:
    """Change the function as an administrator or a tool does that observes all functions."""
    environment = {"Variables": {**variables(account), **OTHERS}}
    client = account.client("lambda")
    client.update_function_configuration(FunctionName="worker", Environment=environment, **others)
    for _ in range(3):  # the rules show it as being updated twice
        client.get_function_configuration(FunctionName="worker")


def test_variables_that_others_added_stay(account: Account) -> None:
    put(account)
    with_others(account)
    assert put(account) == []
    changed = put(account, replace(SETTINGS, timeout=77, memory=3538))
    assert len(changed) == 1
    assert not any(name in changed[0] for name in OTHERS)
    found = variables(account)
    assert OTHERS.items() <= found.items()
    assert found["OMP_NUM_THREADS"] == "2"


def test_a_variable_of_dolambdas_own_that_someone_changed_is_set_again_and_planned(
    account: Account,
) -> None:
    put(account)
    before = variables(account)
    client = account.client("lambda")
    changed = {**before, "OMP_NUM_THREADS": "64", "DOLAMBDA_OLD": "1"}
    client.update_function_configuration(FunctionName="worker", Environment={"Variables": changed})
    for _ in range(3):
        client.get_function_configuration(FunctionName="worker")
    (made,) = put(account)
    assert "variable OMP_NUM_THREADS changed" in made
    assert "variable DOLAMBDA_OLD removed" in made
    assert variables(account) == before


def remove_role(account: Account) -> None:
    """Remove the role by hand, which IAM allows once it knows that the policy is gone."""
    iam, name = account.client("iam"), "worker-worker-eu-central-1"
    iam.delete_role_policy(RoleName=name, PolicyName="worker")
    with pytest.raises(iam.exceptions.DeleteConflictException):
        iam.delete_role(RoleName=name)
    iam.delete_role(RoleName=name)


def test_a_function_that_is_made_again_keeps_what_others_have_set(
    account: Account, strict: StrictAws
) -> None:
    put(account)
    network = {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}
    with_others(account, VpcConfig=network)
    remove_role(account)
    assert "update function worker: created again for a new role" in put(account)
    (created,) = [one for one in strict.requests if one.operation == "CreateFunction"][-1:]
    assert created.params["VpcConfig"] == network
    assert OTHERS.items() <= created.params["Environment"]["Variables"].items()


def test_a_role_made_again_by_hand_gets_a_function_that_lambda_can_decrypt_for(
    account: Account,
) -> None:
    put(account)
    key = variables(account)[signing_keys.KEY]
    remove_role(account)
    made = put(account)
    assert made[0].startswith("create role")
    assert "update function worker: created again for a new role" in made
    assert variables(account)[signing_keys.KEY] == key
    assert put(account) == []


def test_a_role_with_a_policy_that_someone_attached_is_destroyed(account: Account) -> None:
    put(account)
    iam = account.client("iam")
    policy = iam.create_policy(PolicyName="theirs", PolicyDocument=json.dumps(THEIRS))["Policy"][
        "Arn"
    ]
    iam.attach_role_policy(RoleName="worker-worker-eu-central-1", PolicyArn=policy)
    destroy(resources(account, SETTINGS, here=False, contents=Contents()))
    assert iam.list_roles()["Roles"] == []
    assert iam.get_policy(PolicyArn=policy)["Policy"]["AttachmentCount"] == 0


def test_more_memory_than_a_new_account_allows_is_said_with_what_to_do(
    account: Account, strict: StrictAws
) -> None:
    strict.options.max_memory = 3008
    with pytest.raises(
        ConfigurationError, match=r"less than or equal to 3008\n  New AWS accounts.*--memory"
    ):
        put(account, replace(SETTINGS, memory=3538))


def test_a_python_that_lambda_offers_no_more_is_said_with_what_to_do(
    account: Account, strict: StrictAws
) -> None:
    strict.options.deprecated_runtimes = frozenset({f"python{PYTHON}"})
    with pytest.raises(ConfigurationError, match=r"no longer supported[^\0]*provided\.al2023"):
        put(account)
    put(account, replace(SETTINGS, runtime="provided.al2023"))


def test_variables_of_others_that_leave_no_room_are_said(account: Account) -> None:
    put(account)
    with_others(account)
    environment = {"Variables": {**variables(account), "LARGE": "x" * 3_900}}
    boto3.client("lambda", region_name="eu-central-1").update_function_configuration(
        FunctionName="worker", Environment=environment
    )
    with pytest.raises(ConfigurationError, match=r"4KB limit[^\0]*others have added"):
        put(account, replace(SETTINGS, timeout=77))


def test_events_wait_as_long_as_lambda_lets_them(account: Account) -> None:
    """Throttled events of long tasks would be dropped at the job's own max_wait."""
    put(account, replace(SETTINGS, max_wait=60))
    found = account.client("lambda").get_function_event_invoke_config(FunctionName="worker")
    assert (found["MaximumEventAgeInSeconds"], found["MaximumRetryAttempts"]) == (21_600, 0)


def test_what_is_written_at_home_has_a_home_on_lambda_but_not_here(account: Account) -> None:
    put(account)
    assert variables(account)["HOME"] == "/tmp"  # noqa: S108 - Lambda's
    put(account, replace(SETTINGS, runtime="provided.al2023"))
    assert variables(account)["SSL_CERT_FILE"] == "/etc/pki/tls/certs/ca-bundle.crt"
    deploy(resources(account, SETTINGS, here=True, contents=Contents()))
    assert not {"HOME", "MPLCONFIGDIR", "SSL_CERT_FILE"} & variables(account).keys()


def test_new_code_is_there_before_the_configuration_names_its_version(
    account: Account, strict: StrictAws
) -> None:
    """Lambda changes the two one after the other; clients look at the configuration only."""
    put(account)
    older = io.BytesIO()
    with zipfile.ZipFile(older, "w") as archive:
        archive.writestr("dolambda/handler.py", "")
    client = account.client("lambda")
    client.update_function_code(FunctionName="worker", ZipFile=older.getvalue())
    strict.requests.clear()
    put(account, replace(SETTINGS, memory=512))
    changes = [one.operation for one in strict.requests if one.operation.startswith("Update")]
    assert changes == ["UpdateFunctionCode", "UpdateFunctionConfiguration"]
