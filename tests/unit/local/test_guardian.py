"""How the process that owns an emulated AWS is asked to end."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from dolambda.local.guardian import EndRequest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_a_second_request_does_not_interrupt_the_end() -> None:
    EndRequest()
    with pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)


def test_a_request_that_arrives_during_the_end_is_ignored() -> None:
    request = EndRequest()
    request.ignore()
    signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
