"""Nothing lost, nothing twice: the whole client on a simulated AWS whose faults are chosen, against
an oracle that knows the outcomes.

SeededResult from a seed: a fault that shows here shows again.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import wait
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.credentials import RefreshableCredentials

from dolambda import LambdaExecutor
from dolambda.errors import AccessDeniedError, AwsError
from dolambda.transport.queue.client import S3Queue
from support.simulated_aws.behaviour import Behaviour
from support.simulated_aws.oracle import Oracle, task
from support.simulated_aws.simulation import Simulation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dolambda.session import Session

DEADLINE = 40.0
QUICK = Behaviour(
    s3_latency=0.002,
    invoke_latency=0.005,
    event_delay=0.01,
    cold_start=0.02,
    slower=100.0,
    late_by=1.5,
)

QUEUE = {
    "lost events": {"lost_events": 0.1},
    "duplicate events": {"duplicate_events": 0.3},
    "late events": {"late_events": 0.1},
    "killed environments": {"killed": 0.05},
    "S3 503": {"s3_503": 0.1},
    "S3 500": {"s3_500": 0.1},
    "S3 bodies cut off": {"s3_cut": 0.1},
    "stragglers": {"slow": 0.04},
}
DIRECT = {
    "killed environments": {"killed": 0.05},
    "S3 503": {"s3_503": 0.3},
    "429 storms": {"invoke_429": 0.5},
    "Invoke 500": {"invoke_500": 0.05},
    "Invoke answers cut off": {"invoke_cut": 0.05},
    "stragglers": {"slow": 0.04},
}
ALL = {"s3_503": 0.05, "s3_500": 0.05, "killed": 0.03, "slow": 0.03}
QUEUE["all"] = {
    **ALL,
    "s3_cut": 0.05,
    "lost_events": 0.05,
    "duplicate_events": 0.2,
    "late_events": 0.05,
}
DIRECT["all"] = {
    **ALL,
    "s3_503": 0.3,
    "s3_500": 0.3,
    "invoke_429": 0.3,
    "invoke_500": 0.03,
    "invoke_cut": 0.03,
}


@pytest.fixture(scope="module")
def simulation() -> Iterator[Simulation]:
    with Simulation(QUICK) as simulated:
        yield simulated


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dolambda.scheduler.state._REPLY_GRACE_S", 0.2)


def opened(simulation: Simulation, transport: str, **settings: Any) -> Session:
    """A session whose lost jobs are found within two seconds: one of waiting, the rest at work and
    in grace.
    """
    simulation.behave(**asdict(QUICK))
    session = simulation.session(
        workers=40, transport=transport, throttle=0.1, **{"max_wait": 1, "attempts": 10, **settings}
    )
    session.runtime = 0.3
    return session


def settled(simulation: Simulation, session: Session) -> list[str]:
    """Close a session once its workers have come to rest; give what is left in the bucket."""
    deadline = time.monotonic() + DEADLINE
    while simulation.seen()["busy"] and time.monotonic() < deadline:
        time.sleep(0.02)
    closing = threading.Thread(target=session.close)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()
    simulation.behave(**asdict(QUICK))
    assert session.bucket is not None
    return session.bucket.list("jobs/") + session.bucket.list("outs/")


def done(session: Session, oracle: Oracle, batch: int | None = 1) -> None:
    """Run the oracle's tasks; all come to what they must, each once, before the deadline."""
    before = session.report()
    with LambdaExecutor(session=session, batch=batch) as executor:
        futures = oracle.submit(executor)
        assert not wait(futures, DEADLINE).not_done
        wrong = oracle.wrong(futures)
        assert not wrong, [
            (number, oracle.fates[number], futures[number].exception()) for number in wrong[:3]
        ]
    report = session.report()
    failing = sum(fate in ("raise", "poison") for fate in oracle.fates)
    settled = (
        report.done - before.done,
        report.failed - before.failed,
        report.tasks - before.tasks,
    )
    assert settled == (len(futures) - failing, failing, len(futures))


@pytest.mark.parametrize(
    ("transport", "faults"),
    [
        pytest.param(way, faults, id=f"{way}: {name}")
        for way, table in (("queue", QUEUE), ("direct", DIRECT))
        for name, faults in table.items()
    ],
)
def test_every_task_has_its_one_outcome_whatever_aws_does(
    simulation: Simulation,
    transport: str,
    faults: dict[str, float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    session = opened(simulation, transport)
    simulation.behave(**faults)
    done(session, Oracle.drawn(300, seed=7))
    seen = simulation.seen()["faults"]
    assert settled(simulation, session) == []
    assert all(seen.get(fault) for fault in faults), seen
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("transport", ["queue", "direct"])
def test_a_poisonous_task_fails_alone(simulation: Simulation, transport: str) -> None:
    session = opened(simulation, transport, attempts=3)
    done(session, Oracle.drawn(40, seed=3, poison=1), batch=4)
    assert simulation.seen()["faults"]["poison"] == 4  # in four, again, in two, alone
    assert settled(simulation, session) == []


@pytest.mark.parametrize("transport", ["queue", "direct"])
def test_credentials_that_expire_in_the_middle_are_renewed(
    simulation: Simulation, transport: str
) -> None:
    opened(simulation, transport).close()
    renewals: list[str] = []

    def renew() -> dict[str, str]:
        """As an SSO session does."""
        renewals.append("second")
        return metadata("second", 3600)

    def metadata(name: str, seconds: float) -> dict[str, str]:
        expires = datetime.now(UTC) + timedelta(seconds=seconds)
        return {
            "access_key": name,
            "secret_key": name,
            "token": name,
            "expiry_time": expires.isoformat(),
        }

    credentials = RefreshableCredentials.create_from_metadata(
        metadata("first", 3600), renew, "simulated"
    )
    boto3_session = boto3.Session(region_name="us-east-1")
    boto3_session._session._credentials = credentials  # where botocore keeps what it has found
    session = opened(simulation, transport, boto3_session=boto3_session)
    done(session, Oracle.drawn(40, seed=1))
    credentials._expiry_time = datetime.now(UTC) + timedelta(
        minutes=15, seconds=1
    )  # so it is renewed in a second
    simulation.behave(denied_keys=["first"])  # ... and AWS takes it for expired earlier than that
    done(session, Oracle.drawn(200, seed=2))
    assert renewals == ["second"]
    assert simulation.seen()["faults"]["denied_keys"]
    assert settled(simulation, session) == []


@pytest.mark.parametrize("transport", ["queue", "direct"])
def test_a_clock_that_is_wrong_is_told(simulation: Simulation, transport: str) -> None:
    session = opened(simulation, transport)
    simulation.behave(skewed=1.0)
    with LambdaExecutor(session=session) as executor:
        with pytest.raises(
            AccessDeniedError,
            match=r"clocks of this machine and AWS differ.*\n  Set this machine's clock",
        ):
            executor.submit(task, 1, "return").result(DEADLINE)
        assert session.bucket is not None
        with pytest.raises(
            AccessDeniedError, match=r"RequestTimeTooSkewed.*\n  Set this machine's clock"
        ):
            session.bucket.list("outs/")
        simulation.behave(skewed=0.0)
        assert executor.submit(task, 1, "return").result(DEADLINE) == 2
    assert settled(simulation, session) == []


class Failing:
    """A bucket whose looks fail as often as ``fails`` says."""

    def __init__(self, bucket: Any, fails: Callable[[int], BaseException | None]) -> None:
        self._bucket = bucket
        self._fails = fails
        self.looks = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bucket, name)

    def sizes(self, prefix: str, after: str | None = None) -> dict[str, int]:
        self.looks += 1
        if error := self._fails(self.looks):
            raise error
        sizes: dict[str, int] = self._bucket.sizes(prefix, after)
        return sizes


@pytest.mark.parametrize(
    "error", [AwsError("cut off"), RuntimeError("a defect"), OSError("no memory")], ids=repr
)
def test_a_look_for_replies_that_fails_fails_no_task(
    simulation: Simulation, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    session = opened(simulation, "queue")
    assert isinstance(session.transport, S3Queue)
    session.transport._bucket = failing = Failing(  # type: ignore[assignment] # as one
        session.bucket, lambda look: error if look % 3 else None
    )
    with caplog.at_level(logging.WARNING, "dolambda"):
        done(session, Oracle.drawn(40, seed=5))
    assert failing.looks >= 3
    assert "a poll for replies failed, and is repeated" in caplog.text
    assert settled(simulation, session) == []


@pytest.mark.parametrize(
    ("error", "most"),
    [(AwsError("no bucket any more"), 100), (AccessDeniedError("not allowed"), 10)],
    ids=repr,
)
def test_looks_that_go_on_failing_are_told(
    simulation: Simulation, error: Exception, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dolambda.transport.queue.client._LOOKS_FAIL", 0.5)
    monkeypatch.setattr("dolambda.transport.queue.client._LOOKS_DENIED", 0.1)
    session = opened(simulation, "queue")
    assert isinstance(session.transport, S3Queue)
    # As one.
    session.transport._bucket = failing = Failing(session.bucket, lambda _: error)  # type: ignore[assignment]
    with LambdaExecutor(session=session) as executor, pytest.raises(type(error), match=str(error)):
        executor.submit(task, 1, "return").result(DEADLINE)
    assert failing.looks <= most
    session.transport._bucket = session.bucket  # type: ignore[assignment] # there is one
    assert settled(simulation, session) == []
