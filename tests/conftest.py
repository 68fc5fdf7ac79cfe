"""One emulated AWS for each process of tests, with IAM enforced; tests get a session on it that is
registered.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings as hypothesis_settings

from dolambda.aws.objects import Bucket
from dolambda.local.instance import Instance
from dolambda.local.stack import deploy_into, root
from dolambda.registration import register, unregister
from dolambda.settings import Settings
from support.aws_tools import install
from support.first_hour import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dolambda.aws.account import Account, Credentials
    from dolambda.session import Session

pytest_plugins = ["support.needs"]

_TESTS = Path(__file__).parent

# DOLAMBDA_TEST_SANDBOX=1 runs the workers of all tests in Lambda's sandbox; it needs bubblewrap.
_SANDBOX = bool(os.environ.get("DOLAMBDA_TEST_SANDBOX"))

environment.set_aside()  # no test may find real credentials, except those of tests/aws
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each program would compile all its modules
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="dolambda-tests-state-")
os.environ.pop("PYTHONUNBUFFERED", None)  # as in CI; see support/programs.py
os.environ["DOLAMBDA_REQUIRES"] = ""  # no layer unless a test asks for one: they are large

# A shell starts programs in the background with Ctrl-C ignored, and their children inherit that.
_IS_MAIN = threading.current_thread() is threading.main_thread()
if _IS_MAIN and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# The same examples each time: what is found by chance should not stop an unrelated change.
# HYPOTHESIS_PROFILE=default looks further. No deadline: how long an example takes says how busy the
# machine is.
hypothesis_settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

if "PYTEST_XDIST_WORKER" in os.environ:
    # What runs beside it keeps its own emulated AWS, and a list of them, there.
    os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix="dolambda-tests-")


_MARKED = {"integration", "chaos", "conformance"}  # folders whose tests bear their name as a marker


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker in _MARKED.intersection(item.path.relative_to(_TESTS).parts):
            item.add_marker(marker)


def pytest_collection_finish() -> None:
    gc.collect()
    gc.freeze()  # what all tests have imported: a collection of it takes a quarter of a second


def pytest_unconfigure() -> None:
    if tempfile.tempdir and "PYTEST_XDIST_WORKER" in os.environ:
        shutil.rmtree(tempfile.tempdir)


@pytest.fixture(scope="session")
def instance() -> Iterator[Instance]:
    started = Instance.from_start(workers=2, sandbox=_SANDBOX)
    yield started
    started.stop()


@pytest.fixture(scope="session")
def aws_tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory with the AWS CLI and linters."""
    return install(tmp_path_factory.mktemp("aws") / "tools")


@pytest.fixture(scope="session")
def deployed(instance: Instance) -> tuple[Settings, Credentials]:
    """A stack whose layer holds numpy and joblib, and its submitter."""
    return deploy_into(instance, Settings(requires=("joblib", "numpy"), timeout=30))


@pytest.fixture(scope="session")
def admin(instance: Instance) -> Account:
    """The emulated AWS's root user, to look at what dolambda has done."""
    return root(instance, Settings())[1]


@pytest.fixture
def session(deployed: tuple[Settings, Credentials], admin: Account) -> Iterator[Session]:
    """A registered session of the submitter's; afterwards nothing may be left in the queue."""
    settings, credentials = deployed
    opened = register(
        region=settings.region,
        endpoint_url=settings.endpoint_url,
        key=credentials.key,
        secret=credentials.secret,
        progress=False,
    )
    bucket = opened.bucket
    assert bucket is not None
    # Tests that kill their client, or have a session of their own, may leave jobs behind.
    # The administrator removes them: the session's own requests are counted.
    queue = Bucket.from_account(admin, bucket.name)
    queue.delete(queue.list("jobs/") + queue.list("outs/"))
    yield opened
    unregister()
    gc.collect()
    left = bucket.list("jobs/") + bucket.list("outs/")
    bucket.delete(left)  # it is this test's matter, not the next one's
    assert left == []
