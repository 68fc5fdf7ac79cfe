"""joblib's own suite of Parallel, with our backend among those it is run for.

Not copied: imported from where joblib is installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import joblib
import pytest
from joblib import parallel

from dolambda.joblib import NAME, LambdaBackend
from dolambda.local.instance import Instance
from dolambda.local.stack import deploy_into
from dolambda.registration import register, unregister
from dolambda.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

parallel.register_parallel_backend(
    NAME, LambdaBackend
)  # before the suite is imported: it makes its lists from what is registered

from joblib.test import test_parallel  # noqa: E402 - see above
from joblib.test.test_parallel import *  # noqa: E402, F403 - that is the suite

for names in (
    test_parallel.PARALLEL_BACKENDS,
    test_parallel.PROCESS_BACKENDS,
    test_parallel.all_backends_for_context_manager,
):
    names.append(NAME)

pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.usefixtures("four_workers")]


@pytest.fixture(scope="module")
def four_workers() -> Iterator[None]:
    """An emulated AWS of its own: some tests want four workers at once.

    They have joblib's tests, as what these send is defined there.
    """
    instance = Instance.from_start(workers=4)
    before = parallel.DEFAULT_BACKEND
    try:
        here = Settings(
            requires=("joblib", "numpy", "pytest"), include_code=("joblib",), timeout=60
        )
        settings, credentials = deploy_into(instance, here)
        register(
            region=settings.region,
            endpoint_url=settings.endpoint_url,
            key=credentials.key,
            secret=credentials.secret,
            include_code=("joblib",),
            progress=False,
            logs=False,
        )
        parallel.DEFAULT_BACKEND = before  # the suite chooses for itself
        # Its time limits are shorter than a cold start. What is defined in a function travels with
        # what it refers to.
        joblib.Parallel(backend=NAME)(
            joblib.delayed(lambda: test_parallel.sleep(0.5))() for _ in range(8)
        )
        yield
    finally:
        unregister()
        instance.stop()
