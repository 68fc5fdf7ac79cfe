"""How `dolambda tune` ends when it is told to."""

from __future__ import annotations

import signal

import pytest

from dolambda.cli.signals import TERMINATION, ended_by


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no SIGHUP")
def test_a_second_signal_does_not_interrupt_the_removal() -> None:
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    with ended_by(TERMINATION):
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGHUP)
        for number in numbers:
            signal.raise_signal(number)
    assert [signal.getsignal(number) for number in numbers] == before
