"""What cannot be tuned is refused before anything is created."""

from __future__ import annotations

import pytest

from dolambda import LambdaExecutor
from dolambda.errors import ConfigurationError
from dolambda.session import Session
from dolambda.settings import Settings
from dolambda.tuning.tuner import Wishes, current, tuning


def test_a_session_without_workers_is_refused() -> None:
    settings = Settings(transport="in_process", workers=1, progress=False, record=False)
    with Session.open(settings) as session:
        with tuning(Wishes()) as begun:
            with (
                pytest.raises(ConfigurationError, match="in_process"),
                LambdaExecutor(session=session) as executor,
            ):
                executor.submit(abs, -1)
            assert begun.curve is None
            assert begun.close() == []
        assert current() is None
        with LambdaExecutor(session=session) as executor:  # afterwards all is as before
            assert executor.submit(abs, -1).result() == 1
