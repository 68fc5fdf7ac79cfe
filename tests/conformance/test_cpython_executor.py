"""CPython's own suite for executors, run against ours.

Not copied: imported from the interpreter, where it has it.
"""

from __future__ import annotations

import unittest

import pytest

from dolambda import LambdaExecutor

suite = pytest.importorskip(
    "test.test_concurrent_futures.executor",
    reason="this interpreter comes without CPython's test suite, or with an older layout of it",
)

from test.test_concurrent_futures import (  # noqa: E402 - only where CPython has its tests
    test_as_completed,
    test_init,
    test_shutdown,
    test_wait,
    util,
)

pytestmark = pytest.mark.usefixtures("session")


# CPython's tests have no types.
class OnLambda(util.ExecutorMixin):  # type: ignore[misc, unused-ignore]
    """What the suite's mixins want: an executor type."""

    executor_type = LambdaExecutor

    def get_context(self) -> None:
        """Ours has no multiprocessing context."""


class TestExecutor(OnLambda, suite.ExecutorTest, unittest.TestCase):  # type: ignore[misc, name-defined, unused-ignore]
    pass


class TestAsCompleted(OnLambda, test_as_completed.AsCompletedTests, unittest.TestCase):  # type: ignore[misc, unused-ignore]
    pass


class TestWait(OnLambda, test_wait.WaitTests, unittest.TestCase):  # type: ignore[misc, unused-ignore]
    pass


class TestInitializer(OnLambda, test_init.InitializerMixin, unittest.TestCase):  # type: ignore[misc, unused-ignore]
    pass


class TestShutdown(OnLambda, test_shutdown.ExecutorShutdownTest, unittest.TestCase):  # type: ignore[misc, unused-ignore]
    """Three of its tests run a script; that has to find our executor where it is, on an emulated
    AWS of its own.
    """

    @pytest.fixture(autouse=True)
    def _scripts_import_ours(self, monkeypatch: pytest.MonkeyPatch) -> None:
        plain = test_shutdown.assert_python_ok

        def rewritten(flag: str, script: str) -> tuple[int, bytes, bytes]:
            script = script.replace(
                "from concurrent.futures import LambdaExecutor",
                "from dolambda import LambdaExecutor",
            )
            code, out, err = plain(
                flag,
                script,
                __isolated=False,
                DOLAMBDA_REQUIRES="",
                AWS_EC2_METADATA_DISABLED="true",
            )
            return (
                code,
                out.replace(b"[task 0] ", b""),
                err,
            )  # we tag what tasks print; the suite expects it bare

        monkeypatch.setattr(test_shutdown, "assert_python_ok", rewritten)
