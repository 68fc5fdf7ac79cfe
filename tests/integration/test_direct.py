"""The journey by ``transport="direct"``: one Invoke a job, on the emulated AWS."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import joblib
import numpy as np
import pytest

from dolambda import LambdaExecutor, foreach, register, unregister
from dolambda.errors import ConfigurationError, TaskTimedOutError, WorkerCrashedError

if TYPE_CHECKING:
    from dolambda.aws.account import Credentials
    from dolambda.session import Session
    from dolambda.settings import Settings


def test_executor_joblib_and_foreach_take_it(session: Session) -> None:
    with LambdaExecutor(transport="direct") as executor:
        assert list(executor.map(pow, range(50), [2] * 50)) == [i * i for i in range(50)]
    with joblib.parallel_config("dolambda", transport="direct"):
        assert joblib.Parallel(n_jobs=-1)(joblib.delayed(pow)(i, 2) for i in range(50)) == [
            i * i for i in range(50)
        ]
    assert (
        foreach(i=range(50), combine="+", options={"dolambda": {"transport": "direct"}}).dopar(
            lambda i: i
        )
        == 1225
    )
    calls = session.report().calls
    assert calls["lambda:InvokeFunction"] >= 3
    assert set(calls) <= {
        "lambda:InvokeFunction",
        "s3:PutObject",
        "s3:GetObject",
        "s3:HeadObject",
        "s3:DeleteObjects",
    }  # nothing was listed


def test_registered_it_is_the_way_of_all(deployed: tuple[Settings, Credentials]) -> None:
    settings, credentials = deployed
    opened = register(
        transport="direct",
        region=settings.region,
        endpoint_url=settings.endpoint_url,
        key=credentials.key,
        secret=credentials.secret,
        progress=False,
    )
    assert joblib.Parallel(n_jobs=-1)(joblib.delayed(len)("a" * i) for i in range(5)) == list(
        range(5)
    )
    assert opened.report().calls["lambda:InvokeFunction"] >= 1
    unregister()


def test_what_an_invoke_does_not_hold_goes_through_the_bucket(session: Session) -> None:
    """5 MB of text in the pickle, which is no buffer: more than 6 MB once in base64. And back."""
    text = "".join(np.random.default_rng(0).choice(list("abcdefghijklmnop"), 5_000_000))
    with LambdaExecutor(transport="direct") as executor:
        assert executor.submit(str.upper, text).result(60) == text.upper()
        array = np.arange(1_500_000.0)
        np.testing.assert_array_equal(executor.submit(np.negative, array).result(60), -array)
    assert session.report().calls["s3:PutObject"] >= 3


@pytest.mark.usefixtures("session")
def test_crashes_and_time_limits_are_seen_at_once() -> None:
    with LambdaExecutor(transport="direct", task_timeout=0.5) as executor:
        crashed = executor.submit(lambda: os._exit(3))
        late = executor.submit(time.sleep, 20)
        fine = executor.submit(len, "abc")
        with pytest.raises(WorkerCrashedError, match="exit code 3"):
            crashed.result(20)
        with pytest.raises(TaskTimedOutError):
            late.result(20)
        assert fine.result(20) == 3


def test_an_environment_that_ends_whole_is_tried_again_and_then_told(session: Session) -> None:
    """The parent of the task's process is Lambda's runtime client: without it there is nobody left
    to answer.
    """
    with (
        LambdaExecutor(transport="direct") as executor,
        pytest.raises(WorkerCrashedError, match="Lambda ended the invocation"),
    ):
        executor.submit(lambda: os.kill(os.getppid(), signal.SIGKILL)).result(60)
    assert session.report().resent == 2
    with LambdaExecutor(transport="direct") as executor:
        assert executor.submit(len, "abc").result(30) == 3


@pytest.mark.usefixtures("session")
def test_no_other_way_is_taken() -> None:
    with pytest.raises(ConfigurationError, match="transport='pigeon' is not "):
        LambdaExecutor(transport="pigeon")  # type: ignore[arg-type] # the mistake


@pytest.mark.usefixtures("session")
def test_a_callback_may_wait_for_another_task() -> None:
    told: list[int] = []
    with LambdaExecutor(transport="direct") as executor:
        executor.submit(len, "a").add_done_callback(
            lambda _: told.append(executor.submit(len, "ab").result(20))
        )
        deadline = time.monotonic() + 20
        while not told and time.monotonic() < deadline:
            time.sleep(0.02)
    assert told == [2]
